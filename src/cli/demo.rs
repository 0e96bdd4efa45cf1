//! `loa demo`: the whole product on a bare machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::rehearsal::demo;

/// Show the whole product at work: a company, its events, and what became of each message.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa demo\n  loa demo --once --output json")]
pub(super) struct Demo {
    /// Where the demo keeps its store; a new folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Play the story to its end and stop; the exit code says whether all came about.
    #[arg(long)]
    once: bool,
    /// Where the API and the console listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Keep everything in this PostgreSQL database instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

impl Demo {
    pub(super) async fn run(self) -> Result<ExitCode, super::Failure> {
        let own = match self.data_dir {
            Some(_) => None,
            None => Some(super::scratch_folder()?),
        };
        let data_dir = self.data_dir.clone().or_else(|| own.clone()).unwrap_or_default();
        let demo = demo::Demo {
            data_dir,
            listen: self.listen,
            store_url: self.store,
            is_quiet: self.output == super::Output::Json,
        };
        let app = demo.start().await?;
        let mut out = std::io::stdout();
        // Something may listen there already; a story that is played once needs no visitors.
        let served = if self.once { None } else { Some(app.serve().await?) };
        let report = demo.play(&app, &mut out).await?;
        if self.output == super::Output::Json {
            super::print_json(&report.json);
        }
        if let Some(address) = served {
            if self.output == super::Output::Text {
                // The story took days by the clock that ends links, so this is made after it.
                let login = app.login_link(address).await?;
                demo::farewell(&mut out, &demo.data_dir, address, &login)?;
            }
            app.pipeline.follow_the_clock(&app.tasks);
            crate::lifecycle::wait_for_stop_signal().await?;
        }
        app.stop().await;
        if let Some(own) = own {
            std::fs::remove_dir_all(own)?;
        }
        Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
