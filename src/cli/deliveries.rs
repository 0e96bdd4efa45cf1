//! `loa deliveries`: finds, tells of and repairs deliveries.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::Server;
use super::{Failure, Output, cell};

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
    /// Part of the recipient's name, with or without accents.
    #[arg(long)]
    name: Option<String>,
    /// The address.
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
    /// The provider's code.
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

#[derive(Debug, Args)]
struct Repair {
    /// The deliveries; or give a filter.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Do it; without this a filter only says how many there are.
    #[arg(long)]
    yes: bool,
    /// Until when an expired delivery may be sent after all.
    #[arg(long, value_name = "TIME")]
    new_expiry: Option<String>,
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
        let answer = self.server.connect()?.get("/v1/deliveries", &query).await?;
        if self.server.output == Output::Json {
            super::print_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let columns =
            ["id", "name", "channel", "state", "reason", "detail", "type", "business_key"];
        let rows = answer["deliveries"].as_array().into_iter().flatten();
        let rows = rows.map(|row| columns.iter().map(|key| cell(row, key)).collect()).collect();
        super::print_table(&columns, rows);
        Ok(ExitCode::SUCCESS)
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
        let path = format!("/v1/deliveries/{}", self.id);
        let answer = self.server.connect()?.get(&path, &[]).await?;
        if self.server.output == Output::Json {
            super::print_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let delivery = answer["delivery"].as_object().cloned().unwrap_or_else(Map::new);
        let line = |(key, value): (&String, &Value)| {
            vec![key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]
        };
        let known = delivery.iter().filter(|(_, value)| !value.is_null());
        super::print_table(&["field", "value"], known.map(line).collect());
        let columns = ["number", "started_at", "provider", "class", "code", "answer"];
        let rows = answer["attempts"].as_array().into_iter().flatten();
        let rows = rows.map(|row| columns.iter().map(|key| cell(row, key)).collect()).collect();
        super::print_table(&columns, rows);
        Ok(ExitCode::SUCCESS)
    }
}

impl Repair {
    async fn run(self, action: &str) -> Result<ExitCode, Failure> {
        let filter: Map<String, Value> = self
            .filter
            .pairs()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        if self.ids.is_empty() && filter.is_empty() {
            return Err(Failure::Wrong("name deliveries by id or by a filter".to_owned()));
        }
        let only_counts = !filter.is_empty() && !self.yes;
        let mut body = json!({ "action": action, "ids": self.ids, "dry_run": only_counts });
        if !filter.is_empty() {
            body["filter"] = Value::Object(filter);
        }
        if let Some(expiry) = &self.new_expiry {
            body["new_expiry"] = json!(expiry);
        }
        let body = ("application/json", body.to_string().into_bytes());
        let answer = self.server.connect()?.post("/v1/deliveries/repair", &[], body).await?;
        if self.server.output == Output::Json {
            super::print_json(&answer);
        } else if only_counts {
            let count = cell(&answer, "count");
            super::print(&format!("{count} deliveries fit; add --yes to {action} them"));
        } else {
            let rows = answer["results"].as_array().into_iter().flatten();
            let rows = rows
                .map(|row| ["id", "result", "state"].iter().map(|key| cell(row, key)).collect());
            super::print_table(&["id", "result", "state"], rows.collect());
        }
        Ok(ExitCode::SUCCESS)
    }
}
