//! `loa run`: takes events in and delivers, until it is stopped.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, Settings};
use crate::app::{App, StartError};
use crate::clock::Clock;
use crate::lifecycle::{Tasks, wait_for_stop_signal};
use crate::telemetry;

/// Take events in and deliver them, until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa run --config /etc/loa/loa.toml")]
pub(super) struct Run {
    #[command(flatten)]
    settings: Settings,
}

impl Run {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let (config, faults) = crate::config::read(&self.settings.sources());
        let format = match config.log.format {
            crate::config::LogFormat::Auto => telemetry::LogFormat::Auto,
            crate::config::LogFormat::Text => telemetry::LogFormat::Text,
            crate::config::LogFormat::Json => telemetry::LogFormat::Json,
        };
        if faults.has_errors() {
            return Err(Failure::Wrong(faults.to_string()));
        }
        telemetry::init_logging(&config.log.level, format)
            .map_err(|error| Failure::Wrong(error.to_string()))?;
        let started = App::start(config, Clock::system(), Tasks::new()).await;
        let app = started.map_err(|error| match error {
            StartError::Faults(_) | StartError::Store(_) => Failure::Wrong(error.to_string()),
            StartError::Serve(_) | StartError::ServerFile(_) => Failure::Failed(error.to_string()),
        })?;
        let (_, login) = app.serve().await.map_err(|error| Failure::Wrong(error.to_string()))?;
        super::print(&format!("Sign in to the console: {login}"));
        wait_for_stop_signal().await?;
        app.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
