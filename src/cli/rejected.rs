//! `loa rejected`: events that could not be planned.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Server;
use super::{Failure, Output, cell};

/// See, replay and discard events that could not be planned.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa rejected list\n  loa rejected show ID\n  \
    loa rejected replay ID --body mended.json")]
pub(super) struct Rejected {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List rejected events, the newest first.
    #[command(after_help = "Example:\n  loa rejected list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Show one, whole.
    #[command(after_help = "Example:\n  loa rejected show ID")]
    Show {
        /// The rejected event.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Hand one in again, as it is or mended.
    #[command(after_help = "Example:\n  loa rejected replay ID --body mended.json --dry-run")]
    Replay {
        /// The rejected event.
        id: String,
        /// A file with the mended body.
        #[arg(long, value_name = "FILE")]
        body: Option<String>,
        /// Only say how many deliveries it would plan.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Forget one.
    #[command(after_help = "Example:\n  loa rejected discard ID")]
    Discard {
        /// The rejected event.
        id: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Rejected {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List { server } => {
                let answer = server.connect()?.get("/v1/rejected", &[]).await?;
                if server.output == Output::Json {
                    super::print_json(&answer);
                } else {
                    let columns = ["id", "at", "reason", "pointer", "message", "type"];
                    let rows = answer["rejected"].as_array().into_iter().flatten();
                    let rows = rows.map(|row| columns.iter().map(|key| cell(row, key)).collect());
                    super::print_table(&columns, rows.collect());
                }
            }
            Command::Show { id, server } => {
                let answer = server.connect()?.get(&format!("/v1/rejected/{id}"), &[]).await?;
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => tell_members(&answer),
                }
            }
            Command::Replay { id, body, dry_run, server } => {
                let body = match body {
                    Some(file) => std::fs::read(&file)
                        .map_err(|error| Failure::Wrong(format!("cannot read {file}: {error}")))?,
                    None => Vec::new(),
                };
                let query = [("dry_run", dry_run.to_string())];
                let path = format!("/v1/rejected/{id}/replay");
                let body = ("application/octet-stream", body);
                let answer = server.connect()?.post(&path, &query, body).await?;
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => tell_members(&answer),
                }
            }
            Command::Discard { id, server } => {
                server.connect()?.delete(&format!("/v1/rejected/{id}")).await?;
                let value = json!({ "id": id, "discarded": true });
                super::print_as(server.output, &format!("discarded {id}"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is known, one line a member.
fn tell_members(answer: &Value) {
    let members = answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let rows = members.map(|(key, _)| vec![key.clone(), cell(answer, key)]);
    super::print_table(&["field", "value"], rows.collect());
}
