//! Lists, tables below, and tables whose keys are free.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::config::fault::Place;
use crate::config::section::Section;
use crate::config::tree::Node;

impl Section {
    /// A list of texts; in the environment also written `a, b`.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        Some(self.placed_list(key)?.into_iter().map(|(text, _)| text).collect())
    }

    /// A list of texts with the place of each.
    pub fn placed_list(&self, key: &str) -> Option<Vec<(String, Place)>> {
        let expected = "a list of texts such as [\"one\", \"two\"]";
        let entry = self.entry(key)?;
        let Some(nodes) = entry.node.list() else {
            // A variable that a deployment left empty would otherwise take a bound away.
            let is_empty = entry.node.value.text().is_some_and(|text| text.trim().is_empty());
            if !is_empty {
                return self.wrong(entry, key, expected);
            }
            let help = "unset it to keep what the settings say, or write [] for none";
            self.fault(key, format!("{} is empty", self.spelled(key)), help);
            return None;
        };
        let mut texts = Vec::with_capacity(nodes.len());
        for node in nodes.iter() {
            if let Some(text) = node.value.text() {
                texts.push((text.to_owned(), node.place.clone()));
            } else {
                let what = format!("{} holds {}", self.spelled(key), node.value.kind());
                self.faults().error(node.place.clone(), what, format!("write {expected}"));
            }
        }
        Some(texts)
    }

    /// The table under `key`, for example `[email]`.
    pub fn section(&self, key: &str) -> Option<Self> {
        let entry = self.entry(key)?;
        let below = self.below(&entry.node, self.path_of(key), &entry.key);
        below.or_else(|| self.wrong(entry, key, "a table"))
    }

    /// The tables under `key`, for example each `[[rabbitmq.bind]]`; empty without any.
    pub fn sections(&self, key: &str) -> Vec<Self> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Some(nodes) = entry.node.list() else {
            return self.wrong(entry, key, "a list of tables").unwrap_or_default();
        };
        let below = nodes.iter().enumerate().map(|(index, node)| {
            self.below(node, format!("{}[{index}]", self.path_of(key)), &node.place)
        });
        let tables: Option<Vec<Self>> = below.collect();
        tables.or_else(|| self.wrong(entry, key, "a list of tables")).unwrap_or_default()
    }

    /// The named tables under `key`, for example each `[providers.NAME]`; empty without any.
    pub fn named_sections(&self, key: &str) -> Vec<(String, Self)> {
        let Some(outer) = self.section(key) else { return Vec::new() };
        let named = outer.keys().into_iter();
        named.filter_map(|name| Some((name.clone(), outer.section(&name)?))).collect()
    }

    /// A table whose keys are free and whose values are texts, such as headers.
    pub fn texts(&self, key: &str) -> BTreeMap<String, String> {
        let Some(outer) = self.section(key) else { return BTreeMap::new() };
        let names = outer.names().into_iter();
        names.filter_map(|name| Some((name.clone(), outer.text(&name)?))).collect()
    }

    /// The same with secret values; a key may end in `_file`.
    pub fn secrets(&self, key: &str) -> BTreeMap<String, SecretString> {
        let Some(outer) = self.section(key) else { return BTreeMap::new() };
        let names = outer.names().into_iter();
        names.filter_map(|name| Some((name.clone(), outer.secret(&name)?))).collect()
    }

    /// Whatever stands under `key`, as JSON; times become texts.
    pub fn json(&self, key: &str) -> Option<serde_json::Value> {
        Some(self.entry(key)?.node.to_json())
    }

    /// The keys of this table as they are written.
    pub fn keys(&self) -> Vec<String> {
        self.0.table.keys().cloned().collect()
    }

    /// The keys with `_file` taken off.
    fn names(&self) -> BTreeSet<String> {
        let plain = |key: &String| key.strip_suffix("_file").unwrap_or(key).to_owned();
        self.0.table.keys().map(plain).collect()
    }

    fn below(&self, node: &Node, path: String, place: &Place) -> Option<Self> {
        let table = node.table()?.into_owned();
        Some(Self::new(path, place.clone(), table, self.faults().clone()))
    }
}
