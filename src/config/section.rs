//! A cursor over one table of settings that knows where it stands.
//!
//! Every part reads its own settings through one: a value that is missing or of the wrong sort
//! becomes a fault in a list shared by all, and reading goes on, so that one run shows everything.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use crate::config::fault::{Faults, Place};
use crate::config::tree::{self, Entry, Node, Table, Value};
use crate::config::{secret_file, suggestion, units};
use crate::model::window::Window;

/// One table of settings; cheap to clone, and clones share what has been asked for.
#[derive(Clone, Debug)]
pub struct Section(Arc<Inner>);

struct Inner {
    /// The dotted path, such as `providers.relay`; empty for the root.
    path: String,
    place: Place,
    table: Table,
    /// Keys that someone asked for, and whether as a secret.
    asked: Mutex<BTreeMap<String, Kind>>,
    faults: Faults,
}

/// How a key was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Secret,
}

impl std::fmt::Debug for Inner {
    /// Writes the path alone: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Plain values.
impl Section {
    /// A text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.text_asked(key, Kind::Open).map(|(text, _)| text)
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

    /// A secret, from the settings or from the file that `KEY_file` names; never shown in a fault.
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        self.text_asked(key, Kind::Secret).map(|(text, _)| SecretString::from(text))
    }

    /// A secret that must be there and not be empty.
    pub fn required_secret(&self, key: &str) -> Option<SecretString> {
        let (text, _) = self.required(key, |section, key| section.text_asked(key, Kind::Secret))?;
        if text.is_empty() {
            self.fault(key, format!("{} is empty", self.spelled(key)), "write a value");
            return None;
        }
        Some(SecretString::from(text))
    }

    /// What `read` reads under `key`, which must be there: `section.required("port", Section::integer)`.
    pub fn required<T>(&self, key: &str, read: impl FnOnce(&Self, &str) -> Option<T>) -> Option<T> {
        let value = read(self, key);
        if !self.has(key) {
            let file = format!("{key}_file");
            let help =
                format!("add `{key} = …` here, or `{file}` with the path of a file that holds it");
            self.0.faults.error(
                self.place().clone(),
                format!("{} is missing", self.spelled(key)),
                help,
            );
        }
        value
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        let entry = self.entry(key, Kind::Open)?;
        match &entry.node.value {
            Value::Integer(number) => Some(*number),
            Value::Loose(text) if text.trim().parse::<i64>().is_ok() => text.trim().parse().ok(),
            other => self.wrong(entry, key, other, "a whole number such as `10`"),
        }
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
        let entry = self.entry(key, Kind::Open)?;
        match &entry.node.value {
            Value::Boolean(yes) => Some(*yes),
            Value::Loose(text) if text.trim().parse::<bool>().is_ok() => text.trim().parse().ok(),
            other => self.wrong(entry, key, other, "`true` or `false`"),
        }
    }

    /// A duration such as `30s`, `5 min`, `4h`, `2 days`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let expected = "a duration such as \"30s\", \"5 min\", \"4h\" or \"2 days\"";
        self.parsed_by(key, expected, units::parse_duration)
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

    /// Anything that parses from a text; `expected` completes "expected …".
    pub fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Option<T> {
        self.parsed_by(key, expected, |text| text.parse().ok())
    }

    /// Anything that `parse` makes of a text; `expected` completes "expected …".
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

/// Lists, tables and free values.
impl Section {
    /// A list of texts; from the environment also `a, b`.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        Some(self.placed_list(key)?.into_iter().map(|(text, _)| text).collect())
    }

    /// A list of texts with the place of each.
    pub fn placed_list(&self, key: &str) -> Option<Vec<(String, Place)>> {
        let expected = "a list of texts such as [\"one\", \"two\"]";
        let entry = self.entry(key, Kind::Open)?;
        let nodes = match &entry.node.value {
            Value::List(items) => items.clone(),
            Value::Loose(text) => loose_list(text, &entry.node.place),
            other => return self.wrong(entry, key, other, expected),
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Value::Text(text) | Value::Loose(text) = node.value {
                texts.push((text, node.place));
            } else {
                let what = format!("{} holds {}", self.spelled(key), node.value.kind());
                self.0.faults.error(node.place, what, format!("write {expected}"));
            }
        }
        Some(texts)
    }

    /// The table under `key`, for example `[email]`.
    pub fn section(&self, key: &str) -> Option<Self> {
        let entry = self.entry(key, Kind::Open)?;
        self.below(entry, self.path_of(key), &entry.key)
            .or_else(|| self.wrong(entry, key, &entry.node.value, "a table"))
    }

