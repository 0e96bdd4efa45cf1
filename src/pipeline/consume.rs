//! Takes events in from RabbitMQ, in batches; the broker is told only after the commit.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::broker::{Consumer, Link};
use crate::intake::{BatchLimits, next_batch};
use crate::lifecycle::Tasks;
use crate::model::event::Arrival;
use crate::pipeline::accept::Acceptor;
use crate::store::StoreError;
use crate::store::waits::Waits;

/// The most bytes of one transaction.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The first wait before a batch is handed in again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a batch is handed in again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After how many failures in a row a batch is halved.
const MOST_FAILURES: u32 = 2;
/// After how many failures of one event alone, while the store does other work, it is rejected.
const MOST_FAILURES_ALONE: u32 = 5;

/// How many batches are accepted at once.
pub const BATCHES_AT_ONCE: usize = 2;
/// The next batch waits to fill while at least one in so many of what fits into one is being
/// committed; while less comes, waiting would only keep each event longer.
const SMALL: usize = 8;

/// How arrivals are gathered into batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most arrivals of one transaction.
    pub size: usize,
    /// How long a batch waits to fill while a large one is committed.
    pub wait: Duration,
}

/// Accepts what the broker brings until it brings no more.
///
/// While one batch is committed the next is planned; the broker hears of them in their order.
pub(super) fn start(acceptor: Acceptor, consumer: Consumer, batching: Batching, tasks: &Tasks) {
    let stopping = tasks.clone();
    tasks.spawn(async move {
        let settler = consumer.settler();
        let limits =
            BatchLimits { most: batching.size, most_bytes: MOST_BYTES, wait: batching.wait };
        let under_way = Arc::new(AtomicUsize::new(0));
        let committing = Arc::clone(&under_way);
        let batches = stream::unfold(consumer, move |mut consumer| {
            let committing = Arc::clone(&committing);
            async move {
                let is_busy = || committing.load(Ordering::Relaxed) * SMALL >= limits.most;
                let batch = next_batch(&mut consumer, limits, is_busy).await?;
                Some((batch, consumer))
            }
        });
        let accepted = batches.map(|batch| {
            let (arrivals, links): (Vec<Arrival>, Vec<Link>) =
                batch.into_iter().map(|one| (one.arrival, one.link)).unzip();
            let (acceptor, stopping) = (&acceptor, &stopping);
            let under_way = Arc::clone(&under_way);
            under_way.fetch_add(links.len(), Ordering::Relaxed);
            async move {
                let is_done = accept(acceptor, arrivals, stopping).await;
                under_way.fetch_sub(links.len(), Ordering::Relaxed);
                is_done.then_some(links)
            }
        });
        let mut accepted = pin!(accepted.buffered(BATCHES_AT_ONCE));
        while let Some(links) = accepted.next().await {
            if let Some(links) = links {
                settler.settle(links);
            }
        }
    });
}

/// Tries until the store has taken all of `arrivals`; says whether it did before the stop.
///
/// Nothing is handed back to the broker meanwhile: it keeps the rest, and brings these again if the
/// connection ends first. One event that the store cannot take must not stop those beside it: what
/// fails is halved until that one is alone, and kept as a rejected event.
async fn accept(acceptor: &Acceptor, mut arrivals: Vec<Arrival>, tasks: &Tasks) -> bool {
    let mut most = arrivals.len();
    let mut failures = 0;
    let mut wait = FIRST_WAIT;
    let mut waits = Waits::default();
    while let Some(first) = arrivals.first().cloned() {
        let front = arrivals.iter().take(most).cloned().collect();
        let (taken, failure) = acceptor.accept_front(front).await;
        arrivals.drain(..taken);
        if taken > 0 {
            (failures, wait) = (0, FIRST_WAIT);
        }
        let Some(error) = failure else {
            most = most.saturating_mul(2);
            continue;
        };
        waits.say("events from RabbitMQ wait", &error);
        let count = most.min(arrivals.len());
        // Of one event alone only what fails while the store does other work counts against it.
        if count > 1 || taken > 0 || acceptor.does_store_write().await {
            failures += 1;
        }
        match next_step(&error, count, failures) {
            Step::Halve => {
                (most, failures) = (count / 2, 0);
                continue;
            }
            Step::Reject if taken == 0 && acceptor.reject(first, &error).await.is_ok() => {
                arrivals.drain(..1);
                (failures, wait) = (0, FIRST_WAIT);
                continue;
            }
            Step::Reject | Step::Wait => {}
        }
        tokio::select! {
            () = tasks.soft().cancelled() => return false,
            () = tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    true
}

/// What to do about arrivals that the store did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Hand the same in again, later.
    Wait,
    /// Hand in half of them: it may be one of them only.
    Halve,
    /// Keep the one that is left as a rejected event.
    Reject,
}

/// What to do about `count` arrivals that failed with `error`, so often in a row.
fn next_step(error: &StoreError, count: usize, failures: u32) -> Step {
    let is_alone = count <= 1;
    let is_enough = match error {
        // It says itself that it is about what it was given.
        StoreError::Refused(_) => true,
        StoreError::Unreachable(_) | StoreError::Conflict(_) | StoreError::Broken(_) => {
            failures >= if is_alone { MOST_FAILURES_ALONE } else { MOST_FAILURES }
        }
        // No event can be to blame for these.
        StoreError::Full
        | StoreError::Occupied(_)
        | StoreError::Wrong(_)
        | StoreError::TooLong
        | StoreError::Abandoned => false,
    };
    match (is_enough, is_alone) {
        (false, _) => Step::Wait,
        (true, false) => Step::Halve,
        (true, true) => Step::Reject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(error: &StoreError, count: usize) -> Vec<Step> {
        (1..=6).map(|failures| next_step(error, count, failures)).collect()
    }

    #[test]
    fn what_the_store_refuses_is_halved_at_once_and_alone_it_is_rejected() {
        let refused = StoreError::Refused("index row too large".to_owned());

        assert_eq!(next_step(&refused, 500, 1), Step::Halve);
        assert_eq!(next_step(&refused, 2, 1), Step::Halve);
        assert_eq!(next_step(&refused, 1, 1), Step::Reject);
    }

    #[test]
    fn what_fails_again_and_again_is_halved_and_alone_it_has_more_tries() {
        for error in [
            StoreError::Unreachable("no answer within 30 s".to_owned()),
            StoreError::Conflict("deadlock".to_owned()),
            StoreError::Broken("internal error".to_owned()),
        ] {
            assert_eq!(steps(&error, 8)[..2], [Step::Wait, Step::Halve]);
            let alone = steps(&error, 1);
            assert_eq!(alone[3..], [Step::Wait, Step::Reject, Step::Reject], "{error}");
        }
    }

    #[test]
    fn a_full_disk_a_wrong_password_and_a_lock_of_somebody_else_are_no_fault_of_an_event() {
        for error in [
            StoreError::Full,
            StoreError::Wrong("check store.url".to_owned()),
            StoreError::Occupied("lock timeout".to_owned()),
        ] {
            assert!([1, 8].iter().all(|count| steps(&error, *count) == [Step::Wait; 6]));
        }
    }
}
