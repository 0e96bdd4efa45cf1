//! The store's own figures as metrics: the ledger's states, what is overdue, how late each lane is.

use std::sync::Arc;
use std::time::Duration;

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
}

impl Figures {
    /// Brings the metrics up to date with the store, and returns what it said.
    pub(super) async fn show(&self) -> Result<(Backlog, Ledger), StoreError> {
        let backlog = self.store.backlog().await?;
        let now = self.clock.now();
        self.metrics.show_overdue(backlog.overdue);
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
