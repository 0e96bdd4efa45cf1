//! `loa event-types`: what the catalogue holds, and a new type from a sample.

mod draft;
mod new;
mod sample_schema;
mod starter;
mod tell;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, Output, Settings};
use crate::config::Config;
use crate::model::catalogue::EventType;

/// Show what the catalogue holds: schema, a sample to publish, and who is told; add to it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa event-types list\n  loa event-types show order.delayed\n  \
    loa event-types new visit.arranged --from visit.json --dir my-loa"
)]
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
    New(new::New),
}

impl EventTypes {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match &self.command {
            Command::List => list(&self.settings.load()?, self.output),
            Command::Show { name } => show(&self.settings.load()?, name, self.output)?,
            // The folders of the settings may not be there yet, which is a fault elsewhere.
            Command::New(command) => command.run(&self.settings.read(), self.output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(config: &Config, output: Output) {
    let types = &config.catalogue.types;
    if output == Output::Json {
        let names: Vec<_> = types.keys().collect();
        return super::print_json(&json!({ "event_types": names }));
    }
    let row = |found: &EventType| {
        let (category, lane) = (found.category.as_str(), found.lane.as_str());
        vec![
            found.name.to_string(),
            category.to_owned(),
            lane.to_owned(),
            found.description.clone(),
        ]
    };
    let titles = ["type", "category", "lane", "what it is"];
    super::print_rows(&titles, types.values().map(row).collect());
}

fn show(config: &Config, name: &str, output: Output) -> Result<(), Failure> {
    let found = config.catalogue.find(name).ok_or_else(|| {
        Failure::Wrong(format!("there is no type `{name}`; see loa event-types list"))
    })?;
    let sample = config.templates.files.get(&format!("messages/{name}/sample.json"));
    let sample = sample.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let sample: Value = sample.unwrap_or(Value::Null);
    let steps: Vec<String> = found.steps.iter().map(tell::step).collect();
    if output == Output::Json {
        super::print_json(&json!({
            "name": name, "description": found.description, "category": found.category.as_str(),
            "lane": found.lane.as_str(), "schema": found.schema, "sample": sample, "steps": steps,
        }));
        return Ok(());
    }
    super::print(&format!("{name}: {}\n\nWho is told:", found.description));
    if steps.is_empty() {
        super::print("  nobody");
    }
    for step in &steps {
        super::print(&format!("  {step}"));
    }
    super::print(&format!("\n{}", tell::event_type(found)));
    super::print(&format!("\nA sample to publish (loa publish {name} --data FILE):\n{sample:#}"));
    super::print(&format!("\nSchema of the data:\n{:#}", found.schema));
    Ok(())
}
