//! `loa health`: whether a Loa answers; for containers.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::last_cause;
use super::{Failure, Output, Settings};
use crate::app::server_file;
use crate::config::NamedServer;

/// Say whether a Loa answers: the one of these settings, or the one named; exit code 0 or 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa health\n  loa health --server http://127.0.0.1:8080")]
pub(super) struct Health {
    /// Its address, such as `http://127.0.0.1:8080`; by default `LOA_SERVER`, else the Loa that
    /// runs on the data folder, else `http.listen` of the settings.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Health {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let url = self.address()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let answer = http.get(format!("{url}/healthz")).send().await.map_err(|error| {
            let why = last_cause(&error);
            let help = "start it with `loa run`, or name another by --server or LOA_SERVER";
            Failure::Failed(format!("no Loa answers at {url} ({why}); {help}"))
        })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure::Failed(format!("{url} answers {status}")));
        }
        let value = json!({ "healthy": true, "url": url });
        super::print_as(self.output, &format!("Loa answers at {url}."), &value);
        Ok(ExitCode::SUCCESS)
    }

    fn address(&self) -> Result<String, Failure> {
        if let Some(url) = self.server.clone().or(NamedServer::of_process().url) {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let config = self.settings.load()?;
        // A Loa that still waits for its store listens, but has left no file.
        let file = server_file::read(&config.data_dir);
        let listens = || format!("http://{}", server_file::reached_at(config.http.listen));
        Ok(file.map_or_else(listens, |file| file.url))
    }
}
