//! `loa deliveries`: finds, tells of and repairs deliveries.

mod repair;
mod story;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Server, part};
use super::{Failure, Output, cell};
use repair::Repair;

/// What tables say of a delivery whose message was captured instead of sent.
pub(super) const CAPTURED: &str = "captured, nothing left Loa";

/// Find deliveries, tell the story of one, repair them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa deliveries list --state failed\n  \
    loa deliveries count --by reason,provider\n  loa deliveries show ID\n  \
    loa deliveries retry --reason refused --provider relay --yes")]
pub(super) struct Deliveries {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List deliveries, the newest first.
    #[command(
        after_help = "Example:\n  loa deliveries list --state failed --since 2026-11-23T00:00:00Z"
    )]
    List(List),
    /// Count deliveries by reason, provider and so on.
    #[command(after_help = "Example:\n  loa deliveries count --by reason,provider")]
    Count(Count),
    /// Tell everything that is known of one delivery.
    #[command(after_help = "Example:\n  loa deliveries show ID")]
    Show(Show),
    /// Reopen what failed or bounced.
    #[command(
        after_help = "Example:\n  loa deliveries retry --reason refused --provider relay --yes"
    )]
    Retry(Repair),
    /// End what is not sent yet.
    #[command(after_help = "Example:\n  loa deliveries cancel --business-key DH-1001 --yes")]
    Cancel(Repair),
    /// Keep until released.
    #[command(after_help = "Example:\n  loa deliveries hold ID")]
    Hold(Repair),
    /// End a hold.
    #[command(after_help = "Example:\n  loa deliveries release --type order.delayed --yes")]
    Release(Repair),
}

/// Which deliveries are meant.
#[derive(Clone, Debug, Args)]
struct Filter {
    /// The event, by its publisher's id or Loa's own.
    #[arg(long)]
    event: Option<String>,
    /// The order or complaint number.
    #[arg(long)]
    business_key: Option<String>,
    /// The partner's id.
    #[arg(long)]
    partner: Option<String>,
    /// The contact's id.
    #[arg(long)]
    contact: Option<String>,
    /// Part of the recipient's or the partner's name, with or without accents.
    #[arg(long)]
    name: Option<String>,
    /// The address; a phone number as people write it.
    #[arg(long)]
    address: Option<String>,
    /// The event type.
    #[arg(long = "type")]
    kind: Option<String>,
    /// email, chat or sms.
    #[arg(long)]
    channel: Option<String>,
    /// The provider.
    #[arg(long)]
    provider: Option<String>,
    /// One or more states, with commas between.
    #[arg(long)]
    state: Option<String>,
    /// The reason.
    #[arg(long)]
    reason: Option<String>,
    /// The provider's code, or one word of it: `550` and `5.1.1` find `550 5.1.1`.
    #[arg(long)]
    code: Option<String>,
    /// Planned at this time or later.
    #[arg(long)]
    since: Option<String>,
    /// Planned before this time.
    #[arg(long)]
    until: Option<String>,
}

impl Filter {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("event", &self.event),
            ("business_key", &self.business_key),
            ("partner", &self.partner),
            ("contact", &self.contact),
            ("name", &self.name),
            ("address", &self.address),
            ("type", &self.kind),
            ("channel", &self.channel),
            ("provider", &self.provider),
            ("state", &self.state),
            ("reason", &self.reason),
            ("code", &self.code),
            ("since", &self.since),
            ("until", &self.until),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where the page before said that there are more.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Count {
    /// By what: state, reason, provider, channel, type, code; with commas between.
    #[arg(long, default_value = "state,reason")]
    by: String,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Show {
    /// The delivery.
    id: String,
    #[command(flatten)]
    server: Server,
}

impl Deliveries {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List(command) => command.run().await,
            Command::Count(command) => command.run().await,
            Command::Show(command) => command.run().await,
            Command::Retry(command) => command.run("retry").await,
            Command::Cancel(command) => command.run("cancel").await,
            Command::Hold(command) => command.run("hold").await,
            Command::Release(command) => command.run("release").await,
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, Failure> {
        let mut query = self.filter.pairs();
        query.push(("limit", self.limit.to_string()));
        query.extend(self.after.clone().map(|after| ("after", after)));
        let mut answer = self.server.connect()?.get("/v1/deliveries", &query).await?;
        if self.server.output == Output::Text {
            answer["deliveries"].as_array_mut().into_iter().flatten().for_each(for_people);
        }
        let columns = [
            "id",
            "state",
            "type",
            "business_key",
            "to",
            "why",
            "planned",
            "by",
            "due",
            "attempts",
        ];
        super::print_list(&self.server, &answer, "deliveries", &columns);
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds to a delivery what a table shows of it.
fn for_people(row: &mut Value) {
    let (reason, detail) = (cell(row, "reason"), cell(row, "detail"));
    let why = match (row["is_captured"] == true, detail.is_empty()) {
        (true, _) => CAPTURED.to_owned(),
        (false, true) => reason,
        (false, false) => format!("{reason}: {detail}"),
    };
    let (channel, provider) = (cell(row, "channel"), cell(row, "provider"));
    let by = if provider.is_empty() { channel } else { format!("{channel} ({provider})") };
    let name = cell(row, "name");
    let to = if name.is_empty() { cell(row, "recipient") } else { name };
    let due = if row["state"] == "waiting" { row["due_at"].clone() } else { Value::Null };
    let planned = row["created_at"].clone();
    for (key, value) in [
        ("why", json!(why)),
        ("by", json!(by)),
        ("to", json!(to)),
        ("due", due),
        ("planned", planned),
    ] {
        row[key] = value;
    }
}

impl Count {
    async fn run(self) -> Result<ExitCode, Failure> {
        let mut query = self.filter.pairs();
        query.push(("by", self.by.clone()));
        let answer = self.server.connect()?.get("/v1/deliveries/count", &query).await?;
        if self.server.output == Output::Json {
            super::print_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let mut columns: Vec<&str> = self.by.split(',').map(str::trim).collect();
        columns.push("count");
        let rows = answer["counts"].as_array().into_iter().flatten();
        let rows = rows.map(|row| columns.iter().map(|key| cell(row, key)).collect()).collect();
        super::print_table(&columns, rows);
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    async fn run(self) -> Result<ExitCode, Failure> {
        let path = format!("/v1/deliveries/{}", part(&self.id));
        let answer = self.server.connect()?.get(&path, &[]).await?;
        if self.server.output == Output::Json {
            super::print_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        super::print(&story::tell(&answer, &self.server.zone()));
        Ok(ExitCode::SUCCESS)
    }
}
