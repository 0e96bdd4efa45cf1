//! `loa rejected`: events that could not be planned.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::ask::is_agreed_to;
use super::client::{Server, part};
use super::print::cell_in;
use super::publish::tell_rehearsal;
use super::{Failure, Output};

/// How many bytes of a body are shown unless more is asked for.
const SHOWN: usize = 1024;

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
    /// Show one, with the beginning of its body.
    #[command(after_help = "Examples:\n  loa rejected show ID\n  \
                            loa rejected show ID --save body.json")]
    Show {
        /// The rejected event.
        id: String,
        /// Print the whole of its body, however long it is.
        #[arg(long)]
        full: bool,
        /// Write the whole of its body to this file, to be mended and replayed.
        #[arg(long, value_name = "FILE")]
        save: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Hand one in again, as it is or mended; says first what it would plan, and asks.
    #[command(after_help = "Examples:\n  loa rejected replay ID --body mended.json --dry-run\n  \
                            loa rejected replay ID --body mended.json --yes")]
    Replay {
        /// The rejected event.
        id: String,
        /// A file with the mended event: the whole of its body as `loa rejected show` prints it,
        /// or, where that is an envelope, its data alone.
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
    /// Forget one, its bytes too; asks first.
    #[command(after_help = "Example:\n  loa rejected discard ID --yes")]
    Discard {
        /// The rejected event.
        id: String,
        /// Do not ask; without a terminal to ask at, this is needed.
        #[arg(long)]
        yes: bool,
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
                let columns = ["id", "reason", "type", "pointer", "message", "at"];
                super::print_list(&server, &answer, "rejected", &columns);
            }
            Command::Show { id, full, save, server } => {
                let mut answer =
                    server.connect()?.get(&format!("/v1/rejected/{}", part(&id)), &[]).await?;
                if server.output == Output::Json && save.is_none() {
                    super::print_json(&answer);
                    return Ok(ExitCode::SUCCESS);
                }
                let body = answer.as_object_mut().and_then(|event| event.remove("body"));
                let body = body.as_ref().and_then(Value::as_str).unwrap_or_default();
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => tell_members(&answer, &server.zone()),
                }
                match save {
                    Some(file) => keep_body(&file, body)?,
                    None => super::print(&shown(body, full)),
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
            Command::Discard { id, yes, server } => return discard(&id, yes, &server).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Forgets one, if that is wanted.
async fn discard(id: &str, yes: bool, server: &Server) -> Result<ExitCode, Failure> {
    let path = format!("/v1/rejected/{}", part(id));
    let client = server.connect()?;
    if !yes {
        let event = client.get(&path, &[]).await?;
        let what = format!("discard {id}, {}: {}", event["reason"], event["message"]);
        let instead = "to forget its bytes for good, or see it with loa rejected show";
        if !is_agreed_to(&what.replace('"', ""), instead)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    client.delete(&path).await?;
    let value = json!({ "id": id, "discarded": true });
    super::print_as(server.output, &format!("discarded {id}"), &value);
    Ok(ExitCode::SUCCESS)
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
        let instead = "to do it, or --dry-run to see what it would plan";
        if !is_agreed_to(&format!("replay {id}"), instead)? {
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

/// The body as far as it is shown: nobody reads a megabyte on a terminal.
fn shown(body: &str, full: bool) -> String {
    let end = body.floor_char_boundary(SHOWN);
    match body.get(..end) {
        Some(begin) if !full && end < body.len() => format!(
            "{begin}…\nthe first {end} of {} bytes; --full prints all of it, --save FILE keeps it",
            body.len()
        ),
        _ => body.to_owned(),
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn keep_body(file: &str, body: &str) -> Result<(), Failure> {
    std::fs::write(file, body)
        .map_err(|error| Failure::Wrong(format!("cannot write {file}: {error}")))?;
    eprintln!("wrote {} bytes to {file}", body.len());
    Ok(())
}

/// What is known, one line a member.
fn tell_members(answer: &Value, zone: &TimeZone) {
    let members = answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let rows = members.map(|(key, _)| vec![key.clone(), cell_in(zone, answer, key)]);
    super::print_table(&["field", "value"], rows.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_shown_in_part_unless_all_of_it_is_wanted() {
        let long = "ế".repeat(1_000);

        let told = shown(&long, false);

        assert!(told.ends_with(
            "the first 1023 of 3000 bytes; --full prints all of it, --save FILE keeps it"
        ));
        assert!(told.len() < 1_200);
        assert_eq!(shown(&long, true), long);
        assert_eq!(shown("short", false), "short");
    }
}
