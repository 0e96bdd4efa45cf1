//! `loa bench`: what Loa can do on this machine, a row at a time.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::BufReader;

use crate::rehearsal::bench;

/// Measure this machine: messages a second with nothing stored, and with every state stored.
///
/// Receivers on loopback take everything at once. Figures drift from machine to machine; compare
/// the ratio only. With --only, other things are measured instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa bench --quick\n  loa bench --store postgres://loa@127.0.0.1/bench \
                  --amqp amqp://127.0.0.1:5672/%2f --output json\n  \
                  loa bench --only growth --rows 10000,1000000"
)]
pub(super) struct Bench {
    /// What is measured.
    #[arg(long, value_enum, value_name = "ROW", default_value_t)]
    only: Row,
    /// Where SQLite keeps its file; a new folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep everything in this PostgreSQL database, which must be empty, instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Let events come through this RabbitMQ, in queues that are removed at the end, or by the next
    /// run if this one is stopped; for ways, slow, audience and start.
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// How many deliveries or contacts the store holds, instead of the row's own number; for growth
    /// several, from the smallest on.
    #[arg(
        long, value_name = "COUNT", value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    rows: Vec<u64>,
    #[command(flatten)]
    pub(super) threads: super::Threads,
    /// End within a minute, if the store is not to be filled.
    #[arg(long)]
    quick: bool,
    /// Only receive, for senders that are no Loa: steered by lines on standard input.
    #[arg(long, hide = true)]
    receive: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Row {
    /// What keeping every state costs: unstored, accept alone, durable; and latency at a steady
    /// pace.
    #[default]
    Ways,
    /// The SMTP provider alone, over 16 connections.
    Smtp,
    /// How soon urgent messages come while a million bulk ones wait and are sent.
    Urgent,
    /// Accept, claim, record and search with 10 thousand and 1 million deliveries in the store.
    Growth,
    /// The rate of a provider beside another that hangs.
    Slow,
    /// One event to 100,000 contacts of a segment.
    Audience,
    /// From start to ready with 1 million deliveries in the store, and memory at rest.
    Start,
}

impl From<Row> for bench::Row {
    fn from(row: Row) -> Self {
        match row {
            Row::Ways => Self::Ways,
            Row::Smtp => Self::Smtp,
            Row::Urgent => Self::Urgent,
            Row::Growth => Self::Growth,
            Row::Slow => Self::Slow,
            Row::Audience => Self::Audience,
            Row::Start => Self::Start,
        }
    }
}

impl Bench {
    pub(super) async fn run(self) -> Result<ExitCode, super::Failure> {
        if self.receive {
            let lines = BufReader::new(File::open("/dev/stdin").await?);
            bench::stand(lines, super::print).await?;
            return Ok(ExitCode::SUCCESS);
        }
        self.refuse_what_has_no_effect()?;
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
            sizes: self.rows,
        };
        let spinner = ProgressBar::new_spinner();
        let found = tokio::select! {
            found = bench.run(self.only.into(), |line| spinner.suspend(|| say(line))) => {
                found.map_err(super::Failure::from)
            }
            stopped = crate::lifecycle::wait_for_stop_signal() => {
                stopped?;
                Err(super::Failure::Failed("stopped; nothing was measured to its end".to_owned()))
            }
        };
        spinner.finish_and_clear();
        let removed = own.map_or(Ok(()), std::fs::remove_dir_all);
        let found = found?;
        removed?;
        if self.output == super::Output::Json {
            super::print_json(&found.json);
        } else {
            super::print_table(&found.titles, found.rows);
            found.lines.iter().for_each(|line| super::print(line));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What would change nothing is a mistake of whoever says it.
    fn refuse_what_has_no_effect(&self) -> Result<(), super::Failure> {
        let wrong = |text: &str| Err(super::Failure::Wrong(text.to_owned()));
        if matches!(self.only, Row::Ways | Row::Slow | Row::Smtp) && !self.rows.is_empty() {
            return wrong(
                "--rows: only urgent, growth, audience and start begin with a filled store",
            );
        }
        if matches!(self.only, Row::Smtp | Row::Urgent | Row::Growth) && self.amqp.is_some() {
            return wrong("--amqp: smtp, urgent and growth take no events from a broker");
        }
        if matches!(self.only, Row::Smtp) && (self.store.is_some() || self.data_dir.is_some()) {
            return wrong("--store, --data-dir: smtp keeps nothing");
        }
        if !matches!(self.only, Row::Growth) && self.rows.len() > 1 {
            return wrong("--rows: only growth is measured at several sizes");
        }
        if !self.rows.is_sorted_by(|one, next| one < next) {
            return wrong("--rows: name the sizes from the smallest on, each once");
        }
        Ok(())
    }
}

/// Progress goes beside the result.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    /// What is said of these arguments, if they cannot be meant.
    fn told(arguments: &[&str]) -> Option<String> {
        let line = match Line::try_parse_from([&["bench"], arguments].concat()) {
            Ok(line) => line,
            Err(error) => return Some(error.to_string()),
        };
        let super::super::Failure::Wrong(text) = line.bench.refuse_what_has_no_effect().err()?
        else {
            panic!("not told as a mistake");
        };
        Some(text)
    }

    #[test]
    fn what_would_change_nothing_is_told_with_the_option() {
        for wrong in [
            &["--rows", "5"][..],
            &["--only", "smtp", "--rows", "5"],
            &["--only", "slow", "--rows", "5"],
            &["--only", "start", "--rows", "5,6"],
            &["--only", "growth", "--rows", "0"],
            &["--only", "growth", "--rows", "2000,1000"],
        ] {
            let text = told(wrong).unwrap();
            assert!(text.contains("--rows"), "{wrong:?}: {text}");
        }
        for row in ["smtp", "urgent", "growth"] {
            let text = told(&["--only", row, "--amqp", "amqp://127.0.0.1"]).unwrap();
            assert!(text.contains("--amqp"), "{row}: {text}");
        }
        let text = told(&["--only", "smtp", "--store", "postgres://127.0.0.1/bench"]).unwrap();
        assert!(text.contains("--store"), "{text}");
        assert_eq!(told(&["--only", "growth", "--rows", "10,20"]), None);
        assert_eq!(told(&["--only", "start", "--rows", "10", "--amqp", "amqp://127.0.0.1"]), None);
        assert_eq!(told(&["--amqp", "amqp://127.0.0.1"]), None);
    }
}
