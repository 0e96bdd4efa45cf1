//! Where settings come from, in the order in which they overrule each other.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::fault::{Faults, Place, SourceText};
use crate::config::section::Section;
use crate::config::tree::{self, Entry, Node, Table, Value};

/// The built-in defaults, which every other source overrules.
const DEFAULTS: &str = include_str!("../../config/loa.toml");

/// Where a file is looked for when none is named.
const USUAL_PLACES: [&str; 3] = ["./loa.toml", "./config/loa.toml", "/etc/loa/loa.toml"];

/// The name that begins every variable that is a setting.
const PREFIX: &str = "LOA__";

/// The sources of one reading, weakest first: defaults, file, environment, overrides.
#[derive(Clone, Default)]
pub struct Sources {
    file: Option<Origin>,
    environment: Vec<(String, OsString)>,
    overrides: Vec<Override>,
}

#[derive(Clone)]
enum Origin {
    Path(PathBuf),
    Text { name: String, text: String },
}

#[derive(Clone)]
struct Override {
    path: String,
    value: String,
    said_by: String,
}

impl fmt::Debug for Sources {
    /// Writes the file's name alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file()).finish_non_exhaustive()
    }
}

impl Sources {
    /// The defaults alone: no file, no environment.
    pub fn defaults() -> Self {
        Self::default()
    }

    /// What this process was given: `file` (`--config`), else `LOA_CONFIG`, else a usual place, and
    /// the environment.
    #[expect(clippy::disallowed_methods, reason = "config is where the environment is read")]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let named = file.or_else(|| std::env::var_os("LOA_CONFIG").map(PathBuf::from));
        let usual = || USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.exists());
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX));
        Self {
            file: named.or_else(usual).map(Origin::Path),
            environment: variables.collect(),
            overrides: Vec::new(),
        }
    }

    /// The same with the file at `path`.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(Origin::Path(path.into()));
        self
    }

    /// The same with `text` as if it stood in a file called `name`.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: &str) -> Self {
        self.file = Some(Origin::Text { name: name.to_owned(), text: text.to_owned() });
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// The same with the setting at a dotted `path`, which faults name as `said_by` (`--listen`).
    #[must_use]
    pub fn with_override(mut self, path: &str, value: &str, said_by: &str) -> Self {
        let (path, value, said_by) = (path.to_owned(), value.to_owned(), said_by.to_owned());
        self.overrides.push(Override { path, value, said_by });
        self
    }

    /// The file that is read, if any.
    pub fn file(&self) -> Option<&Path> {
        match self.file.as_ref()? {
            Origin::Path(path) => Some(path),
            Origin::Text { .. } => None,
        }
    }

    /// All sources laid over each other, and whether all of them could be read.
    ///
    /// If the file could not, the defaults stand alone: settings that only seem to be missing
    /// would bring faults that are none.
    pub(super) fn merged(&self, faults: &Faults) -> (Section, bool) {
        let defaults = settings_text("config/loa.toml (built in)".to_owned(), DEFAULTS.to_owned());
        let mut table = tree::parse(&defaults, faults).unwrap_or_default();
        let mut place = Place::new(&defaults, 0..0);
        let mut is_whole = true;
        if self.file.is_some() {
            let source = self.file_text(faults);
            let read = source.and_then(|source| Some((tree::parse(&source, faults)?, source)));
            is_whole = read.is_some();
            if let Some((over, source)) = read {
                tree::merge(&mut table, over);
                place = Place::new(&source, 0..0);
            }
        }
        if is_whole {
            self.lay_variables(&mut table, faults);
        }
        (Section::root(table, place, faults.clone()), is_whole)
    }

    /// Lays environment and overrides over the table.
    fn lay_variables(&self, table: &mut Table, faults: &Faults) {
        let mut variables = self.environment.clone();
        variables.sort();
        for (name, value) in variables {
            lay_variable(table, &name, value, faults);
        }
        for given in &self.overrides {
            let path: Vec<_> = given.path.split('.').map(str::to_owned).collect();
            let place = Place::Named(given.said_by.clone());
            tree::merge(table, nested(&path, given.value.clone(), &place));
        }
    }

    fn file_text(&self, faults: &Faults) -> Option<Arc<SourceText>> {
        match self.file.as_ref()? {
            Origin::Text { name, text } => Some(settings_text(name.clone(), text.clone())),
            Origin::Path(path) => match fs::read_to_string(path) {
                Ok(text) => Some(settings_text(path.display().to_string(), text)),
                Err(error) => {
                    let place = Place::Named(path.display().to_string());
                    let what = format!("the settings file cannot be read: {error}");
                    let help = "name a readable file by --config or LOA_CONFIG";
                    faults.error(place, what, help);
                    None
                }
            },
        }
    }
}

fn settings_text(name: String, text: String) -> Arc<SourceText> {
    Arc::new(SourceText { name, text, may_hold_secrets: true })
}

/// Lays `LOA__PROVIDERS__RELAY__PASSWORD` over the table as `providers.relay.password`.
fn lay_variable(table: &mut Table, name: &str, value: OsString, faults: &Faults) {
    let place = Place::Named(name.to_owned());
    let Some(words) = name.strip_prefix(PREFIX) else { return };
    let words: Vec<_> = words.split("__").map(str::to_lowercase).collect();
    if words.iter().any(String::is_empty) {
        let help = "write LOA__SECTION__KEY, with two underscores between the words";
        faults.error(place, "this variable names no setting", help);
        return;
    }
    let Ok(value) = value.into_string() else {
        faults.error(place, "this variable's value is not UTF-8", "write it in UTF-8");
        return;
    };
    let path = existing_spelling(table, &words);
    tree::merge(table, nested(&path, value, &place));
}

/// The path with the spelling of keys that exist: variables cannot hold the `-` of `team-chat`.
fn existing_spelling(table: &Table, words: &[String]) -> Vec<String> {
    let Some((word, rest)) = words.split_first() else { return Vec::new() };
    let alike = |key: &&String| key.replace('-', "_").to_lowercase() == *word;
    let exact = table.get_key_value(word).map(|(key, _)| key);
    let key = exact.or_else(|| table.keys().find(alike)).unwrap_or(word);
    let below = match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Table(below)) => existing_spelling(below, rest),
        _ => rest.to_vec(),
    };
    std::iter::once(key.clone()).chain(below).collect()
}

/// A table that holds `value` at `path` and nothing else.
fn nested(path: &[String], value: String, place: &Place) -> Table {
    let Some((key, rest)) = path.split_first() else { return Table::new() };
    let value = if rest.is_empty() {
        Value::Loose(value)
    } else {
        Value::Table(nested(rest, value, place))
    };
    let node = Node { value, place: place.clone() };
    Table::from([(key.clone(), Entry { key: place.clone(), node })])
}
