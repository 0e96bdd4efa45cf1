//! `loa keys`: what programs show the API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Server, part};
use super::{Failure, cell};
use crate::model::access::Scope;

/// Make and revoke keys by which programs use the API.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa keys create shop --scope events:write --expires 90d\n  \
                        loa keys list\n  loa keys revoke shop")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and print it this once.
    #[command(after_help = "Example:\n  loa keys create shop --scope events:write --expires 90d")]
    Create {
        /// What it is for: small letters, digits, dots, dashes.
        name: String,
        /// What it may do; give it once for each.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// How long it lasts, such as `90d`; for ever if not given.
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// List keys with their scopes and when they were last used.
    #[command(after_help = "Example:\n  loa keys list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// End a key at once.
    #[command(after_help = "Example:\n  loa keys revoke shop")]
    Revoke {
        /// The key's name.
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Keys {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Create { name, scopes, expires, server } => {
                let body = json!({ "name": name, "scopes": scopes, "lasts": expires });
                let body = ("application/json", body.to_string().into_bytes());
                let answer = server.connect()?.post("/v1/keys", &[], body).await?;
                super::print_as(server.output, &cell(&answer, "key"), &answer);
            }
            Command::List { server } => {
                let answer = server.connect()?.get("/v1/keys", &[]).await?;
                let columns = ["name", "id", "scopes", "expires_at", "used_at", "created_at"];
                super::print_list(&server, &answer, "keys", &columns);
            }
            Command::Revoke { name, server } => {
                server.connect()?.delete(&format!("/v1/keys/{}", part(&name))).await?;
                let value = json!({ "revoked": name });
                super::print_as(server.output, &format!("revoked {name}"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn scope(word: &str) -> Result<Scope, String> {
    let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    Scope::from_word(word).ok_or_else(|| format!("expected one of {}", words.join(", ")))
}
