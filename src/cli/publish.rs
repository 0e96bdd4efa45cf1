//! `loa publish`: hands events to a running Loa.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Client, Server};
use super::{Failure, Output, cell};
use crate::intake::encode::{Outgoing, STRUCTURED, structured};
use crate::model::event::EventKey;

/// How many events of a file go in one request.
const BATCH: usize = 200;

/// Hand one event, or a file of them, to a running Loa.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa publish order.delayed --data order.json\n  \
    loa publish order.delayed --data - --dry-run < order.json\n  \
    loa publish order.delayed --data orders.ndjson --lines")]
pub(super) struct Publish {
    /// The event type.
    kind: String,
    /// A file with the event's data as JSON; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    data: String,
    /// The file holds one event's data a line (NDJSON).
    #[arg(long)]
    lines: bool,
    /// The event's id; a new one if not given.
    #[arg(long, value_name = "ID", conflicts_with = "lines")]
    id: Option<String>,
    /// The system that the event comes from.
    #[arg(long, value_name = "NAME", default_value = "loa-publish")]
    source: String,
    /// Only say what would be planned.
    #[arg(long)]
    dry_run: bool,
    /// Only this address may get a message: a test.
    #[arg(long, value_name = "ADDRESS")]
    only: Option<String>,
    /// Nothing is due before this time.
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    #[command(flatten)]
    server: Server,
}

impl Publish {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let text = self.read()?;
        let client = self.server.connect()?;
        let bodies: Vec<&str> = match self.lines {
            true => text.lines().filter(|line| !line.trim().is_empty()).collect(),
            false => vec![text.as_str()],
        };
        let progress = match std::io::stderr().is_terminal() && bodies.len() > BATCH {
            true => ProgressBar::new(bodies.len() as u64),
            false => ProgressBar::hidden(),
        };
        let mut results = Vec::new();
        for (index, bodies) in bodies.chunks(BATCH).enumerate() {
            results.extend(self.send(&client, bodies, index * BATCH).await?);
            progress.inc(bodies.len() as u64);
        }
        progress.finish_and_clear();
        let rejected = results.iter().filter(|result| cell(result, "result") == "rejected").count();
        if self.server.output == Output::Json {
            super::print_json(&json!({ "results": results }));
        } else {
            results.iter().for_each(tell);
        }
        Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn read(&self) -> Result<String, Failure> {
        let mut text = String::new();
        if self.data == "-" {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = std::fs::read_to_string(&self.data)
                .map_err(|error| Failure::Wrong(format!("cannot read {}: {error}", self.data)))?;
        }
        Ok(text)
    }

    async fn send(
        &self,
        client: &Client,
        bodies: &[&str],
        first: usize,
    ) -> Result<Vec<Value>, Failure> {
        let mut events = Vec::with_capacity(bodies.len());
        for (index, body) in bodies.iter().enumerate() {
            let data: Value = serde_json::from_str(body).map_err(|error| {
                let line = first + index + error.line();
                let (file, column) = (&self.data, error.column());
                Failure::Wrong(format!("{file}:{line}:{column}: not JSON: {error}"))
            })?;
            let id = self.id.clone().unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
            events.push(structured(&Outgoing {
                event_type: self.kind.clone(),
                key: Some(EventKey { source: self.source.clone(), id }),
                not_before: self.not_before,
                only: self.only.clone(),
                data,
                ..Outgoing::default()
            }));
        }
        let body = format!("[{}]", events.join(","));
        let mut query = vec![("on_reject", "keep".to_owned())];
        if self.dry_run {
            query.push(("dry_run", "true".to_owned()));
        }
        let answer = client.post("/v1/events", &query, (STRUCTURED, body.into_bytes())).await?;
        Ok(answer["results"].as_array().cloned().unwrap_or_default())
    }
}

fn tell(result: &Value) {
    let line = match cell(result, "result").as_str() {
        "planned" => format!(
            "planned {} deliveries of event {}",
            cell(result, "deliveries"),
            cell(result, "id")
        ),
        "planning" => format!("planning a big audience for event {}", cell(result, "id")),
        "repeat" => format!("event {} came before; nothing is planned twice", cell(result, "id")),
        "rejected" => format!(
            "rejected ({}) {}: {}   [loa rejected show {}]",
            cell(result, "reason"),
            cell(result, "pointer"),
            cell(result, "message"),
            cell(result, "rejected")
        ),
        _ => format!(
            "would plan {} deliveries: {}; skipped {}; SMS parts {}; faults {}",
            cell(result, "deliveries"),
            cell(result, "channels"),
            cell(result, "skipped"),
            cell(result, "sms_parts"),
            cell(result, "faults")
        ),
    };
    super::print(&line);
}
