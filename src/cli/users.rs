//! `loa users`: who may sign in to the console.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Server, part};
use super::{Failure, cell};
use crate::model::access::Role;

/// Say who may sign in to the console, and make login links.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa users add thu-ha --role operator\n  loa users link thu-ha"
)]
pub(super) struct Users {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a user; `loa users link` then lets them in.
    #[command(after_help = "Example:\n  loa users add thu-ha --role operator")]
    Add {
        /// Their name here: small letters, digits, dots, dashes.
        name: String,
        /// What they may do: a viewer reads, an operator repairs, an admin keeps users and keys.
        #[arg(long, value_parser = role)]
        role: Role,
        /// Where they can be reached; Loa itself sends nothing there.
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// List users.
    #[command(after_help = "Example:\n  loa users list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Make a link by which a user signs in once, within 15 minutes.
    #[command(after_help = "Example:\n  loa users link thu-ha")]
    Link {
        /// The user.
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Give a user another role.
    #[command(after_help = "Example:\n  loa users role thu-ha admin")]
    Role {
        /// The user.
        name: String,
        /// What they may do from now on.
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        server: Server,
    },
    /// Remove a user, and end their sessions.
    #[command(after_help = "Example:\n  loa users remove thu-ha")]
    Remove {
        /// The user.
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Users {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Add { name, role, email, server } => {
                let body = json!({ "name": name, "role": role, "email": email });
                let body = ("application/json", body.to_string().into_bytes());
                let answer = server.connect()?.post("/v1/users", &[], body).await?;
                let text = format!("added {name}; let them in by: loa users link {name}");
                super::print_as(server.output, &text, &answer);
            }
            Command::List { server } => {
                let answer = server.connect()?.get("/v1/users", &[]).await?;
                let columns = ["name", "role", "email", "created_at", "last_signed_in"];
                super::print_list(&server, &answer, "users", &columns);
            }
            Command::Link { name, server } => {
                let path = format!("/v1/users/{}/link", part(&name));
                let none = ("application/json", Vec::new());
                let answer = server.connect()?.post(&path, &[], none).await?;
                super::print_as(server.output, &cell(&answer, "url"), &answer);
            }
            Command::Role { name, role, server } => {
                let path = format!("/v1/users/{}/role", part(&name));
                let answer = server.connect()?.put(&path, &json!({ "role": role })).await?;
                let text = format!("{name} is {} now", role.as_str());
                super::print_as(server.output, &text, &answer);
            }
            Command::Remove { name, server } => {
                server.connect()?.delete(&format!("/v1/users/{}", part(&name))).await?;
                let value = json!({ "removed": name });
                super::print_as(server.output, &format!("removed {name}"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn role(word: &str) -> Result<Role, String> {
    let words: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    Role::from_word(word).ok_or_else(|| format!("expected one of {}", words.join(", ")))
}
