//! Plain values: texts, secrets, numbers, durations, words.

use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::section::{Kind, Section};
use crate::config::{suggestion, units};
use crate::model::window::Window;

/// The least time in which something is done.
const LEAST_LIMIT: Duration = Duration::from_millis(100);

impl Section {
    /// A text, from the settings or from the file that `KEY_file` names.
    pub fn text(&self, key: &str) -> Option<String> {
        self.text_asked(key, Kind::Open)
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&self, key: &str) -> Option<String> {
        let text = self.required(key, Self::text)?;
        if text.trim().is_empty() {
            self.fault(key, format!("{} is empty", self.spelled(key)), "write a value");
            return None;
        }
        Some(text)
    }

    /// A secret, from the settings or from the file that `KEY_file` names; no fault ever shows it.
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        self.text_asked(key, Kind::Secret).map(SecretString::from)
    }

    /// A secret that must be there and not be empty.
    pub fn required_secret(&self, key: &str) -> Option<SecretString> {
        let read = |section: &Self, key: &str| section.text_asked(key, Kind::Secret);
        let text = self.required(key, read)?;
        if text.is_empty() {
            self.fault(key, format!("{} is empty", self.spelled(key)), "write a value");
            return None;
        }
        Some(SecretString::from(text))
    }

    /// What `read` makes of `key`, which must be there, as in
    /// `section.required("port", Section::integer)`.
    pub fn required<T>(&self, key: &str, read: impl FnOnce(&Self, &str) -> Option<T>) -> Option<T> {
        let value = read(self, key);
        if !self.has(key) {
            let what = format!("{} is missing", self.spelled(key));
            self.fault(key, what, format!("add `{key} = …` to this table"));
        }
        value
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let entry = self.entry(key)?;
        let number = entry.node.value.integer();
        number.or_else(|| self.wrong(entry, key, "a whole number such as `10`"))
    }

    /// A whole number from `least` to `most`, as the type that the caller keeps.
    pub fn number<T: TryFrom<i64>>(&self, key: &str, least: i64, most: i64) -> Option<T> {
        let number = self.integer(key)?;
        let fitting = (least..=most).contains(&number).then(|| T::try_from(number).ok()).flatten();
        if fitting.is_none() {
            let what = format!("{} is {number}", self.spelled(key));
            self.fault(key, what, format!("write a number from {least} to {most}"));
        }
        fitting
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let entry = self.entry(key)?;
        entry.node.value.boolean().or_else(|| self.wrong(entry, key, "`true` or `false`"))
    }

    /// A duration such as `30s`, `5 min`, `4h`, `2 days`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let expected = "a duration such as \"30s\", \"5 min\", \"4h\" or \"2 days\"";
        self.parsed_by(key, expected, units::parse_duration)
    }

    /// A duration in which something must be done: not none at all.
    pub fn time_limit(&self, key: &str) -> Option<Duration> {
        let limit = self.duration(key)?;
        if limit < LEAST_LIMIT {
            let what = format!("{} is too short for anything to be done in it", self.spelled(key));
            self.fault(key, what, "write at least \"100ms\"");
            return None;
        }
        Some(limit)
    }

    /// A size in bytes, such as `1 MiB`.
    pub fn size(&self, key: &str) -> Option<u64> {
        self.parsed_by(key, "a size such as \"64 KiB\" or \"1 MiB\"", units::parse_size)
    }

    /// A rate such as `14/s` or `100/min`, as a number a second.
    pub fn rate(&self, key: &str) -> Option<f64> {
        self.parsed_by(key, "a rate such as \"14/s\" or \"100/min\"", units::parse_rate)
    }

    /// Days and hours such as `Mon-Sat 08:00-18:00`.
    pub fn window(&self, key: &str) -> Option<Window> {
        self.parsed(key, "days and hours such as \"Mon-Sat 08:00-18:00\"")
    }

    /// Anything that parses from a text; `expected` completes "write …".
    pub fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Option<T> {
        self.parsed_by(key, expected, |text| text.parse().ok())
    }

    /// Anything that `parse` makes of a text; `expected` completes "write …".
    pub fn parsed_by<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            let what = format!("{} is `{text}`", self.spelled(key));
            self.fault(key, what, format!("write {expected}"));
        }
        parsed
    }

    /// One of a few words, as the value that goes with it.
    pub fn choice<T: Clone>(&self, key: &str, options: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = options.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = options.iter().map(|(word, _)| *word).collect();
            let what = format!("{} is `{text}`", self.spelled(key));
            self.fault(key, what, suggestion::expected(&text, &words));
        }
        found.map(|(_, value)| value.clone())
    }
}
