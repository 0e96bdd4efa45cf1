//! Takes a file apart into rows, each with the line it begins at.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value};

use super::{Kind, Misfit};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A header line with the names of the members, then one line a row; lists with `;` between.
    Csv,
}

impl Format {
    /// The format of a media type, if rows may come in it.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default().trim() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The format that the end of a file's name says.
    pub fn of_file_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// One row of a file, or why it cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its line, from 1; in a JSON array its place there, from 1.
    pub line: u64,
    /// The row as an object.
    pub value: Result<Value, Misfit>,
}

impl Row {
    /// The id that it gives, if it can be read.
    pub fn id(&self) -> Option<&str> {
        self.value.as_ref().ok()?.get("id")?.as_str()
    }
}

/// The rows of `bytes` about somebody of this `kind`; empty lines are no rows.
///
/// # Errors
/// When nothing of it can be read, or the header of a table has other columns than there are.
pub fn rows(kind: Kind, format: Format, bytes: &[u8]) -> Result<Vec<Row>, Misfit> {
    // Tables are often saved with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut rows = match format {
        Format::Json => array(bytes)?,
        Format::Ndjson => lines(bytes),
        Format::Csv => table(kind, bytes)?,
    };
    refuse_twins(&mut rows);
    Ok(rows)
}

/// Of rows with the same id the first stays: which of them is meant, only their writer knows.
fn refuse_twins(rows: &mut [Row]) {
    let mut lines = HashMap::new();
    for row in rows {
        let Some(id) = row.id() else { continue };
        match lines.entry(id.to_owned()) {
            Entry::Vacant(place) => drop(place.insert(row.line)),
            Entry::Occupied(first) => {
                let line = first.get();
                let text = format!("the same id stands in line {line}; keep one of them");
                row.value = Err(Misfit::new("/id", text));
            }
        }
    }
}

fn array(bytes: &[u8]) -> Result<Vec<Row>, Misfit> {
    let rows: Vec<Value> = serde_json::from_slice(bytes)
        .map_err(|error| Misfit::new("", format!("expected a JSON array of objects: {error}")))?;
    let numbered = (1..).zip(rows);
    Ok(numbered.map(|(line, value)| Row { line, value: Ok(value) }).collect())
}

fn lines(bytes: &[u8]) -> Vec<Row> {
    let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
    let lines = (1..).zip(bytes.split(|byte| *byte == b'\n'));
    let full = lines.filter(|(_, line)| !is_blank(line));
    full.map(|(line, text)| Row { line, value: object(text) }).collect()
}

fn object(text: &[u8]) -> Result<Value, Misfit> {
    serde_json::from_slice(text).map_err(|error| {
        let column = error.column();
        Misfit::new("", format!("not a JSON object at column {column}: {error}"))
    })
}

fn table(kind: Kind, bytes: &[u8]) -> Result<Vec<Row>, Misfit> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let unreadable = |error: csv::Error| Misfit::new("", format!("no table: {error}"));
    let header = reader.headers().map_err(unreadable)?.clone();
    if let Some(sign) = other_separator(kind, &header) {
        let text = format!(
            "line 1: the columns are separated by {sign}; save the table with commas between them \
             (inside a cell of several words stands `;`)"
        );
        return Err(Misfit::new("", text));
    }
    check_header(kind, &header)?;
    let (mut rows, mut lines) = (Vec::new(), Lines { bytes, at: 0, line: 1 });
    for record in reader.records() {
        let position = match &record {
            Ok(record) => record.position(),
            Err(error) => error.position(),
        };
        let line = lines.of(position.map_or(0, csv::Position::byte));
        let value = match record {
            Ok(record) => Ok(cells(&header, &record)),
            Err(error) => Err(misread(&error)),
        };
        rows.push(Row { line, value });
    }
    Ok(rows)
}

/// What stands between the columns where it is no comma, as spreadsheets of many countries save
/// them.
fn other_separator(kind: Kind, header: &csv::StringRecord) -> Option<&'static str> {
    let mut cells = header.iter();
    let (Some(only), None) = (cells.next(), cells.next()) else { return None };
    let parts_by = |sign: char| {
        let names = only.split(sign).map(|name| name.trim().trim_matches('"'));
        names.filter(|name| kind.columns().contains(name)).count() > 1
    };
    let signs = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];
    signs.into_iter().find(|(sign, _)| parts_by(*sign)).map(|(_, name)| name)
}

/// Refuses a header by which every row would be misread.
fn check_header(kind: Kind, header: &csv::StringRecord) -> Result<(), Misfit> {
    let known = kind.columns();
    let quoted = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let mut faults = Vec::new();
    let named: Vec<&str> = header.iter().filter(|name| !name.is_empty()).collect();
    let unknown: Vec<&str> = named.iter().copied().filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        let known = quoted(known);
        faults.push(format!("{} is no column; the columns are {known}", quoted(&unknown)));
    }
    let twice = |column: &&&str| named.iter().filter(|name| *name == *column).count() > 1;
    if let Some(column) = known.iter().find(twice) {
        faults.push(format!("the column `{column}` stands there twice"));
    }
    let needed = ["id", "name"];
    if let Some(column) = needed.iter().find(|column| !named.contains(column)) {
        faults.push(format!("the column `{column}` is missing"));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Misfit::new("", format!("line 1: {}", faults.join("; ")))),
    }
}

/// Counts lines up to a place, going forward only; the reader's own count is behind by one where
/// lines end with carriage return and line feed.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first letter from `byte` on that ends no line.
    fn of(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(letter) = self.bytes.get(self.at) {
            if self.at >= byte && !matches!(letter, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(*letter == b'\n');
            self.at += 1;
        }
        self.line
    }
}

/// What is wrong with a record, without its text.
fn misread(error: &csv::Error) -> Misfit {
    let text = if let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        format!("expected {expected_len} columns as in the header, found {len}")
    } else if let csv::ErrorKind::Utf8 { .. } = error.kind() {
        "not UTF-8; save the table as UTF-8".to_owned()
    } else {
        "cannot be read as CSV".to_owned()
    };
    Misfit::new("", text)
}

fn cells(header: &csv::StringRecord, record: &csv::StringRecord) -> Value {
    let full = header.iter().zip(record).filter(|(_, text)| !text.is_empty());
    let row: Map<_, _> = full.map(|(name, text)| (name.to_owned(), cell(name, text))).collect();
    Value::Object(row)
}

fn cell(name: &str, text: &str) -> Value {
    match name {
        "tags" | "teams" | "channels" => {
            let words = text.split(';').map(str::trim).filter(|word| !word.is_empty());
            words.map(Value::from).collect()
        }
        _ => Value::from(text),
    }
}
