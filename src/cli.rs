//! The command line: one file a command.

mod ask;
mod bench;
mod check;
mod client;
mod contacts;
mod deliveries;
mod demo;
mod drill;
mod event_types;
mod events;
mod health;
mod import;
mod keys;
mod ledger;
mod partners;
mod print;
mod progress;
mod providers;
mod publish;
mod rejected;
mod run;
mod segments;
mod storage;
mod suppressions;
mod teams;
mod templates;
mod users;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::config::{self, Config, Sources};
use crate::telemetry::with_causes;
use print::{cell, counted, print, print_as, print_json, print_list, print_rows, print_table};

/// Loa turns business events into messages that partners really receive, and keeps the proof.
#[derive(Debug, Parser)]
#[command(name = "loa", version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  loa demo\n  loa run --config loa.toml\n  \
    loa publish order.delayed --data order.json")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Bench(bench::Bench),
    Drill(drill::Drill),
    Check(check::Check),
    Publish(publish::Publish),
    Events(events::Events),
    Deliveries(Box<deliveries::Deliveries>),
    Rejected(rejected::Rejected),
    Ledger(ledger::Ledger),
    Providers(providers::Providers),
    EventTypes(event_types::EventTypes),
    Templates(templates::Templates),
    Contacts(contacts::Contacts),
    Partners(partners::Partners),
    Teams(teams::Teams),
    Segments(segments::Segments),
    Suppressions(suppressions::Suppressions),
    Keys(keys::Keys),
    Users(users::Users),
    Migrate(storage::Migrate),
    Backup(storage::Backup),
    Health(health::Health),
}

/// Where settings come from; every command that reads them takes these.
#[derive(Clone, Debug, Args)]
struct Settings {
    /// The settings file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder that Loa writes to.
    #[arg(long, value_name = "FOLDER", global = true)]
    data_dir: Option<PathBuf>,
}

impl Settings {
    fn sources(&self) -> Sources {
        let sources = Sources::of_process(self.config.clone());
        match &self.data_dir {
            Some(folder) => {
                sources.with_override("data_dir", &folder.display().to_string(), "--data-dir")
            }
            None => sources,
        }
    }

    /// The settings, or all that is wrong with them.
    fn load(&self) -> Result<Config, Failure> {
        config::load(&self.sources()).map_err(|faults| {
            Failure::Wrong(format!("{faults}\nloa check names all there are in everything read"))
        })
    }

    /// The settings as far as they can be read, whatever is wrong with the rest.
    fn read(&self) -> Config {
        config::read(&self.sources()).0
    }

    /// The folder that Loa writes to.
    fn data_dir(&self) -> PathBuf {
        self.read().data_dir
    }
}

/// How much of the processor Loa takes.
#[derive(Clone, Copy, Debug, Args)]
struct Threads {
    /// How many threads do the work, instead of as many as there are cores; where PostgreSQL and
    /// RabbitMQ share two cores, one does more. SQLite's writer has a thread of its own.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What a command ends with when it does not end well.
enum Failure {
    /// It was asked for something that cannot be, or the settings have faults: exit code 2.
    Wrong(String),
    /// It failed: exit code 1.
    Failed(String),
}

impl Failure {
    /// The same with exit code 2, for a command by whose exit code 1 something else is said.
    fn of_what_was_asked(self) -> Self {
        match self {
            Self::Wrong(text) | Self::Failed(text) => Self::Wrong(text),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(with_causes(&error))
    }
}

/// The failure of what somebody has to mend before it can work.
fn wrong(error: impl std::error::Error) -> Failure {
    Failure::Wrong(with_causes(&error))
}

/// Runs the command that the arguments name; exit code 0, 1 (failed) or 2 (usage, settings).
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    crate::telemetry::keep_panics_quiet();
    // One TLS provider for everything; a second call in the same process changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match runtime(arguments.command.threads()) {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::Failed(format!("cannot start: {error}")))),
    };
    end(runtime.block_on(arguments.command.run()))
}

/// What runs everything, on as many threads, or as many as there are cores.
fn runtime(threads: Option<u16>) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(count) = threads {
        builder.worker_threads(usize::from(count));
    }
    builder.enable_all().build()
}

impl Command {
    fn threads(&self) -> Option<u16> {
        if let Self::Run(run::Run { threads, .. }) | Self::Bench(bench::Bench { threads, .. }) =
            self
        {
            return threads.threads;
        }
        None
    }

    async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(command) => command.run().await,
            Self::Demo(command) => command.run().await,
            Self::Bench(command) => command.run().await,
            Self::Drill(command) => Box::pin(command.run()).await,
            Self::Check(command) => Ok(command.run()),
            Self::Publish(command) => command.run().await,
            Self::Events(command) => command.run().await,
            Self::Deliveries(command) => command.run().await,
            Self::Rejected(command) => command.run().await,
            Self::Ledger(command) => command.run().await,
            Self::Providers(command) => command.run().await,
            Self::EventTypes(command) => command.run(),
            Self::Templates(command) => command.run(),
            Self::Contacts(command) => command.run().await,
            Self::Partners(command) => command.run().await,
            Self::Teams(command) => command.run().await,
            Self::Segments(command) => command.run().await,
            Self::Suppressions(command) => command.run().await,
            Self::Keys(command) => command.run().await,
            Self::Users(command) => command.run().await,
            Self::Migrate(command) => command.run().await,
            Self::Backup(command) => command.run().await,
            Self::Health(command) => command.run().await,
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn end(result: Result<ExitCode, Failure>) -> ExitCode {
    let (text, code) = match result {
        Ok(code) => return code,
        Err(Failure::Wrong(text)) => (text, 2),
        Err(Failure::Failed(text)) => (text, 1),
    };
    eprintln!("{}", print::inert(&text));
    ExitCode::from(code)
}

/// A new folder of this process's own.
fn scratch_folder() -> io::Result<PathBuf> {
    let name = format!("loa-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests;
