//! `loa rejected`: events that could not be planned.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::client::{Server, part};
use super::print::cell_in;
use super::publish::tell_rehearsal;
use super::{Failure, Output};

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
    #[command(after_help = "Example:\n  loa rejected list --reason schema")]
    List {
        /// The sort of fault, such as `schema` or `unknown_type`.
        #[arg(long)]
        reason: Option<String>,
        /// The event type, as far as it could be read.
        #[arg(long = "type")]
        kind: Option<String>,
        /// The publisher's id, as far as it could be read.
        #[arg(long)]
        id: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before said that there are more.
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
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
    /// Hand one in again, as it is or mended; says first what it would plan, and asks.
    #[command(after_help = "Examples:\n  loa rejected replay ID --body mended.json --dry-run\n  \
                            loa rejected replay ID --body mended.json --yes")]
    Replay {
        /// The rejected event.
        id: String,
        /// A file with the mended event: the whole of its body as `loa rejected show` prints it, or,
        /// where that is an envelope, its data alone.
        #[arg(long, value_name = "FILE")]
        body: Option<String>,
        /// Only say what it would plan.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask; without a terminal to ask at, this is needed.
        #[arg(long)]
        yes: bool,
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
            Command::List { reason, kind, id, limit, after, server } => {
                let mut query = vec![("limit", limit.to_string())];
                let given = [("reason", reason), ("type", kind), ("id", id), ("after", after)];
                query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
                let answer = server.connect()?.get("/v1/rejected", &query).await?;
                let columns = ["id", "reason", "pointer", "message", "type", "at"];
                super::print_list(&server, &answer, "rejected", &columns);
            }
            Command::Show { id, server } => {
                let mut answer =
                    server.connect()?.get(&format!("/v1/rejected/{}", part(&id)), &[]).await?;
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => {
                        let body = answer.as_object_mut().and_then(|event| event.remove("body"));
                        tell_members(&answer, &server.zone());
                        super::print(body.as_ref().and_then(Value::as_str).unwrap_or_default());
                    }
                }
            }
            Command::Replay { id, body, dry_run, yes, server } => {
                let body = match body {
                    Some(file) => std::fs::read(&file)
                        .map_err(|error| Failure::Wrong(format!("cannot read {file}: {error}")))?,
                    None => Vec::new(),
                };
                return replay(&id, body, (dry_run, yes), &server).await;
            }
            Command::Discard { id, server } => {
                server.connect()?.delete(&format!("/v1/rejected/{}", part(&id))).await?;
                let value = json!({ "id": id, "discarded": true });
                super::print_as(server.output, &format!("discarded {id}"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what a replay would plan, and does it if that is wanted.
async fn replay(
    id: &str,
    body: Vec<u8>,
    (dry_run, yes): (bool, bool),
    server: &Server,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/rejected/{}/replay", part(id));
    let client = server.connect()?;
    let hand_in = async |is_dry: bool| {
        let body = ("application/octet-stream", body.clone());
        client.post(&path, &[("dry_run", is_dry.to_string())], body).await
    };
    if dry_run || !yes {
        let planned = hand_in(true).await?;
        match server.output {
            Output::Json if dry_run => super::print_json(&planned),
            Output::Json => {}
            Output::Text => super::print(&tell_rehearsal(&planned, &server.zone())),
        }
        if dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !is_agreed_to(id)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    let answer = hand_in(false).await?;
    match server.output {
        Output::Json => super::print_json(&answer),
        Output::Text => tell_members(&answer, &server.zone()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a person at the terminal.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn is_agreed_to(id: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Wrong(format!(
            "there is no terminal to ask at: add --yes to replay {id}, or --dry-run to see what \
             it would plan"
        )));
    }
    eprint!("replay {id}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What is known, one line a member.
fn tell_members(answer: &Value, zone: &TimeZone) {
    let members = answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let rows = members.map(|(key, _)| vec![key.clone(), cell_in(zone, answer, key)]);
    super::print_table(&["field", "value"], rows.collect());
}
