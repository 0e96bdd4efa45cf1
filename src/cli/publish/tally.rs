//! What became of the events that were handed over, in words.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::print::cell_in;
use crate::cli::{Output, cell, counted};

/// What became of the events so far.
pub(super) struct Tally {
    /// Every event is told of, not only those that nobody took.
    tells_each: bool,
    counts: BTreeMap<String, u64>,
    /// How many test events reach nobody.
    misses: u64,
    /// Kept for programs only: a file may be long.
    pub(super) results: Vec<Value>,
    zone: TimeZone,
}

impl Tally {
    pub(super) fn new(tells_each: bool, zone: TimeZone) -> Self {
        let (counts, results) = (BTreeMap::new(), Vec::new());
        Self { tells_each, counts, misses: 0, results, zone }
    }

    pub(super) fn add(&mut self, result: Value, output: Output) {
        self.misses += u64::from(result["reached"] == 0);
        *self.counts.entry(cell(&result, "result")).or_default() += 1;
        if output == Output::Json {
            self.results.push(result);
        }
    }

    /// What there is to say of one event, if anything.
    pub(super) fn tell(&self, place: &str, result: &Value) -> Option<String> {
        if self.tells_each {
            return Some(tell(result, &self.zone));
        }
        if result["result"] == "unread" {
            return Some(cell(result, "message"));
        }
        let is_told = is_bad(&cell(result, "result")) || result["reached"] == 0;
        is_told.then(|| format!("{place}: {}", tell(result, &self.zone)))
    }

    pub(super) fn summary(&self) -> String {
        // What is only rehearsed has no result yet.
        let word =
            |result: &str| if result.is_empty() { "would be planned" } else { result }.to_owned();
        let counts = self.counts.iter().map(|(result, count)| format!("{count} {}", word(result)));
        let counts: Vec<_> = counts.collect();
        let all: u64 = self.counts.values().sum();
        let all_of_them = counted(all, "event", "events");
        format!("{all_of_them}: {}", if all == 0 { "none".to_owned() } else { counts.join(", ") })
    }

    pub(super) fn is_good(&self) -> bool {
        self.misses == 0 && !self.counts.keys().any(|result| is_bad(result))
    }
}

/// Whether nobody took the event.
fn is_bad(result: &str) -> bool {
    matches!(result, "rejected" | "unroutable" | "failed" | "unread")
}

/// Why a test event reaches nobody.
fn missed(result: &Value, id: &str) -> String {
    let why = result["skipped_because"].as_array().into_iter().flatten();
    let why: Vec<_> = why.filter_map(Value::as_str).collect();
    match why.is_empty() {
        true => format!("event {id} sends nothing: nobody it would tell has this address"),
        false => format!("event {id} sends nothing to this address ({})", why.join(", ")),
    }
}

/// What became of one event, in a line.
fn tell(result: &Value, zone: &TimeZone) -> String {
    let said = |key| cell(result, key);
    let id = said("id");
    match said("result").as_str() {
        "planned" => match result["reached"].as_u64() {
            None => {
                let count = result["deliveries"].as_u64().unwrap_or_default();
                format!("planned {} of event {id}", counted(count, "delivery", "deliveries"))
            }
            Some(0) => missed(result, &id),
            Some(count) => format!("event {id} sends {count} to this address, and nobody else"),
        },
        "planning" => {
            let place = said("loa_id");
            format!(
                "planning a big audience page by page for event {id}   [loa events show {place}]"
            )
        }
        "repeat" => format!("event {id} came before; nothing is planned twice"),
        "rejected" => {
            let kept = match said("rejected") {
                kept if kept.is_empty() => kept,
                kept => format!("   [loa rejected show {kept}]"),
            };
            format!("rejected ({}) {}: {}{kept}", said("reason"), said("pointer"), said("message"))
        }
        "confirmed" => format!("RabbitMQ has event {id}"),
        "unroutable" => format!(
            "RabbitMQ dropped event {id}: no queue is bound for the routing key `{}`",
            said("routing_key")
        ),
        "failed" => format!("event {id} is not known to have arrived: {}", said("message")),
        "unread" => said("message"),
        _ => tell_rehearsal(result, zone),
    }
}

/// What an event would lead to: how many, then each delivery in a line.
pub(in crate::cli) fn tell_rehearsal(result: &Value, zone: &TimeZone) -> String {
    let count = |key: &str| result[key].as_u64().unwrap_or_default();
    let mut lines =
        vec![format!("would plan {}", counted(count("deliveries"), "delivery", "deliveries"))];
    for row in result["plan"].as_array().into_iter().flatten() {
        let said = |key| cell(row, key);
        let address = said("address");
        let to = format!("{} ({address})", said("recipient"));
        let fate = match said("state").as_str() {
            "waiting" => format!("due {}", cell_in(zone, row, "due_at")),
            state => format!("{state}: {}", said("reason").replace('_', " ")),
        };
        let by = match said("provider") {
            name if name.is_empty() => said("channel"),
            name => format!("{} by {name}", said("channel")),
        };
        let to = if address.is_empty() { said("recipient") } else { to };
        lines.push(format!("  {}: {by} to {to}: {fate}", said("step")));
    }
    let shown = result["plan"].as_array().map_or(0, Vec::len) as u64;
    if count("deliveries") > shown {
        lines.push(format!("  … and {} more", count("deliveries") - shown));
    }
    if count("paged") > 0 {
        let paged = counted(count("paged"), "recipient", "recipients");
        lines.push(format!("  and, page by page, up to {paged} of big audiences"));
    }
    if count("sms_parts") > 0 {
        lines.push(format!(
            "  {} would be paid for",
            counted(count("sms_parts"), "SMS part", "SMS parts")
        ));
    }
    for fault in result["faults"].as_array().into_iter().flatten() {
        lines.push(format!("  does not render: {}", fault.as_str().unwrap_or_default()));
    }
    let clean = |line: &String| line.chars().filter(|letter| !letter.is_control()).collect();
    lines.iter().map(clean).collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_only_rehearsed_is_counted_as_what_would_be_planned() {
        let mut tally = Tally::new(false, TimeZone::UTC);
        tally.add(json!({ "deliveries": 2 }), Output::Text);
        tally.add(json!({ "result": "rejected" }), Output::Text);

        assert_eq!(tally.summary(), "2 events: 1 would be planned, 1 rejected");
    }
}
