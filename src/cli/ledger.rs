//! `loa ledger`: whether everything adds up.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::Server;
use super::{Failure, Output, cell};

/// Say whether everything adds up; exit code 1 if it does not, 2 if no Loa answers.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa ledger --audit")]
pub(super) struct Ledger {
    /// Count the rows themselves too, and compare.
    #[arg(long)]
    audit: bool,
    #[command(flatten)]
    server: Server,
}

impl Ledger {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let query = [("audit", self.audit.to_string())];
        let asked = self.server.connect()?.get("/v1/ledger", &query).await;
        let answer = asked.map_err(Failure::of_what_was_asked)?;
        let closes = answer["ledger"]["closes"].as_bool().unwrap_or(false);
        let found = answer["audit"].as_array().map_or(0, Vec::len);
        if self.server.output == Output::Json {
            super::print_json(&answer);
        } else {
            tell(&answer, closes);
            if self.audit {
                super::print(&format!(
                    "the audit found {found} counters that disagree with the rows"
                ));
            }
        }
        Ok(if closes && found == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn tell(answer: &Value, closes: bool) {
    let events = &answer["ledger"]["events"];
    let deliveries = &answer["ledger"]["deliveries"];
    let states: Vec<String> = crate::model::delivery::State::ALL
        .iter()
        .map(|state| format!("{} {}", cell(deliveries, state.as_str()), state.as_str()))
        .collect();
    super::print(&format!(
        "events      {} received = {} planned + {} planning + {} rejected + {} repeats",
        cell(events, "received"),
        cell(events, "planned"),
        cell(events, "planning"),
        cell(events, "rejected"),
        cell(events, "repeats"),
    ));
    super::print(&format!(
        "deliveries  {} planned = {}",
        cell(deliveries, "planned"),
        states.join(" + ")
    ));
    super::print(&format!("overdue     {}", cell(&answer["backlog"], "overdue")));
    super::print(if closes { "The ledger closes." } else { "The ledger DOES NOT CLOSE." });
}
