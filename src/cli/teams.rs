//! `loa teams`: whom steps tell together, such as `operators`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::client::Server;

/// See teams; contacts say which they belong to, and `loa contacts list --team` lists them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa teams list")]
pub(super) struct Teams {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List teams with how many belong to each.
    #[command(after_help = "Example:\n  loa teams list")]
    List {
        #[command(flatten)]
        server: Server,
    },
}

impl Teams {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Command::List { server } = self.command;
        let answer = server.connect()?.get("/v1/teams", &[]).await?;
        super::print_list(&server, &answer, "teams", &["name", "members"]);
        Ok(ExitCode::SUCCESS)
    }
}
