//! Claims due deliveries for one provider, never more than it has free slots for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::pipeline::deliver::Deliverer;
use crate::pipeline::desks::{Seat, Station};
use crate::send::Slot;
use crate::store::waits::Waits;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How long an idle dispatcher sleeps at most; whoever plans something due wakes it.
const POLL: Duration = Duration::from_millis(500);
/// How long a busy dispatcher lets slots come free, so that it claims many at a time.
const GATHER: Duration = Duration::from_millis(2);
/// The longest wait after the store could not be reached.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Claims for one provider until the soft stop.
pub(super) struct Dispatcher {
    pub(super) station: Arc<Station>,
    pub(super) deliverer: Deliverer,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// How long a claim lasts unless renewed.
    pub(super) lease: Duration,
}

impl Dispatcher {
    /// Runs until no work may be taken any more.
    pub(super) async fn run(self) {
        let soft = self.deliverer.tasks().soft().clone();
        let mut failures = Failures::default();
        loop {
            let slots = tokio::select! {
                biased;
                () = soft.cancelled() => return,
                slots = self.gather_slots() => slots,
            };
            if slots.is_empty() {
                self.rest(POLL).await;
                continue;
            }
            let wanted = slots.len();
            match self.claim(slots).await {
                Ok(claimed) => {
                    failures = Failures::default();
                    self.station.note_claim(claimed < wanted);
                    if claimed == 0 {
                        self.rest(POLL).await;
                    }
                }
                Err(error) => self.rest(failures.count(&error, &self.station)).await,
            }
        }
    }

    /// Free slots for as many calls as provider, breaker and rate let begin now; maybe none.
    ///
    /// What is claimed is sent at once: whoever waited with a claim for the rate would send by
    /// facts of the gate that are no longer so, and keep what is urgent waiting behind it.
    async fn gather_slots(&self) -> Vec<Slot> {
        let desk = &self.station.desk;
        let Some(first) = desk.wait_for_slot().await else { return Vec::new() };
        // Calls that are under way count: a half-open breaker lets one probe out at a time.
        let others = desk.taken_slots().saturating_sub(1);
        let allowed = desk.allowance().saturating_sub(others);
        if allowed == 0 || self.station.is_held() {
            return Vec::new();
        }
        if desk.free_slots() < desk.settings().concurrency / 4 {
            tokio::time::sleep(GATHER).await;
        }
        let mut slots = vec![first];
        slots.extend(desk.take_slots(allowed - 1));
        slots
    }

    async fn claim(&self, mut slots: Vec<Slot>) -> Result<usize, StoreError> {
        let name = self.station.desk.name();
        let (began, term) = (Instant::now(), self.deliverer.term(self.lease));
        let claimed = self.store.claim(name, slots.len(), self.lease).await?;
        let count = claimed.len();
        if count > 0 {
            self.metrics.count_batch("claim", count as u64, began.elapsed());
        }
        for claimed in claimed {
            let Some(slot) = slots.pop() else { break };
            self.deliverer.start(Arc::clone(&self.station), (claimed, term), Seat::Slot(slot));
        }
        Ok(count)
    }

    /// Waits until woken, until something may have come due, or until the soft stop.
    async fn rest(&self, at_most: Duration) {
        let wait = match self.clock.is_manual() {
            true => Duration::from_micros(1),
            false => at_most.mul_f64(0.5 + fastrand::f64() / 2.0),
        };
        tokio::select! {
            () = self.deliverer.tasks().soft().cancelled() => {}
            () = self.station.woken() => {}
            () = self.clock.sleep(wait) => {}
        }
    }
}

/// Counts failed claims in a row, to wait longer and speak once.
#[derive(Default)]
struct Failures {
    count: u32,
    waits: Waits,
}

impl Failures {
    fn count(&mut self, error: &StoreError, station: &Station) -> Duration {
        let provider = station.desk.name();
        self.waits.say(&format!("deliveries of provider {provider} wait to be claimed"), error);
        self.count += 1;
        (Duration::from_millis(100) * 2_u32.pow(self.count.min(6))).min(LONGEST_WAIT)
    }
}
