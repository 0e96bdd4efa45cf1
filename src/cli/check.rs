//! `loa check`: reads everything and names every fault.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Output, Settings};
use crate::app;
use crate::provider::{self, Surroundings};

/// Read settings, catalogue and templates, and name every fault at once.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa check --config loa.toml")]
pub(super) struct Check {
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Check {
    pub(super) fn run(self) -> ExitCode {
        let (config, faults) = crate::config::read(&self.settings.sources());
        let surroundings = Surroundings::new(crate::clock::Clock::system(), &config);
        for settings in config.providers.values() {
            provider::build(settings, &surroundings);
        }
        app::check(&config);
        let rulebook = app::rulebook(&config);
        if self.output == Output::Json {
            super::print_json(&json!({ "ok": !faults.has_errors(), "faults": faults }));
        } else if faults.is_empty() {
            let types = config.catalogue.types.len();
            let templates = rulebook.as_ref().map(super::templates::tried).unwrap_or_default();
            super::print(&format!("No faults: {types} event types, {templates}."));
        } else {
            super::print(&faults.render(std::io::stdout().is_terminal()));
        }
        if faults.has_errors() { ExitCode::from(2) } else { ExitCode::SUCCESS }
    }
}
