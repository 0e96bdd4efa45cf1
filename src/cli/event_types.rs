//! `loa event-types`: what the catalogue holds.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output, Settings};
use crate::model::catalogue::{EventType, Step};
use crate::model::id::EventTypeName;

/// Show what the catalogue holds: schema, a sample to publish, and who is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa event-types list\n  loa event-types show order.delayed")]
pub(super) struct EventTypes {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all types.
    #[command(after_help = "Example:\n  loa event-types list")]
    List,
    /// Show one type: its schema, a sample to publish, and who is told.
    #[command(after_help = "Example:\n  loa event-types show order.delayed")]
    Show {
        /// The type.
        name: String,
    },
}

impl EventTypes {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = self.settings.load()?;
        let types = &config.catalogue.types;
        match &self.command {
            Command::List if self.output == Output::Json => {
                let names: Vec<_> = types.keys().collect();
                super::print_json(&json!({ "event_types": names }));
            }
            Command::List => {
                let row = |found: &EventType| {
                    vec![
                        found.name.to_string(),
                        found.category.as_str().to_owned(),
                        found.lane.as_str().to_owned(),
                        found.description.clone(),
                    ]
                };
                let titles = ["type", "category", "lane", "what it is"];
                super::print_table(&titles, types.values().map(row).collect());
            }
            Command::Show { name } => {
                let found = config.catalogue.find(name).ok_or_else(|| {
                    Failure::Wrong(format!("there is no type `{name}`; see loa event-types list"))
                })?;
                let sample = config.templates.files.get(&format!("messages/{name}/sample.json"));
                let sample = sample.and_then(|bytes| serde_json::from_slice(bytes).ok());
                let sample: serde_json::Value = sample.unwrap_or(serde_json::Value::Null);
                let steps: Vec<String> = found.steps.iter().map(tell_step).collect();
                if self.output == Output::Json {
                    super::print_json(&json!({
                        "name": name, "schema": found.schema, "sample": sample, "steps": steps,
                    }));
                } else {
                    super::print(&format!("{name}: {}\n", found.description));
                    for step in &steps {
                        super::print(&format!("  {step}"));
                    }
                    super::print(&format!("\nA sample to publish:\n{sample:#}"));
                    super::print(&format!("\nSchema of the data:\n{:#}", found.schema));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whom a step tells, in a line.
fn tell_step(step: &Step) -> String {
    let to: Vec<String> = step.to.iter().map(ToString::to_string).collect();
    let channels: Vec<&str> = step.channels.iter().map(|channel| channel.as_str()).collect();
    let unless: Vec<&str> = step.unless.iter().map(EventTypeName::as_str).collect();
    let window = step.window.as_ref().map(|window| format!(", {window}")).unwrap_or_default();
    let unless = match unless.is_empty() {
        true => String::new(),
        false => format!(", unless {}", unless.join(" or ")),
    };
    let (name, to, channels) = (&step.name, to.join(" and "), channels.join(", "));
    format!("{name}: tells {to} by {channels}{window}{unless}")
}
