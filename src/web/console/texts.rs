//! What the console says, in each of its languages, from one table.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Vietnamese,
}

impl Language {
    /// Every language, in the order of the table's columns.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Vietnamese];

    /// Its BCP 47 tag.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Vietnamese => "vi",
        }
    }

    /// Its own name for itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Vietnamese => "Tiếng Việt",
        }
    }

    /// The language of a tag such as `vi` or `vi-VN`.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.code()))
    }

    /// The one that an `Accept-Language` header likes best.
    pub(super) fn preferred(header: &str) -> Option<Self> {
        let wish = |entry: &str| {
            let (tag, weight) = entry.split_once(";q=").unwrap_or((entry, "1"));
            Some((Self::of_tag(tag)?, weight.trim().parse::<f32>().ok()?))
        };
        let mut wishes: Vec<_> = header.split(',').filter_map(wish).collect();
        wishes.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        wishes.first().map(|(language, _)| *language)
    }
}

/// One line a text: its key, then the text in every language.
const SOURCE: &str = include_str!("texts.txt");

type Texts = [&'static str; Language::ALL.len()];

static TABLE: LazyLock<HashMap<&'static str, Texts>> =
    LazyLock::new(|| lines().filter_map(read).collect());

fn lines() -> impl Iterator<Item = &'static str> {
    SOURCE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read(line: &'static str) -> Option<(&'static str, Texts)> {
    let mut cells = line.split('|').map(str::trim);
    Some((cells.next()?, [cells.next()?, cells.next()?]))
}

/// The text of `key`, if the table has one.
pub(super) fn find(language: Language, key: &str) -> Option<&'static str> {
    TABLE.get(key).map(|texts| match language {
        Language::English => texts[0],
        Language::Vietnamese => texts[1],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::model::address::Channel;
    use crate::model::catalogue::Lane;
    use crate::model::deed::DeedKind;
    use crate::model::delivery::{Reason, State};
    use crate::model::event::{RejectReason, Transport};
    use crate::model::outcome::VerdictClass;

    #[test]
    fn every_line_has_a_key_of_its_own_and_a_text_in_every_language() {
        let mut keys = BTreeSet::new();

        for line in lines() {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();

            assert_eq!(cells.len(), 1 + Language::ALL.len(), "{line}");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "a text is missing: {line}");
            assert!(keys.insert(cells[0]), "twice in the table: {}", cells[0]);
        }
    }

    #[test]
    fn every_text_that_is_asked_for_is_in_the_table_and_no_other() {
        let mut asked: BTreeSet<String> = keys_of_words();
        for folder in ["src/web/pages", "src/web/console"] {
            asked.extend(keys_in_files(Path::new(folder)));
        }
        let known: BTreeSet<String> = TABLE.keys().map(|key| (*key).to_owned()).collect();

        let missing: Vec<_> = asked.difference(&known).collect();
        let idle: Vec<_> = known.difference(&asked).collect();

        assert!(missing.is_empty(), "not in the table: {missing:?}");
        assert!(idle.is_empty(), "nobody asks for: {idle:?}");
    }

    #[test]
    fn the_browsers_favourite_language_wins() {
        assert_eq!(Language::preferred("fr, vi-VN;q=0.9, en;q=0.8"), Some(Language::Vietnamese));
        assert_eq!(Language::preferred("en-GB,vi;q=0.5"), Some(Language::English));
        assert_eq!(Language::preferred("de, *;q=0.1"), None);
    }

    /// Keys that are built from words of the model.
    fn keys_of_words() -> BTreeSet<String> {
        let states = State::ALL.map(|state| format!("state.{}", state.as_str()));
        let whys = Reason::ALL.map(|reason| format!("why.{}", reason.as_str()));
        let reasons = Reason::ALL.map(|reason| format!("reason.{}", reason.as_str()));
        let channels = Channel::ALL.map(|channel| format!("channel.{}", channel.as_str()));
        let lanes = Lane::ALL.map(|lane| format!("lane.{}", lane.as_str()));
        let classes = VerdictClass::ALL.map(|class| format!("class.{}", class.as_str()));
        let deeds = DeedKind::ALL.map(|deed| format!("deed.{}", deed.as_str()));
        let rejects = RejectReason::ALL.map(|reason| format!("reject.{}", reason.as_str()));
        let transports = [Transport::Amqp, Transport::Http, Transport::Alarm, Transport::Replay]
            .map(|transport| format!("transport.{}", transport.as_str()));
        let all = states.into_iter().chain(whys).chain(reasons).chain(channels).chain(lanes);
        all.chain(classes).chain(deeds).chain(rejects).chain(transports).collect()
    }

    /// Keys that stand as text in calls such as `t("nav.events")`.
    fn keys_in_files(folder: &Path) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() == "texts.rs" || path.extension().unwrap() == "txt" {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let calls = text.split(".t(\"").skip(1);
            keys.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
        keys
    }
}
