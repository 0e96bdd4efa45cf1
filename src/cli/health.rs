//! `loa health`: whether the Loa of these settings answers; for containers.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Failure, Settings};

/// Say whether the Loa of these settings answers; exit code 0 or 1.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa health")]
pub(super) struct Health {
    #[command(flatten)]
    settings: Settings,
}

impl Health {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let config = self.settings.load().map_err(|faults| Failure::Wrong(faults.to_string()))?;
        let mut address = config.http.listen;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let answer = http.get(format!("http://{address}/healthz")).send().await?;
        match answer.status().is_success() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Failure::Failed(format!("{address} answers {}", answer.status()))),
        }
    }
}
