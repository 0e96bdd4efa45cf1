//! The words that templates share: one file per language, each with the same keys.

use std::collections::BTreeSet;

use toml::Spanned;

use super::assembly::PlacedFault;
use super::helpers::Words;
use crate::config::assets::Assets;
use crate::text::TextFault;

/// Reads every language's words, and what is wrong with them.
pub(super) fn read(assets: &Assets) -> (Words, Vec<PlacedFault>) {
    let (mut words, mut faults) = (Words::new(), Vec::new());
    let mut texts = Vec::new();
    for (path, bytes) in assets.files.iter() {
        let name = path.strip_prefix("locales/").and_then(|name| name.strip_suffix(".toml"));
        let Some(locale) = name else { continue };
        let text = String::from_utf8_lossy(bytes).into_owned();
        type Entries = std::collections::BTreeMap<String, Spanned<String>>;
        match toml::from_str::<Entries>(&text) {
            Ok(found) => {
                let plain = |(key, word): (&String, &Spanned<String>)| {
                    (key.clone(), word.get_ref().clone())
                };
                words.insert(locale.to_owned(), found.iter().map(plain).collect());
                texts.push((path.clone(), locale.to_owned(), text, found));
            }
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                faults.push((path.clone(), fault_at(&text, at, error.message().to_owned())));
            }
        }
    }
    for (path, locale, text, found) in &texts {
        for (other, entries) in words.iter().filter(|(other, _)| *other != locale) {
            for key in entries.keys().filter(|key| !found.contains_key(*key)) {
                let message = format!("the word `{key}` is missing; {other}.toml has it");
                faults.push((path.clone(), TextFault::at(1, 1, message)));
            }
            for (key, word) in found {
                let theirs = entries.get(key).map(|theirs| places(theirs));
                if theirs.is_some_and(|theirs| theirs != places(word.get_ref())) {
                    let message = format!("`{key}` has other variables here than in {other}.toml");
                    faults.push((path.clone(), fault_at(text, word.span().start, message)));
                }
            }
        }
    }
    (words, faults)
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
