//! Reads the data of events from a file, whole or line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::Failure;

/// Ends of names of files that hold one event's data a line.
const LINES: [&str; 2] = ["ndjson", "jsonl"];

/// The data of one event.
pub(super) struct Item {
    /// The line it begins in, from one.
    pub(super) line: usize,
    /// What is wrong with it, with its place, if it cannot be read.
    pub(super) data: Result<Value, String>,
}

/// A file of events' data.
pub(super) struct Input {
    name: String,
    reader: Box<dyn BufRead>,
    is_lines: bool,
    /// How many lines were read.
    lines: usize,
    progress: ProgressBar,
}

impl Input {
    /// Opens the file, or standard input for `-`; shows progress where a person looks on.
    pub(super) fn open(name: &str, is_lines: bool) -> Result<Self, Failure> {
        let path = Path::new(name);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_lines = is_lines || LINES.contains(&ending);
        if name == "-" {
            let reader = Box::new(BufReader::new(std::io::stdin()));
            let progress = ProgressBar::hidden();
            return Ok(Self { name: name.to_owned(), reader, is_lines, lines: 0, progress });
        }
        let unreadable =
            |error: std::io::Error| Failure::Wrong(format!("cannot read {name}: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let progress = match is_lines && std::io::stderr().is_terminal() {
            true => bar(size),
            false => ProgressBar::hidden(),
        };
        let reader = Box::new(BufReader::new(file));
        Ok(Self { name: name.to_owned(), reader, is_lines, lines: 0, progress })
    }

    /// Whether each line is an event of its own.
    pub(super) fn is_lines(&self) -> bool {
        self.is_lines
    }

    /// The next events, `most` at a time; none at the end.
    pub(super) fn batch(&mut self, most: usize) -> Result<Vec<Item>, Failure> {
        let mut items = Vec::new();
        while items.len() < most {
            let Some(item) = self.next()? else { break };
            items.push(item);
        }
        if items.is_empty() {
            self.progress.finish_and_clear();
        }
        Ok(items)
    }

    /// Prints while the progress bar is away.
    pub(super) fn beside_progress(&self, print: impl FnOnce()) {
        self.progress.suspend(print);
    }

    fn next(&mut self) -> Result<Option<Item>, Failure> {
        if !self.is_lines {
            return self.whole();
        }
        loop {
            let mut text = String::new();
            let read = self.reader.read_line(&mut text).map_err(|error| self.unreadable(&error))?;
            if read == 0 {
                return Ok(None);
            }
            self.lines += 1;
            self.progress.inc(read as u64);
            if !text.trim().is_empty() {
                return Ok(Some(self.parse(&text, self.lines)));
            }
        }
    }

    /// The file as one event; a second look finds nothing.
    fn whole(&mut self) -> Result<Option<Item>, Failure> {
        let mut text = String::new();
        self.reader.read_to_string(&mut text).map_err(|error| self.unreadable(&error))?;
        if self.lines > 0 {
            return Ok(None);
        }
        self.lines = 1;
        Ok(Some(self.parse(&text, 1)))
    }

    fn parse(&self, text: &str, first: usize) -> Item {
        let data = serde_json::from_str(text.trim_end()).map_err(|error| {
            let (line, column) = (first + error.line().saturating_sub(1), error.column());
            let error = error.to_string();
            // The place of its own counts from the beginning of this text, not of the file.
            let (what, _) = error.split_once(" at line ").unwrap_or((&error, ""));
            format!("{}:{line}:{column}: not JSON: {what}", self.name)
        });
        Item { line: first, data }
    }

    /// The place of an event in the file.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::Wrong(format!("cannot read {}: {error}", self.name))
    }
}

fn bar(size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    let style = "{wide_bar} {bytes}/{total_bytes} {eta}";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Vec<(usize, Result<Value, String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut input = Input::open(path.to_str().unwrap(), false).ok().unwrap();
        let mut found = Vec::new();
        loop {
            let items = input.batch(2).ok().unwrap();
            if items.is_empty() {
                return found;
            }
            found.extend(items.into_iter().map(|item| (item.line, item.data)));
        }
    }

    #[test]
    fn each_line_of_a_file_of_lines_is_an_event_and_blank_ones_are_none() {
        let found = read("a.ndjson", "1\n\n2\n3");

        assert_eq!(found, [(1, Ok(1.into())), (3, Ok(2.into())), (4, Ok(3.into()))]);
    }

    #[test]
    fn any_other_file_is_one_event() {
        assert_eq!(read("a.json", "{\n\"a\": 1}").len(), 1);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place_and_the_rest_is_read() {
        let found = read("a.jsonl", "1\n\n{\"a\":}\n2\n");

        let told = found[1].1.as_ref().unwrap_err();
        assert!(told.ends_with("a.jsonl:3:6: not JSON: expected value"), "{told}");
        assert_eq!(found[2], (4, Ok(2.into())));
    }
}
