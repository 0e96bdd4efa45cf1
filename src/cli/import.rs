//! Hands a file of contacts or partners to a running Loa, in parts, and tells of each faulty row.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::client::{Client, Server};
use super::{Failure, Output, print, print_as};
use crate::intake::roster::{Format, Row, rows};

/// How many rows go in one request.
const PART: usize = 2000;
/// The most faults that are told to people one by one.
const TOLD: usize = 20;

/// Which file, and how.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file: .csv, .ndjson or .json; `-` is standard input.
    file: String,
    /// How rows are written, where the file's name does not say it.
    #[arg(long, value_enum)]
    format: Option<RowFormat>,
    /// Say what is wrong, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take the other rows if some have faults; by default nothing is taken then.
    #[arg(long)]
    skip_faults: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RowFormat {
    /// A header line with the names of the members, then one line a row.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array.
    Json,
}

impl Import {
    /// Imports at `path`; `what` names the rows to people.
    pub(super) async fn run(self, path: &str, what: &str) -> Result<ExitCode, Failure> {
        let format = self.format()?;
        let bytes = read(&self.file)?;
        let rows = rows(format, &bytes)
            .map_err(|misfit| Failure::Wrong(format!("{}: {misfit}", self.file)))?;
        let client = self.server.connect()?;
        let progress = match std::io::stderr().is_terminal() && rows.len() > PART {
            true => ProgressBar::new(2 * rows.len() as u64),
            false => ProgressBar::hidden(),
        };
        let checked = hand_in(&client, path, &rows, true, &progress).await?;
        let is_refused = !checked.faults.is_empty() && !self.skip_faults;
        let mut done = checked;
        if !self.dry_run && !is_refused {
            let faults = done.faults;
            done = hand_in(&client, path, &rows, false, &progress).await?;
            done.faults = faults;
        }
        progress.finish_and_clear();
        self.tell(&done, rows.len(), what, is_refused);
        Ok(match is_refused {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    fn format(&self) -> Result<Format, Failure> {
        let said = self.format.map(|format| match format {
            RowFormat::Csv => Format::Csv,
            RowFormat::Ndjson => Format::Ndjson,
            RowFormat::Json => Format::Json,
        });
        said.or_else(|| Format::of_file_name(&self.file)).ok_or_else(|| {
            let file = &self.file;
            Failure::Wrong(format!("the name {file} does not say how its rows are written; give --format csv, ndjson or json"))
        })
    }

    fn tell(&self, done: &Done, count: usize, what: &str, is_refused: bool) {
        let Done { applied, older, faults } = done;
        let value = json!({
            "rows": count, "fit": count - faults.len(), "unfit": faults.len(),
            "applied": applied, "older": older, "faults": faults,
            "dry_run": self.dry_run, "refused": is_refused && !self.dry_run,
        });
        if self.server.output == Output::Text {
            for fault in faults.iter().take(TOLD) {
                let place = match fault["pointer"].as_str().unwrap_or_default() {
                    "" => String::new(),
                    pointer => format!("{pointer}: "),
                };
                let message = fault["message"].as_str().unwrap_or_default();
                print(&format!("{}:{}: {place}{message}", self.file, fault["line"]));
            }
            if faults.len() > TOLD {
                let more = faults.len() - TOLD;
                print(&format!("… and {more} more; --output json lists them all"));
            }
        }
        let unfit = faults.len();
        let fit = count - unfit;
        let text = match (self.dry_run, is_refused) {
            (true, _) => format!(
                "{count} {what} read: {fit} can be taken, {unfit} have a fault; nothing was changed"
            ),
            (false, true) => format!(
                "{unfit} of {count} {what} have a fault, so none was taken; mend them, or take the \
                 others with --skip-faults"
            ),
            (false, false) => format!(
                "{applied} of {count} {what} taken, {older} were older than what is known, {unfit} \
                 had a fault"
            ),
        };
        print_as(self.server.output, &text, &value);
    }
}

/// What became of the rows.
#[derive(Default)]
struct Done {
    applied: u64,
    older: u64,
    faults: Vec<Value>,
}

async fn hand_in(
    client: &Client,
    path: &str,
    rows: &[Row],
    dry_run: bool,
    progress: &ProgressBar,
) -> Result<Done, Failure> {
    let mut done = Done::default();
    for part in rows.chunks(PART) {
        let (mut lines, mut values) = (Vec::new(), Vec::new());
        for row in part {
            match &row.value {
                Ok(value) => {
                    lines.push(row.line);
                    values.push(value);
                }
                Err(misfit) => done.faults.push(json!({
                    "line": row.line, "pointer": misfit.pointer, "message": misfit.message,
                })),
            }
        }
        let query = [("dry_run", dry_run.to_string()), ("on_fault", "skip".to_owned())];
        let body = ("application/json", json!(values).to_string().into_bytes());
        let answer = client.post(path, &query, body).await?;
        done.applied += answer["applied"].as_u64().unwrap_or_default();
        done.older += answer["older"].as_u64().unwrap_or_default();
        for fault in answer["faults"].as_array().into_iter().flatten() {
            let place = fault["line"].as_u64().and_then(|place| usize::try_from(place).ok());
            let line = place.and_then(|place| lines.get(place.checked_sub(1)?));
            let mut fault = fault.clone();
            fault["line"] = json!(line);
            done.faults.push(fault);
        }
        progress.inc(part.len() as u64);
    }
    done.faults.sort_by_key(|fault| fault["line"].as_u64());
    Ok(done)
}

fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::Wrong(format!("cannot read {file}: {error}"));
    if file != "-" {
        return std::fs::read(file).map_err(unreadable);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
