//! The store's own figures as metrics: the ledger's states, what is overdue, how late each lane is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::model::catalogue::Lane;
use crate::model::ledger::Ledger;
use crate::store::{Backlog, Store, StoreError};
use crate::telemetry::Metrics;

/// Shows what the store counts.
#[derive(Clone)]
pub(super) struct Figures {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) looks: Arc<Looks>,
}

/// How often the store was looked at; one look at a time.
#[derive(Default)]
pub(super) struct Looks {
    ended: AtomicU64,
    turn: Mutex<()>,
}

impl Figures {
    /// As [`Figures::show`], but whoever waited while others looked takes what they found: the
    /// metrics are open to everybody, and each look counts rows.
    pub(super) async fn show_with_others(&self) -> Result<(), StoreError> {
        let ended = self.looks.ended.load(Ordering::Relaxed);
        let _turn = self.looks.turn.lock().await;
        // The first look since may have begun before this one was asked for, the second not.
        if self.looks.ended.load(Ordering::Relaxed) < ended + 2 {
            self.show().await?;
            self.looks.ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Brings the metrics up to date with the store, and returns what it said.
    pub(super) async fn show(&self) -> Result<(Backlog, Ledger), StoreError> {
        let backlog = self.store.backlog().await?;
        let now = self.clock.now();
        self.metrics.show_overdue(backlog.overdue);
        self.metrics.show_outbox(backlog.outbox);
        for lane in Lane::ALL {
            let oldest = backlog.oldest_due.get(lane.as_str());
            let age = oldest.map_or(Duration::ZERO, |due| now.duration_since(*due).unsigned_abs());
            self.metrics.show_oldest_due(lane.as_str(), age);
        }
        let ledger = self.store.ledger().await?;
        for (state, count) in &ledger.deliveries.states {
            self.metrics.show_deliveries(state, u64::try_from(*count).unwrap_or(0));
        }
        self.metrics.show_ledger_gap(ledger.gap());
        Ok((backlog, ledger))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::model::id::RunId;
    use crate::store::{Place, Settings};

    #[tokio::test]
    async fn however_many_ask_at_once_the_store_is_looked_at_twice() {
        let folder = TempDir::new().unwrap();
        let settings = Settings {
            place: Place::Sqlite(folder.path().join("loa.db")),
            outbox: false,
            keys_last: Duration::from_hours(1),
            derived_keys_last: Duration::from_hours(1),
        };
        let clock = Clock::system();
        let store = Store::open(settings, clock.clone(), RunId::new(clock.now())).await.unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let figures = Figures { store, clock, metrics, looks: Arc::default() };

        let asked = join_all((0..50).map(|_| figures.show_with_others())).await;

        assert!(asked.iter().all(Result::is_ok));
        assert_eq!(figures.looks.ended.load(Ordering::Relaxed), 2);
    }
}
