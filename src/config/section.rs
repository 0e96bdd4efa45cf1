//! A cursor over one table of settings that knows where it stands.
//!
//! Every part reads its own settings through one: a value that is missing or of the wrong sort
//! becomes a fault in a list shared by all, and reading goes on, so that one run shows everything.

mod tables;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use crate::config::fault::{Faults, Place};
use crate::config::secret_file::{self, Unread};
use crate::config::suggestion;
use crate::config::tree::{Entry, Table};

/// One table of settings; cheap to clone, and clones share what has been asked for.
///
/// What reads a value returns none both for an absent key and, after adding a fault, for a value
/// that is wrong. [`Section::required`] makes a fault of absence too.
#[derive(Clone, Debug)]
pub struct Section(Arc<Inner>);

struct Inner {
    /// The dotted path, such as `providers.relay`; empty for the root.
    path: String,
    place: Place,
    table: Table,
    /// Keys that someone asked for, and how.
    asked: Mutex<BTreeMap<String, Kind>>,
    faults: Faults,
}

/// How a key was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Open,
    Secret,
}

impl fmt::Debug for Inner {
    /// Writes the path alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Section {
    pub(super) fn root(table: Table, place: Place, faults: Faults) -> Self {
        Self::new(String::new(), place, table, faults)
    }

    /// An empty table whose faults nobody hears, for one that could not be read.
    pub(super) fn detached() -> Self {
        Self::root(Table::new(), Place::Named(String::new()), Faults::new())
    }

    fn new(path: String, place: Place, table: Table, faults: Faults) -> Self {
        Self(Arc::new(Inner { path, place, table, asked: Mutex::default(), faults }))
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
        self.find(key).map_or_else(|| self.place().clone(), |entry| self.shown(entry, key))
    }

    /// The place under `key` that a JSON pointer leads to, or of the last step that exists.
    pub fn place_at(&self, key: &str, pointer: &str) -> Place {
        let Some(entry) = self.0.table.get(key) else { return self.place().clone() };
        let (mut place, mut node) = (&entry.key, &entry.node);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let Some(below) = node.below(&step) else { break };
            (place, node) = below;
        }
        place.clone()
    }

    /// Whether `key` (or `KEY_file`) is there.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether `key` has the same value in `other`; of a file that holds it, only the name counts.
    pub fn says_the_same(&self, other: &Self, key: &str) -> bool {
        let said =
            |section: &Self, key: &str| section.0.table.get(key).map(|entry| entry.node.to_json());
        let file = format!("{key}_file");
        [key, &file].into_iter().all(|key| said(self, key) == said(other, key))
    }

    /// Whether something in it stands in a file of its own (`KEY_file`).
    pub fn reads_files(&self) -> bool {
        self.0.table.iter().any(|(key, entry)| names_file(key, &entry.node.to_json()))
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
            let base = key.strip_suffix("_file").unwrap_or(key);
            if known.contains(key) || known.contains(base) {
                continue;
            }
            let words: Vec<_> = known.iter().map(String::as_str).collect();
            let what = format!("unknown setting {}", self.spelled(key));
            self.0.faults.error(entry.key.clone(), what, suggestion::unknown(key, &words));
        }
    }
}

impl Section {
    /// The entry of `key`; what stands in the file of `KEY_file` is not looked at.
    fn entry(&self, key: &str) -> Option<&Entry> {
        self.ask(key, Kind::Open);
        self.0.table.get(key)
    }

    /// The entry of `key`, or of the file that stands for it.
    fn find(&self, key: &str) -> Option<&Entry> {
        self.0.table.get(key).or_else(|| self.0.table.get(&format!("{key}_file")))
    }

    /// The text under `key`, or in the file that `KEY_file` names.
    fn text_asked(&self, key: &str, kind: Kind) -> Option<String> {
        self.ask(key, kind);
        let Some(entry) = self.0.table.get(key) else { return self.text_of_file(key) };
        let text = entry.node.value.text().map(str::to_owned);
        text.or_else(|| self.wrong(entry, key, "a text in quotes"))
    }

    fn text_of_file(&self, key: &str) -> Option<String> {
        let file_key = format!("{key}_file");
        let entry = self.0.table.get(&file_key)?;
        let Some(path) = entry.node.value.text() else {
            return self.wrong(entry, &file_key, "the path of a file, in quotes");
        };
        let (what, help) = match secret_file::read(path) {
            Ok(text) => return Some(text),
            Err(Unread::NoFile(error)) => {
                // The path is not shown: someone may have written the secret itself.
                let what = format!("{} names no readable file: {error}", self.spelled(&file_key));
                (what, "name a text file of at most 1 MiB that this process may read")
            }
            Err(Unread::Unfit(what, help)) => {
                (format!("the file {path} of {} {what}", self.spelled(&file_key)), help)
            }
        };
        self.0.faults.error(entry.key.clone(), what, help);
        None
    }

    /// Adds a fault about the sort of a value; the value is not shown, since what stands in the
    /// wrong place may be a secret.
    fn wrong<T>(&self, entry: &Entry, key: &str, expected: &str) -> Option<T> {
        let what = format!("{} is {}", self.spelled(key), entry.node.value.kind());
        self.0.faults.error(entry.key.clone(), what, format!("write {expected}"));
        None
    }

    /// What a fault may show of an entry.
    fn shown(&self, entry: &Entry, key: &str) -> Place {
        let kind = self.asked(|asked| asked.get(key).copied());
        if kind == Some(Kind::Open) { entry.whole() } else { entry.key.clone() }
    }

    fn ask(&self, key: &str, kind: Kind) {
        self.asked(|asked| {
            // Once asked for as a secret, always one.
            let known = asked.entry(key.to_owned()).or_insert(kind);
            *known = (*known).max(kind);
        });
    }

    fn asked<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Kind>) -> T) -> T {
        // Notes stay whole even if a thread panicked while it took one.
        act(&mut self.0.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A key as people find it: with the path of its table.
    fn spelled(&self, key: &str) -> String {
        format!("`{}`", self.path_of(key))
    }

    fn path_of(&self, key: &str) -> String {
        if self.0.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.0.path) }
    }
}

/// Whether `key`, or a key inside of its value, names a file.
fn names_file(key: &str, value: &Json) -> bool {
    let inside = value.as_object().into_iter().flatten();
    key.ends_with("_file") || inside.into_iter().any(|(key, value)| names_file(key, value))
}