    /// The tables under `key`, for example each `[[rabbitmq.bind]]`; empty without any.
    pub fn sections(&self, key: &str) -> Vec<Self> {
        let Some(entry) = self.entry(key, Kind::Open) else { return Vec::new() };
        let parsed = match &entry.node.value {
            Value::Loose(text) => tree::parse_value(text, &entry.node.place),
            _ => None,
        };
        let Value::List(items) = &parsed.as_ref().unwrap_or(&entry.node).value else {
            let none: Option<()> = self.wrong(entry, key, &entry.node.value, "a list of tables");
            return none.map_or_else(Vec::new, |()| Vec::new());
        };
        let numbered = items.iter().enumerate().filter_map(|(index, node)| {
            let item = Entry { key: node.place.clone(), node: node.clone() };
            let path = format!("{}[{index}]", self.path_of(key));
            self.below(&item, path, &node.place)
                .or_else(|| self.wrong(&item, key, &node.value, "a list of tables"))
        });
        numbered.collect()
    }

    /// The named tables under `key`, for example each `[providers.NAME]`; empty without any.
    pub fn named_sections(&self, key: &str) -> Vec<(String, Self)> {
        let Some(outer) = self.section(key) else { return Vec::new() };
        let names: Vec<_> = outer.0.table.keys().cloned().collect();
        names.into_iter().filter_map(|name| Some((name.clone(), outer.section(&name)?))).collect()
    }

    /// A table whose keys are free and whose values are texts, such as headers.
    pub fn texts(&self, key: &str) -> BTreeMap<String, String> {
        let Some(outer) = self.section(key) else { return BTreeMap::new() };
        outer
            .free_keys()
            .into_iter()
            .filter_map(|key| Some((key.clone(), outer.text(&key)?)))
            .collect()
    }

    /// The same with secret values; a key may end in `_file`.
    pub fn secrets(&self, key: &str) -> BTreeMap<String, SecretString> {
        let Some(outer) = self.section(key) else { return BTreeMap::new() };
        outer
            .free_keys()
            .into_iter()
            .filter_map(|key| Some((key.clone(), outer.secret(&key)?)))
            .collect()
    }

    /// Whatever stands under `key`, as JSON; times become texts.
    pub fn json(&self, key: &str) -> Option<serde_json::Value> {
        Some(to_json(&self.entry(key, Kind::Open)?.node))
    }

    /// The place under `key` that a JSON pointer leads to, or of the last step that exists.
    pub fn place_at(&self, key: &str, pointer: &str) -> Place {
        let Some(entry) = self.0.table.get(key) else { return self.place().clone() };
        let mut place = entry.key.clone();
        let mut node = &entry.node;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Table(table) => table.get(&step).map(|entry| (&entry.key, &entry.node)),
                Value::List(items) => {
                    let item = step.parse().ok().and_then(|index: usize| items.get(index));
                    item.map(|node| (&node.place, node))
                }
                _ => None,
            };
            let Some((key, below)) = next else { break };
            place = key.clone();
            node = below;
        }
        place
    }
}

/// Places and faults.
impl Section {
    pub(super) fn root(table: Table, place: Place, faults: Faults) -> Self {
        let asked = Mutex::default();
        Self(Arc::new(Inner { path: String::new(), place, table, asked, faults }))
    }

    /// An empty table whose faults nobody hears, for one that could not be read.
    pub(super) fn detached() -> Self {
        Self::root(Table::new(), Place::Named(String::new()), Faults::new())
    }

    /// The dotted path, such as `providers.relay`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Where the table begins.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Where `key` and its value stand: the key alone if it is a secret, the table if it is absent.
    pub fn place_of(&self, key: &str) -> Place {
        let Some(entry) = self.find(key) else { return self.place().clone() };
        let kind = self.asked(|asked| asked.get(key).copied());
        if kind == Some(Kind::Open) { entry.whole() } else { entry.key.clone() }
    }

    /// Whether `key` (or `KEY_file`) is there.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The keys of this table.
    pub fn keys(&self) -> Vec<String> {
        self.0.table.keys().cloned().collect()
    }

    /// The list that this section adds its faults to.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Adds an error at `key`; `what` must not quote a secret.
    pub fn fault(&self, key: &str, what: impl Into<String>, help: impl Into<String>) {
        self.0.faults.error(self.place_of(key), what, help);
    }

    /// Adds a warning at `key`; `what` must not quote a secret.
    pub fn warn(&self, key: &str, what: impl Into<String>, help: impl Into<String>) {
        self.0.faults.warning(self.place_of(key), what, help);
    }

