//! `loa events`: what came in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Server, part};
use super::deliveries::CAPTURED;
use super::print::cell_in;
use super::{Failure, Output, cell, counted};

/// See what came in, and what was planned from it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa events list --type order.delayed\n  \
    loa events show DH-1001-delay")]
pub(super) struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, the newest first.
    #[command(after_help = "Example:\n  loa events list --business-key DH-1001")]
    List(List),
    /// Show one event with its data and its deliveries.
    #[command(after_help = "Example:\n  loa events show DH-1001-delay")]
    Show {
        /// The event, by its publisher's id or Loa's own.
        id: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
struct List {
    /// The publisher's id.
    #[arg(long)]
    id: Option<String>,
    /// The order or complaint number.
    #[arg(long)]
    business_key: Option<String>,
    /// The event type.
    #[arg(long = "type")]
    kind: Option<String>,
    /// The id of the partner it is about.
    #[arg(long)]
    partner: Option<String>,
    /// planned, or planning while a big audience is planned.
    #[arg(long)]
    state: Option<String>,
    /// Only those that came again.
    #[arg(long)]
    repeated: bool,
    /// Arrived at this time or later.
    #[arg(long)]
    since: Option<String>,
    /// Arrived before this time.
    #[arg(long)]
    until: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where the page before said that there are more.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Events {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(list) => list.run().await?,
            Command::Show { id, server } => show(&id, &server).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let limit = Some(self.limit.to_string());
        let repeated = self.repeated.then(|| "true".to_owned());
        let all = [
            ("limit", &limit),
            ("id", &self.id),
            ("business_key", &self.business_key),
            ("type", &self.kind),
            ("partner", &self.partner),
            ("state", &self.state),
            ("repeated", &repeated),
            ("since", &self.since),
            ("until", &self.until),
            ("after", &self.after),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }

    async fn run(self) -> Result<(), Failure> {
        let query = self.pairs();
        let server = self.server;
        let answer = server.connect()?.get("/v1/events", &query).await?;
        let columns = [
            "loa_id",
            "type",
            "business_key",
            "id",
            "deliveries",
            "received_at",
            "state",
            "source",
        ];
        super::print_list(&server, &answer, "events", &columns);
        Ok(())
    }
}

async fn show(id: &str, server: &Server) -> Result<(), Failure> {
    let answer = server.connect()?.get(&format!("/v1/events/{}", part(id)), &[]).await?;
    if server.output == Output::Json {
        super::print_json(&answer);
        return Ok(());
    }
    let (event, zone) = (&answer["event"], server.zone());
    let keys = [
        "loa_id",
        "type",
        "source",
        "id",
        "time",
        "received_at",
        "business_key",
        "partner",
        "state",
        "repeats",
    ];
    let rows = keys.map(|key| vec![key.to_owned(), cell_in(&zone, event, key)]);
    super::print_table(
        &["field", "value"],
        rows.into_iter().filter(|row| !row[1].is_empty()).collect(),
    );
    super::print(&format!("{:#}", event["data"]));
    let deliveries: Vec<&Value> = answer["deliveries"].as_array().into_iter().flatten().collect();
    let columns = ["id", "state", "name", "reason", "channel", "step", "provider", "attempts"];
    let row = |row: &&Value| {
        let reason = match row["is_captured"] == true {
            true => CAPTURED.to_owned(),
            false => cell(row, "reason"),
        };
        let of = |key: &&str| if *key == "reason" { reason.clone() } else { cell(row, key) };
        columns.iter().map(of).collect()
    };
    super::print_rows(&columns, deliveries.iter().map(row).collect());
    let planned = event["deliveries"].as_u64().unwrap_or_default();
    let shown = deliveries.len() as u64;
    if planned > shown {
        let all = counted(planned, "delivery", "deliveries");
        let id = cell(event, "loa_id");
        super::print(&format!("{shown} of {all}; all: loa deliveries list --event {id}"));
    }
    Ok(())
}
