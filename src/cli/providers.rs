//! `loa providers`: how they do, held and released.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Server;
use super::{Failure, Output, cell};

/// See how providers do; hold and release them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa providers list\n  loa providers hold relay --reason incident"
)]
pub(super) struct Providers {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List providers with their pace, breaker and hold.
    #[command(after_help = "Example:\n  loa providers list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Stop calling one until it is released.
    #[command(after_help = "Example:\n  loa providers hold relay --reason incident")]
    Hold {
        /// The provider.
        name: String,
        /// Why.
        #[arg(long, default_value = "held by an operator")]
        reason: String,
        #[command(flatten)]
        server: Server,
    },
    /// End a hold.
    #[command(after_help = "Example:\n  loa providers release relay")]
    Release {
        /// The provider.
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Providers {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List { server } => {
                let answer = server.connect()?.get("/v1/providers", &[]).await?;
                if server.output == Output::Json {
                    super::print_json(&answer);
                } else {
                    let columns = ["name", "kind", "concurrency", "rate", "breaker", "hold"];
                    let rows = answer["providers"].as_array().into_iter().flatten();
                    let rows = rows.map(|row| columns.iter().map(|key| cell(row, key)).collect());
                    super::print_table(&columns, rows.collect());
                }
            }
            Command::Hold { name, reason, server } => {
                let body = ("text/plain", reason.into_bytes());
                server.connect()?.post(&format!("/v1/providers/{name}/hold"), &[], body).await?;
                let value = json!({ "provider": name, "held": true });
                super::print_as(server.output, &format!("provider {name} is on hold"), &value);
            }
            Command::Release { name, server } => {
                let path = format!("/v1/providers/{name}/release");
                let body = ("text/plain", Vec::new());
                server.connect()?.post(&path, &[], body).await?;
                let value = json!({ "provider": name, "held": false });
                super::print_as(server.output, &format!("provider {name} is released"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