    /// Makes a fault of every key that nobody asked for. Call it after the last key was read.
    pub fn finish(&self) {
        let known: BTreeSet<String> = self.asked(|asked| asked.keys().cloned().collect());
        for (key, entry) in &self.0.table {
            let is_known = known.contains(key)
                || key.strip_suffix("_file").is_some_and(|base| known.contains(base));
            if is_known {
                continue;
            }
            let words: Vec<_> = known.iter().map(String::as_str).collect();
            let what = format!("unknown setting {}", self.spelled(key));
            self.0.faults.error(entry.key.clone(), what, suggestion::unknown(key, &words));
        }
    }

    /// A key as people find it: with the path of its table.
    fn spelled(&self, key: &str) -> String {
        format!("`{}`", self.path_of(key))
    }

    fn path_of(&self, key: &str) -> String {
        if self.0.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.0.path) }
    }
}

impl Section {
    fn text_asked(&self, key: &str, kind: Kind) -> Option<(String, Place)> {
        self.ask(key, kind);
        let entry = match self.0.table.get(key) {
            Some(entry) => entry,
            None => return self.text_of_file(key),
        };
        match &entry.node.value {
            Value::Text(text) | Value::Loose(text) => {
                Some((text.clone(), entry.node.place.clone()))
            }
            other => self.wrong(entry, key, other, "a text in quotes"),
        }
    }

    /// The content of the file that `KEY_file` names.
    fn text_of_file(&self, key: &str) -> Option<(String, Place)> {
        let file_key = format!("{key}_file");
        let entry = self.0.table.get(&file_key)?;
        let (Value::Text(path) | Value::Loose(path)) = &entry.node.value else {
            return self.wrong(entry, &file_key, &entry.node.value, "the path of a file");
        };
        match secret_file::read(path) {
            Ok(text) => Some((text, entry.node.place.clone())),
            Err(error) => {
                // The path is not shown: someone may have written the secret itself.
                let what = format!("{} names no readable file: {error}", self.spelled(&file_key));
                let help = "name a text file of at most 1 MiB that this process may read";
                self.0.faults.error(entry.key.clone(), what, help);
                None
            }
        }
    }

    /// The entry of `key`, or of the file that stands for it.
    fn find(&self, key: &str) -> Option<&Entry> {
        let table = &self.0.table;
        table.get(key).or_else(|| table.get(&format!("{key}_file")))
    }

    /// The entry of `key`; the content of `KEY_file` is not looked at.
    fn entry(&self, key: &str, kind: Kind) -> Option<&Entry> {
        self.ask(key, kind);
        self.0.table.get(key)
    }

    fn ask(&self, key: &str, kind: Kind) {
        self.asked(|asked| {
            let known = asked.entry(key.to_owned()).or_insert(kind);
            if kind == Kind::Secret {
                *known = kind;
            }
        });
    }

    fn asked<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Kind>) -> T) -> T {
        // Notes stay whole even if a thread panicked while it took one.
        act(&mut self.0.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a fault about the sort of a value, without showing the value of a secret.
    fn wrong<T>(&self, entry: &Entry, key: &str, found: &Value, expected: &str) -> Option<T> {
        let kind = self.asked(|asked| asked.get(key).copied());
        let place = if kind == Some(Kind::Open) { entry.whole() } else { entry.key.clone() };
        let what = match found {
            // A text where another sort is wanted comes from the environment or is plainly wrong.
            Value::Loose(_) => format!("{} cannot be read", self.spelled(key)),
            other => format!("{} is {}", self.spelled(key), other.kind()),
        };
        self.0.faults.error(place, what, format!("write {expected}"));
        None
    }

    fn below(&self, entry: &Entry, path: String, place: &Place) -> Option<Self> {
        let table = match &entry.node.value {
            Value::Table(table) => table.clone(),
            Value::Loose(text) => match tree::parse_value(text, &entry.node.place)?.value {
                Value::Table(table) => table,
                _ => return None,
            },
            _ => return None,
        };
        let (asked, faults) = (Mutex::default(), self.0.faults.clone());
        Some(Self(Arc::new(Inner { path, place: place.clone(), table, asked, faults })))
    }

    /// The keys with `_file` taken off.
    fn free_keys(&self) -> BTreeSet<String> {
        let plain = |key: &String| key.strip_suffix("_file").unwrap_or(key).to_owned();
        self.0.table.keys().map(plain).collect()
    }
}

/// A list written in one text: as TOML, or with commas.
fn loose_list(text: &str, place: &Place) -> Vec<Node> {
    if let Some(Node { value: Value::List(items), .. }) = tree::parse_value(text, place) {
        return items;
    }
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| Node { value: Value::Loose(word.to_owned()), place: place.clone() }).collect()
}

fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Text(text) | Value::Loose(text) | Value::Time(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(yes) => (*yes).into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Table(table) => {
            table.iter().map(|(key, entry)| (key.clone(), to_json(&entry.node))).collect()
        }
    }
}
