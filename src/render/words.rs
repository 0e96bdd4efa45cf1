//! The words that templates share: one file per language, each with the same keys.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::assembly::PlacedFault;
use super::helpers::Words;
use crate::config::assets::Assets;
use crate::text::TextFault;

/// The words of one file, each with its place.
type Entries = BTreeMap<String, Spanned<String>>;

/// A file of words.
struct WordsFile {
    path: String,
    locale: String,
    text: String,
    entries: Entries,
}

/// Reads every language's words, and what is wrong with them.
pub(super) fn read(assets: &Assets) -> (Words, Vec<PlacedFault>) {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    for (path, bytes) in assets.files.iter() {
        let name = path.strip_prefix("locales/").and_then(|name| name.strip_suffix(".toml"));
        let Some(locale) = name else { continue };
        let (path, locale) = (path.clone(), locale.to_owned());
        let text = String::from_utf8_lossy(bytes).into_owned();
        match toml::from_str(&text) {
            Ok(entries) => files.push(WordsFile { path, locale, text, entries }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                faults.push((path, fault_at(&text, at, error.message().to_owned())));
            }
        }
    }
    for file in &files {
        for other in files.iter().filter(|other| other.locale != file.locale) {
            faults.extend(compare(file, other).map(|fault| (file.path.clone(), fault)));
        }
    }
    let plain = |(key, word): (String, Spanned<String>)| (key, word.into_inner());
    let words =
        files.into_iter().map(|file| (file.locale, file.entries.into_iter().map(plain).collect()));
    (words.collect(), faults)
}

/// What `file` lacks of `other`, and which of its words have other variables.
fn compare(file: &WordsFile, other: &WordsFile) -> impl Iterator<Item = TextFault> {
    other.entries.iter().filter_map(|(key, theirs)| {
        let Some(own) = file.entries.get(key) else {
            let message = format!("the word `{key}` is missing; {}.toml has it", other.locale);
            return Some(TextFault::at(1, 1, message));
        };
        if places(own.get_ref()) == places(theirs.get_ref()) {
            return None;
        }
        let message = format!("`{key}` has other variables here than in {}.toml", other.locale);
        Some(fault_at(&file.text, own.span().start, message))
    })
}

fn fault_at(text: &str, at: usize, message: String) -> TextFault {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
    TextFault::at(before.matches('\n').count() + 1, column, message)
}

/// The names between `{{` and `}}` in a word.
fn places(word: &str) -> BTreeSet<&str> {
    let places = word.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    places.map(|(name, _)| name.trim()).collect()
}

/// What `{{t "key"}}` in a file asks for though no language has it.
pub(super) fn missing(words: &Words, text: &str) -> Vec<TextFault> {
    let mut faults = Vec::new();
    for call in ["{{t \"", "{{~t \"", "(t \""] {
        for (at, _) in text.match_indices(call) {
            let key = text.get(at + call.len()..).and_then(|rest| rest.split('"').next());
            let Some(key) = key else { continue };
            if !words.values().any(|words| words.contains_key(key)) {
                let message = format!("there is no word `{key}`; add it to locales/*.toml");
                faults.push(fault_at(text, at, message));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalogue::Lane;
    use crate::model::event::RejectReason;

    #[test]
    fn every_code_that_an_alarm_names_has_a_word_in_each_language() {
        let (words, faults) = read(&Assets::embedded_templates());
        let reasons = RejectReason::ALL.map(|reason| format!("reject_{}", reason.as_str()));
        let lanes = Lane::ALL.map(|lane| format!("lane_{}", lane.as_str()));

        assert_eq!(faults, []);
        for (locale, words) in &words {
            for key in reasons.iter().chain(&lanes) {
                assert!(words.contains_key(key), "{locale}.toml has no {key}");
            }
        }
    }
}
