//! `loa migrate` and `loa backup`: the store itself.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Failure, Output, Settings};
use crate::app;
use crate::clock::Clock;
use crate::model::id::RunId;
use crate::store::Store;

/// Bring the store's schema up to date, and say what was applied.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa migrate --config loa.toml")]
pub(super) struct Migrate {
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let store = open(&self.settings)?;
        let applied =
            store.migrate().await.map_err(|error| match error.is_for_somebody_to_mend() {
                true => super::wrong(error),
                false => error.of_store_at(&store.describe()).into(),
            })?;
        let what = match applied.is_empty() {
            true => "up to date".to_owned(),
            false => format!("applied {}", applied.join(", ")),
        };
        let place = store.describe();
        let value = json!({ "store": place, "applied": applied });
        super::print_as(self.output, &format!("{place}: {what}"), &value);
        Ok(ExitCode::SUCCESS)
    }
}

/// Copy a SQLite store to a new file, while Loa runs or not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa backup /backup/loa-monday.db")]
pub(super) struct Backup {
    /// The new file.
    file: PathBuf,
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Backup {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let config = self.settings.load()?;
        if config.store.url.is_some() {
            let text = "this store is PostgreSQL; back it up with pg_dump";
            return Err(Failure::Wrong(text.to_owned()));
        }
        let database = app::database(&config);
        if !database.exists() {
            return Err(Failure::Failed(format!(
                "there is no store in {}: {} is missing; name Loa's folder with --data-dir",
                config.data_dir.display(),
                database.display()
            )));
        }
        crate::store::backup(&database, &self.file).await?;
        let file = self.file.display().to_string();
        super::print_as(self.output, &format!("copied to {file}"), &json!({ "file": file }));
        Ok(ExitCode::SUCCESS)
    }
}

fn open(settings: &Settings) -> Result<Store, Failure> {
    let config = settings.load()?;
    let clock = Clock::system();
    let run = RunId::new(clock.now());
    Store::open_as_it_is(app::store_settings(&config), clock, run)
        .map_err(|error| Failure::Wrong(error.to_string()))
}
