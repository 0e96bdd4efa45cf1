//! Settings as a tree in which every key and value knows where it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::fault::{Faults, Place, SourceText};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value as TOML has it; numbers and times keep their spelling.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// A text from the environment or the command line, which may stand for any type.
    Loose(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Time(String),
    List(Vec<Node>),
    Table(Table),
}

/// Keys, where they stand, and their values.
pub(super) type Table = BTreeMap<String, Entry>;

/// One key of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Place,
    pub(super) node: Node,
}

impl Entry {
    /// Where key and value stand together; the key's place if they come from different lines.
    pub(super) fn whole(&self) -> Place {
        match (&self.key, &self.node.place) {
            (Place::Text { source, span: key }, Place::Text { span: value, .. })
                if key.start <= value.end =>
            {
                Place::new(source, key.start..value.end)
            }
            (key, _) => key.clone(),
        }
    }
}

impl Value {
    /// The type's name for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Loose(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) | Self::Loose(text) = self { Some(text) } else { None }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { self.loosely() }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let Self::Boolean(yes) = self { Some(*yes) } else { self.loosely() }
    }

    /// What a loose text parses to.
    fn loosely<T: FromStr>(&self) -> Option<T> {
        if let Self::Loose(text) = self { text.trim().parse().ok() } else { None }
    }
}

impl Node {
    /// The items of a list; a loose text is written as TOML or with commas, and one that says
    /// nothing is no list.
    pub(super) fn list(&self) -> Option<Cow<'_, [Self]>> {
        match &self.value {
            Value::List(items) => Some(Cow::Borrowed(items)),
            Value::Loose(text) => {
                if let Some(Value::List(items)) = parse_value(text, &self.place) {
                    return Some(Cow::Owned(items));
                }
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                let item = |word: &str| Self {
                    value: Value::Loose(word.to_owned()),
                    place: self.place.clone(),
                };
                let items: Cow<'_, [Self]> = words.map(item).collect();
                (!items.is_empty()).then_some(items)
            }
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Time(_)
            | Value::Table(_) => None,
        }
    }

    /// The keys of a table; a loose text is written as TOML.
    pub(super) fn table(&self) -> Option<Cow<'_, Table>> {
        if let Value::Table(table) = &self.value {
            return Some(Cow::Borrowed(table));
        }
        let Value::Loose(text) = &self.value else { return None };
        let Some(Value::Table(table)) = parse_value(text, &self.place) else { return None };
        Some(Cow::Owned(table))
    }

    /// The node as JSON; times become texts.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) | Value::Loose(text) | Value::Time(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(yes) => (*yes).into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => {
                table.iter().map(|(key, entry)| (key.clone(), entry.node.to_json())).collect()
            }
        }
    }

    /// The node one step of a JSON pointer below, and the place of its key.
    pub(super) fn below(&self, step: &str) -> Option<(&Place, &Self)> {
        if let Value::Table(table) = &self.value {
            return table.get(step).map(|entry| (&entry.key, &entry.node));
        }
        let Value::List(items) = &self.value else { return None };
        let item = items.get(step.parse::<usize>().ok()?)?;
        Some((&item.place, item))
    }
}

/// Reads a text as TOML; none if it is not, since what a parser makes of the rest misleads.
pub(super) fn parse(source: &Arc<SourceText>, faults: &Faults) -> Option<Table> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        // Not the error's own Display: it quotes the line, which may hold a secret.
        let start = error.span().map_or(0, |span| span.start);
        let end = if source.may_hold_secrets { start } else { end_of_character(source, start) };
        let what = format!("not TOML: {}", error.message());
        let help = "correct the spelling at this place; texts stand in quotes";
        faults.error(Place::new(source, start..end), what, help);
    }
    errors.is_empty().then(|| convert_table(table.into_inner(), source, faults))
}

fn end_of_character(source: &SourceText, start: usize) -> usize {
    let rest = source.text.get(start..).unwrap_or_default();
    start + rest.chars().next().map_or(0, char::len_utf8)
}

/// Reads a text as one TOML value, such as `["a", "b"]`; none if it is not.
fn parse_value(text: &str, place: &Place) -> Option<Value> {
    let value = DeValue::parse(text).ok()?.into_inner();
    let (source, silent) = (SourceText::open(String::new(), text), Faults::new());
    let mut node = Node { value: convert(value, &source, &silent)?, place: place.clone() };
    move_to(&mut node, place);
    silent.is_empty().then_some(node.value)
}

/// Gives a node and all below it one place.
fn move_to(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| move_to(item, place)),
        Value::Table(table) => {
            for entry in table.values_mut() {
                entry.key = place.clone();
                move_to(&mut entry.node, place);
            }
        }
        Value::Text(_)
        | Value::Loose(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Time(_) => {}
    }
}

fn convert_table(table: DeTable<'_>, source: &Arc<SourceText>, faults: &Faults) -> Table {
    let entries = table.into_iter().filter_map(|(key, value)| {
        let place = Place::new(source, key.span());
        let node = convert_spanned(value, source, faults)?;
        Some((key.into_inner().into_owned(), Entry { key: place, node }))
    });
    entries.collect()
}

fn convert_spanned(
    value: Spanned<DeValue<'_>>,
    source: &Arc<SourceText>,
    faults: &Faults,
) -> Option<Node> {
    let place = Place::new(source, value.span());
    let Some(converted) = convert(value.into_inner(), source, faults) else {
        let help = "write one between -9223372036854775808 and 9223372036854775807";
        faults.error(place, "this number is out of range", help);
        return None;
    };
    Some(Node { value: converted, place })
}

/// The value as our own; none for a number that no 64 bits hold.
fn convert(value: DeValue<'_>, source: &Arc<SourceText>, faults: &Faults) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => Value::List(
            items.into_iter().filter_map(|item| convert_spanned(item, source, faults)).collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, source, faults)),
    })
}

/// Lays `over` on `base`: tables are joined key by key, everything else is replaced.
///
/// A key also replaces its `…_file` twin below it, and the other way round: the later source wins.
pub(super) fn merge(base: &mut Table, over: Table) {
    let keys: Vec<_> = over.keys().cloned().collect();
    for key in keys {
        let twin = key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned);
        if !over.contains_key(&twin) {
            base.remove(&twin);
        }
    }
    for (key, entry) in over {
        match (base.get_mut(&key), entry.node.value) {
            (
                Some(Entry { node: Node { value: Value::Table(below), place }, key }),
                Value::Table(above),
            ) => {
                if matches!(entry.node.place, Place::Text { .. }) {
                    *place = entry.node.place;
                    *key = entry.key;
                }
                merge(below, above);
            }
            (_, value) => {
                let node = Node { value, place: entry.node.place };
                base.insert(key, Entry { key: entry.key, node });
            }
        }
    }
}
