//! Repairs deliveries: retry, cancel, hold, release.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::Filter;
use crate::cli::ask::is_agreed_to;
use crate::cli::client::Server;
use crate::cli::{Failure, Output, cell, counted, print, print_json, print_table};

#[derive(Debug, Args)]
pub(super) struct Repair {
    /// The deliveries; or give a filter.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Do it; without this a filter says how many there are, and asks.
    #[arg(long)]
    yes: bool,
    /// Only say how many a filter finds.
    #[arg(long)]
    dry_run: bool,
    /// Until when an expired delivery may be sent after all.
    #[arg(long, value_name = "TIME")]
    new_expiry: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Repair {
    /// Does `action` to the deliveries; anything that was named and could not be is a failure.
    pub(super) async fn run(self, action: &str) -> Result<ExitCode, Failure> {
        let filter: Map<String, Value> = self
            .filter
            .pairs()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        if self.ids.is_empty() && filter.is_empty() {
            return Err(Failure::Wrong("name deliveries by id or by a filter".to_owned()));
        }
        let client = self.server.connect()?;
        let hand_in = async |is_dry: bool| {
            let body = self.body(action, &filter, is_dry).to_string().into_bytes();
            client.post("/v1/deliveries/repair", &[], ("application/json", body)).await
        };
        if self.dry_run || (!filter.is_empty() && !self.yes) {
            let counted = hand_in(true).await?;
            match self.server.output {
                Output::Json => print_json(&counted),
                Output::Text => print(&found(&counted)),
            }
            if self.dry_run || counted["count"] == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            let taken = taken(&counted);
            if !is_agreed_to(&format!("{action} {taken}"), "to do it, or --dry-run to count alone")?
            {
                return Ok(ExitCode::FAILURE);
            }
        }
        let answer = hand_in(false).await?;
        match self.server.output {
            Output::Json => print_json(&answer),
            Output::Text => tell(&answer),
        }
        let mut results = answer["results"].as_array().into_iter().flatten();
        let is_bad = results.any(|row| row["result"] == "unfit" || row["result"] == "missing");
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn body(&self, action: &str, filter: &Map<String, Value>, is_dry: bool) -> Value {
        let mut body = json!({ "action": action, "ids": self.ids, "dry_run": is_dry });
        if !filter.is_empty() {
            body["filter"] = json!(filter);
        }
        if let Some(expiry) = &self.new_expiry {
            body["new_expiry"] = json!(expiry);
        }
        body
    }
}

/// How many fit the filter.
fn found(answer: &Value) -> String {
    let count = answer["count"].as_u64().unwrap_or_default();
    counted(count, "delivery fits", "deliveries fit")
}

/// Which of those that fit one repair takes.
fn taken(answer: &Value) -> String {
    let count = answer["count"].as_u64().unwrap_or_default();
    match more(answer) {
        0 => counted(count, "delivery", "deliveries"),
        more => format!("the newest {} of them", count.saturating_sub(more)),
    }
}

/// What became of each.
fn tell(answer: &Value) {
    let results: Vec<&Value> = answer["results"].as_array().into_iter().flatten().collect();
    let row = |row: &&Value| vec![cell(row, "id"), said(row)];
    if !results.is_empty() {
        print_table(&["id", "what became of it"], results.iter().map(row).collect());
    }
    let moved = answer["moved"].as_u64().unwrap_or_default();
    print(&format!("{moved} of {} moved", counted(results.len() as u64, "delivery", "deliveries")));
    if more(answer) > 0 {
        print(&format!(
            "{}; repeat the command for them",
            counted(more(answer), "more fits", "more fit")
        ));
    }
}

/// How many fit beyond those of one repair.
fn more(answer: &Value) -> u64 {
    answer["more"].as_u64().unwrap_or_default()
}

fn said(row: &Value) -> String {
    let state = cell(row, "state");
    match cell(row, "result").as_str() {
        "moved" => format!("is {state} now"),
        "noted" => "is being sent; it takes effect when the try ends".to_owned(),
        "unfit" => format!("left as it is: it is {state}"),
        "missing" => "there is no such delivery".to_owned(),
        other => other.to_owned(),
    }
}
