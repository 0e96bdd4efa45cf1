//! `loa bench`: what keeping every state costs, as a ratio within one run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;

use crate::rehearsal::bench;

/// Measure this machine: messages a second with nothing stored, and with every state stored.
///
/// Receivers on loopback take everything at once. Figures drift from machine to machine; compare the
/// ratio only.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa bench --quick\n  loa bench --store postgres://loa@127.0.0.1/bench \
                  --amqp amqp://127.0.0.1:5672/%2f --output json"
)]
pub(super) struct Bench {
    /// Where SQLite keeps its file; a new folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep everything in this PostgreSQL database, which must be empty, instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Let events come through this RabbitMQ, in queues that are removed at the end.
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// End within a minute.
    #[arg(long)]
    quick: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

impl Bench {
    pub(super) async fn run(self) -> Result<ExitCode, super::Failure> {
        let own = match self.data_dir {
            Some(_) => None,
            None => Some(super::scratch_folder()?),
        };
        let data_dir = self.data_dir.clone().or_else(|| own.clone()).unwrap_or_default();
        let bench = bench::Bench {
            data_dir,
            store_url: self.store,
            amqp_url: self.amqp.map(Into::into),
            extent: if self.quick { bench::Extent::QUICK } else { bench::Extent::FULL },
        };
        let spinner = ProgressBar::new_spinner();
        let report = bench.run(|line| spinner.suspend(|| say(line))).await;
        spinner.finish_and_clear();
        if let Some(own) = own {
            std::fs::remove_dir_all(own)?;
        }
        let report = report?;
        if self.output == super::Output::Json {
            super::print_json(&report.json());
        } else {
            super::print_table(&bench::Report::TITLES, report.rows());
            report.lines().iter().for_each(|line| super::print(line));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Progress goes beside the result.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn say(line: &str) {
    eprintln!("{line}");
}
