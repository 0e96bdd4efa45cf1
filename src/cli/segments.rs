//! `loa segments`: saved filters over contacts and partners.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Server, part};
use super::{Failure, print_as};

/// See and save segments: filters over contacts, which steps and campaigns name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa segments put coffee-vips --tag coffee --tier vip\n  \
                        loa segments show coffee-vips")]
pub(super) struct Segments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List segments.
    #[command(after_help = "Example:\n  loa segments list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Show a segment and how many belong to it now.
    #[command(after_help = "Example:\n  loa segments show coffee-vips")]
    Show {
        /// The segment's name.
        name: String,
        #[command(flatten)]
        server: Server,
    },
    /// Save a segment, over what was there; every filter given must fit, one value of each is
    /// enough.
    #[command(after_help = "Example:\n  loa segments put coffee-vips --tag coffee --tier vip")]
    Put {
        /// The segment's name: small letters, digits, dots, dashes.
        name: String,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        server: Server,
    },
    /// Forget a segment.
    #[command(after_help = "Example:\n  loa segments delete coffee-vips")]
    Delete {
        /// The segment's name.
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// The contact or its partner carries this tag; give it once for each.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The partner is of this tier: vip or standard.
    #[arg(long = "tier", value_name = "TIER")]
    tiers: Vec<String>,
    /// The language is this, or a variant of it.
    #[arg(long = "locale", value_name = "LOCALE")]
    locales: Vec<String>,
    /// The region is this.
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// The contact has this duty.
    #[arg(long = "duty", value_name = "DUTY")]
    duties: Vec<String>,
}

impl Segments {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List { server } => {
                let answer = server.connect()?.get("/v1/segments", &[]).await?;
                super::print_list(&server, &answer, "segments", &["name", "filter"]);
            }
            Command::Show { name, server } => {
                let path = format!("/v1/segments/{}", part(&name));
                let answer = server.connect()?.get(&path, &[]).await?;
                print_as(server.output, &said(&answer), &answer);
            }
            Command::Put { name, filter, server } => {
                let Filter { tags, tiers, locales, regions, duties } = filter;
                let body = json!({
                    "tags": tags, "tiers": tiers, "locales": locales, "regions": regions,
                    "duties": duties,
                });
                let path = format!("/v1/segments/{}", part(&name));
                let answer = server.connect()?.put(&path, &body).await?;
                print_as(server.output, &said(&answer), &answer);
            }
            Command::Delete { name, server } => {
                server.connect()?.delete(&format!("/v1/segments/{}", part(&name))).await?;
                let value = json!({ "deleted": name });
                print_as(server.output, &format!("deleted {name}"), &value);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A segment in a sentence.
fn said(answer: &Value) -> String {
    let filter = answer["filter"].as_object().into_iter().flatten();
    let filter = filter.filter_map(|(key, values)| {
        let values: Vec<_> = values.as_array()?.iter().filter_map(Value::as_str).collect();
        (!values.is_empty()).then(|| format!("{key} {}", values.join(" or ")))
    });
    let filter = filter.collect::<Vec<_>>().join(", ");
    let first = answer["first"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let first = first.collect::<Vec<_>>().join(", ");
    let (name, count) = (super::cell(answer, "name"), &answer["members"]);
    match first.is_empty() {
        true => format!("{name} ({filter}): nobody belongs to it now"),
        false => format!("{name} ({filter}): {count} belong to it now, such as {first}"),
    }
}
