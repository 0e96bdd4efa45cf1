//! Hands a file of contacts or partners to a running Loa, in parts, and tells of each faulty row.

use std::collections::HashSet;
use std::io::Read;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::client::{Client, Server};
use super::progress::Progress;
use super::{Failure, Output, counted, print, print_as};
use crate::intake::roster::{Format, Kind, Row, rows};

/// How many rows go in one request: no more than the faults that its answer tells one by one.
const PART: usize = 1000;
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
    /// Take the other rows if some have faults; by default nothing is taken then. It ends with 1
    /// all the same, since not all is done.
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
    /// Imports rows of this kind.
    pub(super) async fn run(self, kind: Kind) -> Result<ExitCode, Failure> {
        let (path, what) = match kind {
            Kind::Contact => ("/v1/contacts/import", "contacts"),
            Kind::Partner => ("/v1/partners/import", "partners"),
        };
        let format = self.format()?;
        let bytes = read(&self.file)?;
        let rows = rows(kind, format, &bytes)
            .map_err(|misfit| Failure::Wrong(format!("{}: {misfit}", self.file)))?;
        let client = self.server.connect()?;
        let mut progress = Progress::of(2 * rows.len() as u64);
        progress.begin(&format!("checked of {} {what}", rows.len()));
        let mut checked = hand_in(&client, path, &rows, true, &mut progress).await?;
        if kind == Kind::Contact {
            // A superior of another part of the file comes with it.
            let ids: HashSet<&str> = rows.iter().filter_map(Row::id).collect();
            let comes =
                |warning: &Value| warning["names"].as_str().is_some_and(|id| ids.contains(id));
            checked.warnings.retain(|warning| !comes(warning));
        }
        let is_refused = !checked.faults.is_empty() && !self.skip_faults;
        let mut done = checked;
        if !self.dry_run && !is_refused {
            let Done { faults, warnings, .. } = done;
            progress.begin(&format!("taken of {} {what}", rows.len()));
            done = hand_in(&client, path, &rows, false, &mut progress).await?;
            (done.faults, done.warnings) = (faults, warnings);
        }
        progress.end();
        self.tell(&done, rows.len(), what, is_refused);
        // Rows that were left out are no success, even if that was agreed to: somebody has to mend
        // them.
        Ok(if done.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
        let Done { applied, older, faults, warnings } = done;
        let unfit =
            faults.iter().filter_map(|fault| fault["line"].as_u64()).collect::<HashSet<_>>();
        let unfit = unfit.len();
        let fit = count - unfit;
        let value = json!({
            "rows": count, "fit": fit, "unfit": unfit,
            "applied": applied, "older": older, "faults": faults, "warnings": warnings,
            "dry_run": self.dry_run, "refused": is_refused && !self.dry_run,
        });
        if self.server.output == Output::Text {
            self.tell_rows(faults, "");
            self.tell_rows(warnings, "warning: ");
        }
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
        let text = match warnings.len() as u64 {
            0 => text,
            warned => format!("{text}; {}", counted(warned, "warning", "warnings")),
        };
        print_as(self.server.output, &text, &value);
    }

    /// One line for each of the first rows of which there is something to say.
    fn tell_rows(&self, said: &[Value], word: &str) {
        for one in said.iter().take(TOLD) {
            let place = match one["pointer"].as_str().unwrap_or_default() {
                "" => String::new(),
                pointer => format!("{pointer}: "),
            };
            let message = one["message"].as_str().unwrap_or_default();
            print(&format!("{}:{}: {word}{place}{message}", self.file, one["line"]));
        }
        if said.len() > TOLD {
            let more = said.len() - TOLD;
            print(&format!("… and {more} more; --output json lists them all"));
        }
    }
}

/// What became of the rows.
#[derive(Default)]
struct Done {
    applied: u64,
    older: u64,
    faults: Vec<Value>,
    warnings: Vec<Value>,
}

async fn hand_in(
    client: &Client,
    path: &str,
    rows: &[Row],
    dry_run: bool,
    progress: &mut Progress,
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
        done.faults.extend(in_file(&answer["faults"], &lines));
        done.warnings.extend(in_file(&answer["warnings"], &lines));
        progress.add(part.len() as u64);
    }
    done.faults.sort_by_key(|fault| fault["line"].as_u64());
    Ok(done)
}

/// What an answer says of the rows of one part, by their lines in the file.
fn in_file<'a>(said: &'a Value, lines: &'a [u64]) -> impl Iterator<Item = Value> + 'a {
    said.as_array().into_iter().flatten().map(|one| {
        let place = one["line"].as_u64().and_then(|place| usize::try_from(place).ok());
        let line = place.and_then(|place| lines.get(place.checked_sub(1)?));
        let mut one = one.clone();
        one["line"] = json!(line);
        one
    })
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
