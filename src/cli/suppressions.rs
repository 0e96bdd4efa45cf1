//! `loa suppressions`: addresses that must not be used.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Server;
use super::contacts::address;
use super::{Failure, Output, print_as};

/// See, add and lift addresses that must not be used.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa suppressions list\n  \
                        loa suppressions add email lan@minhphat.example\n  \
                        loa suppressions lift sms +84901234567")]
pub(super) struct Suppressions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List suppressed addresses, the oldest first.
    #[command(after_help = "Example:\n  loa suppressions list --limit 500")]
    List {
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before said that there are more.
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Stop an address from being used.
    #[command(after_help = "Example:\n  loa suppressions add email lan@minhphat.example")]
    Add {
        #[command(flatten)]
        address: Named,
        /// Why, in a word.
        #[arg(long, default_value = "operator")]
        reason: String,
        #[command(flatten)]
        server: Server,
    },
    /// Let an address be used again.
    #[command(after_help = "Example:\n  loa suppressions lift email lan@minhphat.example")]
    Lift {
        #[command(flatten)]
        address: Named,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// The channel: email, sms or chat.
    channel: String,
    /// The email address, the phone number, or the chat provider and target (`team-chat:ROOM`).
    address: String,
}

impl Suppressions {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List { limit, after, server } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after)));
                let mut answer = server.connect()?.get("/v1/suppressions", &query).await?;
                if server.output == Output::Text {
                    for row in answer["suppressions"].as_array_mut().into_iter().flatten() {
                        row["channel"] = row["address"]["channel"].clone();
                        row["address"] = Value::String(address(&row["address"]));
                    }
                }
                let columns = ["address", "channel", "reason", "at"];
                super::print_list(&server, &answer, "suppressions", &columns);
            }
            Command::Add { address: Named { channel, address }, reason, server } => {
                let body = json!({ "channel": channel, "address": address, "reason": reason });
                let body = ("application/json", body.to_string().into_bytes());
                let answer = server.connect()?.post("/v1/suppressions", &[], body).await?;
                print_as(server.output, &format!("{address} is not used any more"), &answer);
            }
            Command::Lift { address: Named { channel, address }, server } => {
                let body = json!({ "channel": channel, "address": address });
                let body = ("application/json", body.to_string().into_bytes());
                let answer = server.connect()?.post("/v1/suppressions/lift", &[], body).await?;
                let text = match answer["was_suppressed"] == true {
                    true => format!("{address} may be used again"),
                    false => format!("{address} was not suppressed"),
                };
                print_as(server.output, &text, &answer);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
