//! Prints for people and for programs.

use std::io::Write;

use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, TableStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::Output;
use super::client::Server;

/// One line under the titles, and nothing between rows.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// Prints a line for people; ends the program where nobody takes it.
///
/// Who reads by `| head` has seen enough: that is no fault. Where the output cannot be written, such
/// as on a full disk, the exit code says so.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    eprintln!("cannot write the output: {error}");
    std::process::exit(1);
}

/// Prints a result for programs.
pub(super) fn print_json(value: &Value) {
    print(&format!("{value:#}"));
}

/// A table for people, as wide as their terminal; ids stay whole, so that they can be copied.
pub(super) fn print_table(titles: &[&str], rows: Vec<Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(titles.to_vec());
    // What comes from outside must not steer the terminal.
    let clean =
        |text: String| text.chars().filter(|letter| !letter.is_control()).collect::<String>();
    for row in rows {
        table.add_row(row.into_iter().map(clean).collect::<Vec<_>>());
    }
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::ContentWidth);
    }
    print(&table.to_string());
}

/// A member of a JSON object as text for a table.
pub(super) fn cell(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
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
        false => print_table(columns, rows),
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
