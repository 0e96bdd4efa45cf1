//! How many events come and deliveries leave each minute, by samples of the ledger's counters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::ledger::Ledger;
use crate::store::Store;

/// How often the counters are looked at.
const EVERY: Duration = Duration::from_secs(10);
/// How many minutes a chart shows.
const MINUTES: usize = 30;
/// Samples for that long, and one to begin from.
const KEPT: usize = MINUTES * 6 + 1;
/// A rate is told of this long.
const SPAN: SignedDuration = SignedDuration::from_mins(5);

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    events: i64,
    sent: i64,
}

/// What one figure did of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rate {
    /// How many a minute; none until two samples tell.
    pub a_minute: Option<f64>,
    /// How many in each of the last minutes, the oldest first.
    pub minutes: Vec<i64>,
}

/// The samples; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Rates(Arc<Mutex<VecDeque<Sample>>>);

impl Rates {
    /// Samples the counters in the background until the soft stop.
    pub fn start(store: Store, clock: Clock, tasks: &Tasks) -> Self {
        let rates = Self::default();
        let (kept, soft) = (rates.clone(), tasks.soft().clone());
        tasks.spawn(async move {
            loop {
                match store.ledger().await {
                    Ok(ledger) => kept.note(clock.now(), &ledger),
                    // Whoever uses the store says so; a gap in a chart is no news.
                    Err(error) => debug!(%error, "no sample of the counters: {error}"),
                }
                tokio::select! {
                    () = clock.sleep(EVERY) => {}
                    () = soft.cancelled() => return,
                }
            }
        });
        rates
    }

    /// How many events arrived.
    pub fn events(&self, now: Timestamp) -> Rate {
        self.rate(now, |sample| sample.events)
    }

    /// How many deliveries a gateway accepted.
    pub fn sent(&self, now: Timestamp) -> Rate {
        self.rate(now, |sample| sample.sent)
    }

    fn note(&self, at: Timestamp, ledger: &Ledger) {
        let states = ["sent", "delivered", "bounced"];
        let sent = states.iter().filter_map(|state| ledger.deliveries.states.get(state)).sum();
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(Sample { at, events: ledger.events.received, sent });
        if samples.len() > KEPT {
            samples.pop_front();
        }
    }

    fn rate(&self, now: Timestamp, figure: fn(&Sample) -> i64) -> Rate {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What the figure was at a moment: as the last sample before it says, else the first of
        // all.
        let at = |moment: Timestamp| {
            let before = samples.iter().rev().find(|sample| sample.at <= moment);
            before.or(samples.front()).map_or(0, figure)
        };
        let minute = |ago: usize| {
            let ago = i64::try_from(ago).unwrap_or(0);
            at(now - SignedDuration::from_mins(ago)) - at(now - SignedDuration::from_mins(ago + 1))
        };
        Rate {
            a_minute: a_minute(&samples, now, figure),
            minutes: (0..MINUTES).rev().map(minute).collect(),
        }
    }
}

fn a_minute(samples: &VecDeque<Sample>, now: Timestamp, figure: fn(&Sample) -> i64) -> Option<f64> {
    let last = samples.back()?;
    let first = samples.iter().find(|sample| now.duration_since(sample.at) <= SPAN)?;
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let gained = u32::try_from(figure(last) - figure(first)).unwrap_or(0);
    (seconds >= 1.0).then(|| f64::from(gained) / seconds * 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(received: i64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.events.received = received;
        ledger.deliveries.states.insert("sent", received * 2);
        ledger
    }

    #[test]
    fn a_rate_is_told_a_minute_over_the_last_samples() {
        let rates = Rates::default();
        let start = Timestamp::UNIX_EPOCH;
        for (second, received) in [(0, 100), (60, 160), (120, 400)] {
            rates.note(start + SignedDuration::from_secs(second), &ledger(received));
        }
        let now = start + SignedDuration::from_secs(120);

        let (events, sent) = (rates.events(now), rates.sent(now));

        assert_eq!(events.a_minute, Some(150.0));
        assert_eq!(sent.a_minute, Some(300.0));
        assert_eq!(events.minutes.len(), MINUTES);
        assert_eq!(events.minutes.iter().rev().take(3).copied().collect::<Vec<_>>(), [240, 60, 0]);
    }

    #[test]
    fn one_sample_tells_no_rate() {
        let rates = Rates::default();
        rates.note(Timestamp::UNIX_EPOCH, &ledger(7));

        let rate = rates.events(Timestamp::UNIX_EPOCH);

        assert_eq!(rate.a_minute, None);
        assert!(rate.minutes.iter().all(|count| *count == 0));
    }
}
