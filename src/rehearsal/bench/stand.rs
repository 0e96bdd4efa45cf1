//! The receivers alone, for senders that are no part of this program: `bench/peers`.
//!
//! They are steered by lines: a number says how many messages are to come, and is answered when a
//! tenth of them, 95 of a hundred, and all came; `count` is answered with how many came so far.

use std::io;

use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::BenchError;
use super::sink::Sinks;
use crate::clock::Clock;

/// Shares of the messages, in hundredths, at which it is told when they came: what lies before the
/// first is the start, what lies behind the second is the end.
const MARKS: [u64; 3] = [10, 95, 100];

/// Receives until `lines` end; `tell` gets each answer as a line of JSON.
///
/// # Errors
/// When the system gives no ports, or a line is neither a number nor `count`.
pub async fn stand(
    lines: impl AsyncBufRead + Unpin,
    mut tell: impl FnMut(&str),
) -> Result<(), BenchError> {
    let clock = Clock::system();
    let sinks = Sinks::start(&clock)?;
    tell(&json!({ "http": sinks.http, "smtp": sinks.smtp }).to_string());
    let mut lines = lines.lines();
    let mut before = 0;
    while let Some(line) = lines.next_line().await? {
        let came = sinks.tally.count();
        if line.trim() == "count" {
            tell(&json!({ "count": came - before }).to_string());
            continue;
        }
        let count: u64 = line.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{line:?} is no number of messages"),
            )
        })?;
        before = came;
        for mark in MARKS {
            sinks.tally.reach(before + (count * mark).div_ceil(100)).await;
            let at = clock.monotonic().as_secs_f64();
            tell(&json!({ "percent": mark, "at": at }).to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[tokio::test]
    async fn what_came_is_counted_and_a_wrong_line_ends_it() {
        let mut answers = Vec::new();

        let stood =
            stand(BufReader::new(&b"count\nmany\n"[..]), |line| answers.push(line.to_owned()));

        assert!(stood.await.unwrap_err().to_string().contains("\"many\" is no number"));
        assert_eq!(answers[1], r#"{"count":0}"#);
    }
}
