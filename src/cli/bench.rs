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
    /// Let events come through this RabbitMQ, in queues that are removed at the end.
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// How many deliveries or contacts the store holds, instead of the row's own number; several
    /// for growth.
    #[arg(long, value_name = "COUNT", value_delimiter = ',')]
    rows: Vec<u64>,
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
        let found = bench.run(self.only.into(), |line| spinner.suspend(|| say(line))).await;
        spinner.finish_and_clear();
        if let Some(own) = own {
            std::fs::remove_dir_all(own)?;
        }
        let found = found?;
        if self.output == super::Output::Json {
            super::print_json(&found.json);
        } else {
            super::print_table(&found.titles, found.rows);
            found.lines.iter().for_each(|line| super::print(line));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Progress goes beside the result.
#[expect(clippy::print_stderr, reason = "the command line speaks to people")]
fn say(line: &str) {
    eprintln!("{line}");
}
