//! The command line: one file a command.

mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Loa turns business events into messages that partners really receive, and keeps the proof.
#[derive(Debug, Parser)]
#[command(name = "loa", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
}

/// Runs the command that `arguments` name; the exit code is 0, 1 (failed) or 2 (usage, settings).
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match arguments.command {
            Command::Demo(command) => command.run().await,
        }
    })
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

/// Prints a result for programs.
#[expect(clippy::print_stdout, reason = "the command line speaks to people")]
fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

/// A new folder of this process's own.
fn scratch_folder() -> std::io::Result<std::path::PathBuf> {
    let name = format!("loa-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Says what failed, and ends with 1.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn failed(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(1)
}
