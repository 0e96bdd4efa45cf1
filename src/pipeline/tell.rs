//! Publishes status events from the outbox; what the broker confirms is forgotten.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::broker::{Publisher, StatusOutcome};
use crate::lifecycle::Tasks;
use crate::model::status::StatusEvent;
use crate::store::waits::Waits;
use crate::store::{Bundle, Store, StoreError};
use crate::telemetry::Metrics;

/// How many status events go at once.
const BATCH: usize = 1_000;
/// How many such batches are under way: while one is confirmed the next is read.
const AT_ONCE: usize = 3;
/// How long bundles gather before they are looked for.
const GATHER: Duration = Duration::from_millis(40);
/// How long the outbox is left alone when nothing was written to it. It is looked into even then:
/// what announced itself may have taken longer to be committed.
const IDLE: Duration = Duration::from_secs(1);
/// How often it is looked for what processes that are no longer alive have left.
const ADOPT: Duration = Duration::from_secs(5);
/// What is said of status events that do not go out.
const WHAT: &str = "status events wait in the outbox";
/// How long to wait after the broker or the store failed.
const WAIT: Duration = Duration::from_secs(1);

/// Publishes until all others have stopped, and then what is left.
pub(super) fn start(store: Store, publisher: Publisher, metrics: Arc<Metrics>, tasks: &Tasks) {
    let teller = Teller { store, publisher, metrics, tasks: tasks.clone() };
    tasks.spawn_last(teller.run());
}

struct Teller {
    store: Store,
    publisher: Publisher,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Teller {
    async fn run(self) {
        let last = self.tasks.last();
        let mut waits = Waits::default();
        let mut adopts_at = Instant::now();
        let mut idle = GATHER;
        // Said before anything is published, so that nobody takes this process for dead meanwhile.
        // If it cannot be said, nothing can be read either; the pulse goes on saying it.
        self.store.beat().await.ok();
        // This version may read what another could not.
        if let Err(error) = self.store.take_back_unreadable().await {
            waits.say(WHAT, &error);
        }
        loop {
            if adopts_at <= Instant::now() {
                adopts_at = Instant::now() + ADOPT;
                if let Err(error) = self.store.adopt_outbox().await {
                    waits.say(WHAT, &error);
                }
            }
            // What a walk finds that began before nobody wrote any more is not all.
            let is_last = last.is_cancelled();
            let found = self.walk().await;
            if is_last && !matches!(found, Ok(Found::Something)) {
                return;
            }
            match found {
                Ok(found) => {
                    waits.over();
                    idle = match found {
                        Found::Something => GATHER,
                        Found::Nothing => (idle * 2).min(IDLE),
                    };
                    idle = self.rest(idle).await;
                }
                Err(stuck) => {
                    stuck.say(&mut waits);
                    tokio::select! {
                        () = tokio::time::sleep(WAIT) => {}
                        () = last.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Leaves the outbox alone for so long, or until shortly after something announced itself;
    /// returns for how long it was meant to be.
    async fn rest(&self, idle: Duration) -> Duration {
        let last = self.tasks.last();
        tokio::select! {
            () = tokio::time::sleep(idle) => return idle,
            () = self.store.outbox_fills() => {}
            () = last.cancelled() => return GATHER,
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = last.cancelled() => {}
        }
        GATHER
    }

    /// Walks through the outbox once, from its beginning to its end.
    ///
    /// What is committed meanwhile with a smaller id is found by the next walk, which begins when
    /// nothing of this one is under way, so that nothing is published twice without need.
    async fn walk(&self) -> Result<Found, Stuck> {
        let mut rounds = FuturesUnordered::new();
        let (mut after, mut is_at_end, mut found) = (None, false, Found::Nothing);
        let mut failure = None;
        loop {
            while !is_at_end && failure.is_none() && rounds.len() < AT_ONCE {
                match self.store.take_outbox(after, BATCH).await {
                    Ok(taken) => {
                        is_at_end = taken.is_all;
                        after = taken.bundles.last().map(|bundle| bundle.id).or(after);
                        if taken.unreadable > 0 {
                            self.metrics.count_status_events("unreadable", taken.unreadable);
                        }
                        if !taken.bundles.is_empty() {
                            found = Found::Something;
                            rounds.push(self.publish(taken.bundles));
                        }
                    }
                    Err(error) => failure = Some(Stuck::Store(error)),
                }
            }
            match rounds.next().await {
                Some(Ok(())) => {}
                Some(Err(stuck)) => failure = Some(stuck),
                None => return failure.map_or(Ok(found), Err),
            }
        }
    }

    /// Publishes some bundles, and forgets what the broker took; says what failed.
    async fn publish(&self, mut bundles: Vec<Bundle>) -> Result<(), Stuck> {
        let sizes: Vec<usize> = bundles.iter().map(|bundle| bundle.events.len()).collect();
        let events: Vec<StatusEvent> =
            bundles.iter_mut().flat_map(|bundle| std::mem::take(&mut bundle.events)).collect();
        let outcomes = self.publisher.publish(&events).await;
        let mut failure = None;
        let mut counts = [("confirmed", 0), ("unroutable", 0), ("failed", 0)];
        let mut told = events.into_iter().zip(outcomes);
        let mut changed = Vec::with_capacity(bundles.len());
        for (mut bundle, size) in bundles.into_iter().zip(sizes) {
            for (event, outcome) in told.by_ref().take(size) {
                let [confirmed, unroutable, failed] = &mut counts;
                match outcome {
                    StatusOutcome::Confirmed => confirmed.1 += 1,
                    // Nobody listens for it: that is counted and done.
                    StatusOutcome::Returned | StatusOutcome::LeftOut => unroutable.1 += 1,
                    StatusOutcome::Failed(text) => {
                        failed.1 += 1;
                        failure = Some(text);
                        bundle.events.push(event);
                    }
                }
            }
            if bundle.events.len() < size {
                changed.push(bundle);
            }
        }
        for (result, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.metrics.count_status_events(result, count);
        }
        if !changed.is_empty() {
            self.store.settle_outbox(changed).await.map_err(Stuck::Store)?;
        }
        failure.map_or(Ok(()), |text| Err(Stuck::Broker(text)))
    }
}

/// What one walk through the outbox found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Something,
    Nothing,
}

/// Why status events stay where they are.
enum Stuck {
    /// The store does not give or take them.
    Store(StoreError),
    /// The broker does not.
    Broker(String),
}

impl Stuck {
    fn say(&self, waits: &mut Waits) {
        match self {
            Self::Store(error) => waits.say(WHAT, error),
            Self::Broker(text) => waits.say_of_broker(WHAT, text),
        }
    }
}
