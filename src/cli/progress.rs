//! Shows how far long work has come: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

/// Work of fewer steps is over before anybody asks.
const LEAST: u64 = 2_000;
/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How far work has come.
pub(super) struct Progress {
    bar: ProgressBar,
    writes_lines: bool,
    /// What is counted now, and how far that is.
    what: String,
    count: u64,
    told_at: Instant,
}

impl Progress {
    /// Work of so many steps, shown where standard error leads.
    pub(super) fn of(steps: u64) -> Self {
        let is_long = steps > LEAST;
        let on_terminal = std::io::stderr().is_terminal();
        let bar = match is_long && on_terminal {
            true => ProgressBar::new(steps),
            false => ProgressBar::hidden(),
        };
        let writes_lines = is_long && !on_terminal;
        Self { bar, writes_lines, what: String::new(), count: 0, told_at: Instant::now() }
    }

    /// Counts `what` from now on, such as `taken of 5 contacts`.
    pub(super) fn begin(&mut self, what: &str) {
        (self.what, self.count) = (what.to_owned(), 0);
    }

    /// Some more steps are done.
    #[expect(clippy::print_stderr, reason = "the command line speaks to people")]
    pub(super) fn add(&mut self, steps: u64) {
        self.bar.inc(steps);
        self.count += steps;
        if let Some(line) = self.line(Instant::now()) {
            eprintln!("{line}");
        }
    }

    /// The line that is due, if one is.
    fn line(&mut self, now: Instant) -> Option<String> {
        let is_due = self.writes_lines && now.duration_since(self.told_at) >= EVERY;
        is_due.then(|| {
            self.told_at = now;
            format!("{} {}", self.count, self.what)
        })
    }

    /// The work is over.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_line_every_few_seconds_says_how_far_it_is() {
        let mut progress = Progress::of(LEAST + 1);
        progress.writes_lines = true;
        progress.begin("checked of 1001 contacts");
        let began = progress.told_at;
        progress.count = 700;

        let lines: Vec<_> =
            [1, 5, 9, 10].map(|second| progress.line(began + Duration::from_secs(second))).into();

        let line = Some("700 checked of 1001 contacts".to_owned());
        assert_eq!(lines, [None, line.clone(), None, line]);
    }
}
