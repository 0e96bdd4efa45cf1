//! `loa contacts`: the people whom Loa knows.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::client::{Server, part};
use super::import::Import;
use super::print::cell_in;
use super::{Failure, Output, cell};
use crate::intake::roster::Kind;

/// See and import the people whom Loa knows.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa contacts import contacts.csv --dry-run\n  \
                        loa contacts list --partner minh-phat\n  loa contacts show nguyen-thi-lan")]
pub(super) struct Contacts {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List contacts by name.
    #[command(after_help = "Example:\n  loa contacts list --search nguyen --partner minh-phat")]
    List {
        /// Part of the contact's or the partner's name, with or without accents; or an id or
        /// address.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// The partner's id.
        #[arg(long)]
        partner: Option<String>,
        /// The team they belong to.
        #[arg(long)]
        team: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before said that there are more.
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Show all that is known of a contact, its consents and suppressed addresses too.
    #[command(after_help = "Example:\n  loa contacts show nguyen-thi-lan")]
    Show {
        /// The contact's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Take in contacts from a file; a row is a contact as a whole, keyed by your own id.
    #[command(after_help = "Examples:\n  loa contacts import contacts.csv --dry-run\n  \
                            loa contacts import contacts.ndjson --skip-faults")]
    Import(Import),
}

impl Contacts {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Import(import) => return import.run(Kind::Contact).await,
            Command::List { search, partner, team, limit, after, server } => {
                let mut query = vec![("limit", limit.to_string())];
                let given = [("q", search), ("partner", partner), ("team", team), ("after", after)];
                query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
                let mut answer = server.connect()?.get("/v1/contacts", &query).await?;
                if server.output == Output::Text {
                    for row in answer["contacts"].as_array_mut().into_iter().flatten() {
                        row["reached"] = Value::String(reached(row));
                        row["teams"] = Value::String(words(&row["teams"]));
                    }
                }
                let columns = ["id", "name", "partner", "reached", "duty", "teams"];
                super::print_list(&server, &answer, "contacts", &columns);
            }
            Command::Show { id, server } => {
                let path = format!("/v1/contacts/{}", part(&id));
                let answer = server.connect()?.get(&path, &[]).await?;
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => tell(&answer, &server.zone()),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a contact is reached, in one line.
fn reached(contact: &Value) -> String {
    let addresses = contact["addresses"].as_array().into_iter().flatten();
    addresses.map(address).collect::<Vec<_>>().join(", ")
}

/// An address as people write it.
pub(super) fn address(address: &Value) -> String {
    let members = ["email", "phone", "provider", "target"].iter();
    let parts: Vec<_> = members.filter_map(|key| address[*key].as_str()).collect();
    parts.join(":")
}

fn words(list: &Value) -> String {
    let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.collect::<Vec<_>>().join(", ")
}

fn tell(answer: &Value, zone: &TimeZone) {
    let contact = &answer["contact"];
    let mut rows = Vec::new();
    for key in ["id", "name", "partner", "duty", "locale", "time_zone", "region"] {
        rows.push(vec![key.to_owned(), cell_in(zone, contact, key)]);
    }
    rows.push(vec!["reached".to_owned(), reached(contact)]);
    rows.push(vec!["tags".to_owned(), words(&contact["tags"])]);
    rows.push(vec!["teams".to_owned(), words(&contact["teams"])]);
    for key in ["superior", "signature", "changed_at"] {
        rows.push(vec![key.to_owned(), cell_in(zone, contact, key)]);
    }
    rows.retain(|row| !row[1].is_empty());
    for one in answer["suppressed"].as_array().into_iter().flatten() {
        let (reason, at) = (cell(one, "reason"), cell_in(zone, one, "at"));
        let text = format!("{}: {reason}, since {at}", address(&one["address"]));
        rows.push(vec!["suppressed".to_owned(), text]);
    }
    for one in answer["consents"].as_array().into_iter().flatten() {
        let word = if one["granted"] == true { "granted" } else { "withdrawn" };
        let (source, at) = (cell(one, "source"), cell_in(zone, one, "at"));
        let text = format!("{}: {word} at {at} ({source})", address(&one["address"]));
        rows.push(vec!["marketing".to_owned(), text]);
    }
    super::print_table(&["field", "value"], rows);
}
