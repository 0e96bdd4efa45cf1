//! `loa partners`: the companies that are looked after.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::client::{Server, part};
use super::import::Import;
use super::print::cell_in;
use super::{Failure, Output};
use crate::intake::roster::Kind;

/// See and import the companies that are looked after.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa partners import partners.csv\n  \
                        loa partners list --search minh\n  loa partners show minh-phat")]
pub(super) struct Partners {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List partners by id.
    #[command(after_help = "Example:\n  loa partners list --search minh")]
    List {
        /// Part of the name, with or without accents; or the id.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before said that there are more.
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Show all that is known of a partner.
    #[command(after_help = "Example:\n  loa partners show minh-phat")]
    Show {
        /// The partner's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Take in partners from a file; a row is a partner as a whole, keyed by your own id.
    #[command(after_help = "Example:\n  loa partners import partners.csv --dry-run")]
    Import(Import),
}

impl Partners {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Import(import) => return import.run(Kind::Partner).await,
            Command::List { search, limit, after, server } => {
                let mut query = vec![("limit", limit.to_string())];
                let given = [("q", search), ("after", after)];
                query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
                let answer = server.connect()?.get("/v1/partners", &query).await?;
                let columns = ["id", "name", "tier", "manager", "locale", "region"];
                super::print_list(&server, &answer, "partners", &columns);
            }
            Command::Show { id, server } => {
                let path = format!("/v1/partners/{}", part(&id));
                let answer = server.connect()?.get(&path, &[]).await?;
                match server.output {
                    Output::Json => super::print_json(&answer),
                    Output::Text => {
                        let members = answer.as_object().into_iter().flatten();
                        let zone = server.zone();
                        let row = |key: &String| vec![key.clone(), cell_in(&zone, &answer, key)];
                        let rows = members.map(|(key, _)| row(key));
                        let rows = rows.filter(|row| !row[1].is_empty());
                        super::print_table(&["field", "value"], rows.collect());
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
