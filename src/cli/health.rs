//! `loa health`: whether the Loa of these settings answers; for containers.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Failure, Output, Settings};

/// Say whether the Loa of these settings answers; exit code 0 or 1.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa health")]
pub(super) struct Health {
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Health {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let config = self.settings.load()?;
        let mut address = config.http.listen;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let answer = http.get(format!("http://{address}/healthz")).send().await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure::Failed(format!("{address} answers {status}")));
        }
        let value = json!({ "healthy": true, "address": address.to_string() });
        super::print_as(self.output, &format!("Loa answers at {address}."), &value);
        Ok(ExitCode::SUCCESS)
    }
}
