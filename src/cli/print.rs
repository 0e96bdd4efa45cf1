//! Prints for people and for programs.

mod fit;

use std::io::Write;

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, TableStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Output;
use super::client::Server;
use fit::Arranged;

/// One line under the titles, and nothing between rows.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// Prints a line for people; ends the program where nobody takes it.
///
/// What comes from outside does not steer the terminal: only line breaks and tabs are kept of all
/// that is no letter. Who reads by `| head` has seen enough: that is no fault. Where the output
/// cannot be written, such as on a full disk, the exit code says so.
pub(super) fn print(text: &str) {
    put(&inert(text));
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("cannot write the output: {error}");
    std::process::exit(1);
}

/// The text without what would steer a terminal, or show letters in another order than they stand.
pub(super) fn inert(text: &str) -> String {
    text.chars().filter(|letter| matches!(letter, '\n' | '\t') || !steers(*letter)).collect()
}

fn steers(letter: char) -> bool {
    let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(letter, '\u{2066}'..='\u{2069}');
    letter.is_control() || turns
}

/// Prints a result for programs, which get every letter, and people who look at it no escapes.
pub(super) fn print_json(value: &Value) {
    put(&escaped(&format!("{value:#}")));
}

/// JSON in which letters that steer are written as JSON writes them; outside of texts there are
/// none.
fn escaped(json: &str) -> String {
    let mut written = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter != '\n' && steers(letter) {
            written.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            written.push(letter);
        }
    }
    written
}

/// A table of many columns for people, one line a row, or two where their terminal is too narrow:
/// what finds no room even then is shortened or left out. Where the output is no terminal, all of
/// it is written.
///
/// The columns stand with the one that matters most first; that one stays whole.
pub(super) fn print_rows(titles: &[&str], rows: Vec<Vec<String>>) {
    let Some(room) = comfy_table::Table::new().width() else { return print_table(titles, rows) };
    let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| on_one_line(&cell)).collect());
    let rows: Vec<Vec<String>> = rows.collect();
    let left_out = match fit::arrange(titles, rows, room.into()) {
        Arranged::OnOneLine(fitted) => {
            print_table(&fitted.titles, fitted.rows);
            fitted.left_out
        }
        Arranged::OnTwoLines(both) => {
            print(&both.written());
            both.second.left_out
        }
    };
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        print(&format!("not shown at this width: {names}; --output json has everything"));
    }
}

/// A table for people, as wide as their terminal; ids stay whole, so that they can be copied.
pub(super) fn print_table(titles: &[&str], rows: Vec<Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(titles.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| on_one_line(cell)).collect::<Vec<_>>());
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    print(&table.to_string());
}

fn on_one_line(text: &str) -> String {
    inert(text).replace('\n', " ")
}

/// A member of a JSON object as text for a table: what has parts is written as words.
pub(super) fn cell(value: &Value, key: &str) -> String {
    value.get(key).map(in_words).unwrap_or_default()
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (key, in_words(value)));
            let said = members.filter(|(_, text)| !text.is_empty());
            said.map(|(key, text)| format!("{key}: {text}")).collect::<Vec<_>>().join("; ")
        }
    }
}

/// `count` of what a word names: `1 delivery`, `2 deliveries`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A member as people read it: moments in the zone of the settings, such as `2026-12-24 09:00 +07`.
pub(super) fn cell_in(zone: &TimeZone, value: &Value, key: &str) -> String {
    let text = cell(value, key);
    match text.parse::<Timestamp>() {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => text,
    }
}

/// A list of an answer: a table of `columns` for people, all of it for programs.
pub(super) fn print_list(server: &Server, answer: &Value, list: &str, columns: &[&str]) {
    if server.output == Output::Json {
        return print_json(answer);
    }
    let zone = server.zone();
    let rows = answer[list].as_array().into_iter().flatten();
    let row = |row: &Value| columns.iter().map(|key| cell_in(&zone, row, key)).collect();
    let rows: Vec<Vec<String>> = rows.map(row).collect();
    match rows.is_empty() {
        true => print("none"),
        false => print_rows(columns, rows),
    }
    if let Some(next) = answer["next"].as_str() {
        print(&format!("there are more; see them with --after '{next}'"));
    }
}

/// Says `text` to people, or `value` to programs.
pub(super) fn print_as(output: Output, text: &str, value: &Value) {
    match output {
        Output::Text => print(text),
        Output::Json => print_json(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NASTY: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}b\r\u{8}\u{9b}31m\u{7f}c\u{202e}d\te\nf";

    #[test]
    fn a_table_shows_words_and_times_of_the_company_but_no_json() {
        let row = json!({
            "filter": { "tags": ["tea", "coffee"], "tiers": [], "partner": null }, "ready": true,
            "at": "2026-12-24T02:00:00Z", "none": null,
        });
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();

        let cells =
            ["filter", "ready", "at", "none", "missing"].map(|key| cell_in(&zone, &row, key));

        assert_eq!(cells, ["tags: tea, coffee", "true", "2026-12-24 09:00:00 +07", "", ""]);
    }

    #[test]
    fn nothing_steers_the_terminal_and_programs_get_every_letter() {
        let text = inert(NASTY);
        let json = escaped(&format!("{:#}", json!({ "x": NASTY, (NASTY): 1 })));

        assert_eq!(text, "a[2J]0;xb31mcd\te\nf");
        assert!(!json.contains(|letter| letter != '\n' && steers(letter)), "{json:?}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read, json!({ "x": NASTY, (NASTY): 1 }));
    }
}
