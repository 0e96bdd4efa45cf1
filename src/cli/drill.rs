//! `loa drill`: proof of the ledger.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::rehearsal::drill::{self, DrillError, Extent};

/// How many workers share a PostgreSQL unless it is said.
const WORKERS: u8 = 2;

/// Attack a real Loa, then count at the receivers: nothing lost, nothing twice without a reason.
///
/// Starts workers in processes of their own, and receivers on loopback that count every message and
/// misbehave. Workers are killed, stopped and terminated under load; connections to broker,
/// database and receivers are cut or go silent; events come again, out of order. Then all is made
/// well, and the backlog must reach zero. A seed chooses the faults; the same seed chooses the
/// same.
///
/// Exit code 1 if a promise was broken; the deliveries are named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa drill --quick\n  \
    loa drill --faults 300 --deliveries 200000 --workers 2 --store postgres://loa@127.0.0.1/drill \
    --amqp amqp://127.0.0.1:5672/drill --output json")]
pub(super) struct Drill {
    /// Where the workers keep their files; a new folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep everything in this PostgreSQL database, which must be empty, instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Let events come through this RabbitMQ, in queues that are removed at the end.
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// A program that restarts the database when it is called with `restart`.
    #[arg(long, value_name = "PROGRAM", requires = "store")]
    store_control: Option<String>,
    /// A program that restarts RabbitMQ when it is called with `restart`.
    #[arg(long, value_name = "PROGRAM", requires = "amqp")]
    amqp_control: Option<String>,
    /// How many workers share the PostgreSQL database; 2 by default. A SQLite file has one.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: Option<u8>,
    /// Chooses the faults; by default another seed each time, which is printed.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many faults.
    #[arg(long, value_name = "COUNT")]
    faults: Option<usize>,
    /// How many deliveries, about.
    #[arg(long, value_name = "COUNT")]
    deliveries: Option<u64>,
    /// End within a minute.
    #[arg(long)]
    quick: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

impl Drill {
    pub(super) async fn run(self) -> Result<ExitCode, super::Failure> {
        if self.store.is_none() && self.workers.is_some_and(|workers| workers > 1) {
            let text = "--workers: a SQLite file has one worker; several share a PostgreSQL, which \
                        --store names";
            return Err(super::Failure::Wrong(text.to_owned()));
        }
        let own = match self.data_dir {
            Some(_) => None,
            None => Some(super::scratch_folder()?),
        };
        let folder = self.data_dir.clone().or_else(|| own.clone()).unwrap_or_default();
        let output = self.output;
        let drill = self.drill(folder);
        say(&format!("loa drill --seed {}", drill.seed));
        let bar = progress_bar(drill.extent.faults);
        let report = drill.run(|(done, _, what)| {
            bar.set_position(done as u64);
            bar.set_message(what.to_owned());
        });
        let report = tokio::select! {
            report = report => report.map_err(refused),
            stopped = crate::lifecycle::wait_for_stop_signal() => {
                stopped?;
                Err(super::Failure::Failed("stopped; the workers were killed".to_owned()))
            }
        };
        bar.finish_and_clear();
        let report = report?;
        if let Some(own) = own {
            std::fs::remove_dir_all(own)?;
        }
        if output == super::Output::Json {
            super::print_json(&report.json());
        } else {
            super::print_table(&drill::Report::TITLES, report.rows());
            report.lines().iter().for_each(|line| super::print(line));
        }
        Ok(if report.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn drill(self, folder: PathBuf) -> drill::Drill {
        let mut extent = if self.quick { Extent::QUICK } else { Extent::USUAL };
        extent.faults = self.faults.unwrap_or(extent.faults);
        if let Some(deliveries) = self.deliveries {
            extent = extent.with_deliveries(deliveries);
        }
        drill::Drill {
            folder,
            store_url: self.store.map(Into::into),
            amqp_url: self.amqp.map(Into::into),
            store_control: self.store_control,
            amqp_control: self.amqp_control,
            workers: self.workers.unwrap_or(WORKERS).into(),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
            extent,
        }
    }
}

fn progress_bar(faults: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} faults, {elapsed}: {msg}");
    ProgressBar::new(faults as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What keeps the drill from starting, by whose fault it is.
fn refused(error: DrillError) -> super::Failure {
    match error {
        DrillError::Settings(_) | DrillError::Url(_) | DrillError::NotEmpty(_) => {
            super::wrong(error)
        }
        DrillError::Refused(_)
        | DrillError::Store(_)
        | DrillError::Worker(_)
        | DrillError::SetUp(_) => error.into(),
    }
}

/// What is said beside the result.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn say(line: &str) {
    eprintln!("{line}");
}
