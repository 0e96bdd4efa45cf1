//! Tells once that the store is away, and once that it is back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::store::{Store, StoreError};

/// Whether the store is away, by what becomes of the transactions that write.
#[derive(Default)]
pub(super) struct Outage {
    /// How many transactions have met an outage in all.
    met: AtomicU64,
    began: Mutex<Option<Began>>,
}

/// How an outage began: when by the monotonic clock, and how many had met one before.
#[derive(Clone, Copy)]
struct Began {
    at: Duration,
    met_before: u64,
}

impl Store {
    /// How many transactions have met an outage so far; whoever begins one asks this first.
    pub(super) fn met_outages(&self) -> u64 {
        self.outage.met.load(Ordering::Relaxed)
    }

    /// Notes how a transaction ended that began when so many had `met` an outage.
    ///
    /// Only one that began after the last failure shows that the store is back: others may have
    /// been answered before it went.
    pub(super) fn note_outage<T>(&self, done: &Result<T, StoreError>, met: u64) {
        match done {
            Err(error) if error.is_outage() => self.say_away(error),
            Ok(_) if met > 0 && met == self.met_outages() => self.say_back(),
            Ok(_) | Err(_) => {}
        }
    }

    fn say_away(&self, error: &StoreError) {
        let met_before = self.outage.met.fetch_add(1, Ordering::Relaxed);
        let mut began = self.outage.began.lock().unwrap_or_else(PoisonError::into_inner);
        if began.is_none() {
            *began = Some(Began { at: self.clock.monotonic(), met_before });
            let place = self.describe();
            warn!(%error, "{place}: {error}; what was accepted waits, and Loa goes on trying");
        }
    }

    fn say_back(&self) {
        let mut began = self.outage.began.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Began { at, met_before }) = began.take() else { return };
        let lasted = self.clock.monotonic().saturating_sub(at).as_secs_f64();
        let count = self.met_outages() - met_before;
        let place = self.describe();
        info!(count, "{place}: the store is back after {lasted:.1} s; {count} tries had failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::id::RunId;
    use crate::store::{Place, Settings};
    use crate::telemetry::logged;

    fn store(folder: &tempfile::TempDir) -> Store {
        let settings = Settings {
            place: Place::Sqlite(folder.path().join("loa.db")),
            outbox: false,
            keys_last: Duration::from_hours(1),
            derived_keys_last: Duration::from_hours(1),
        };
        let clock = Clock::system();
        let run = RunId::new(clock.now());
        Store::open_as_it_is(settings, clock, run).unwrap()
    }

    #[test]
    fn an_outage_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let away = || Err::<(), _>(StoreError::Unreachable("connection refused".to_owned()));

        let lines = logged("info", || {
            let early = store.met_outages();
            (0..13).for_each(|_| store.note_outage(&away(), early));
            store.note_outage(&Ok(()), early);
            store.note_outage(&Err::<(), _>(StoreError::Refused("too long".to_owned())), early);
            store.note_outage(&Ok(()), store.met_outages());
            store.note_outage(&Ok(()), store.met_outages());
        });

        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("cannot be reached: connection refused; what was accepted waits")
        );
        assert!(lines[1].contains("is back after 0.0 s; 13 tries had failed"), "{}", lines[1]);
    }
}
