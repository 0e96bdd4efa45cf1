//! Publishes status events from the outbox; what the broker confirms is forgotten.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::warn;

use crate::broker::{PublishOutcome, Publisher};
use crate::lifecycle::Tasks;
use crate::model::status::StatusEvent;
use crate::store::Store;
use crate::telemetry::Metrics;

/// How many status events go at once.
const BATCH: usize = 500;
/// How many such batches are under way: while one is confirmed the next is read.
const AT_ONCE: usize = 3;
/// How long an empty outbox is left alone.
const POLL: Duration = Duration::from_millis(200);
/// How long to wait after the broker or the store failed.
const WAIT: Duration = Duration::from_secs(1);

/// Publishes until the soft stop, and then what is left.
pub(super) fn start(store: Store, publisher: Publisher, metrics: Arc<Metrics>, tasks: &Tasks) {
    let soft = tasks.soft().clone();
    tasks.spawn(async move {
        let mut said: Option<String> = None;
        loop {
            let wait = match walk(&store, &publisher, &metrics).await {
                Ok(Walk::Long) => Duration::ZERO,
                Ok(Walk::Short) => {
                    said = None;
                    POLL
                }
                Err(text) => {
                    say_once(&mut said, &text);
                    WAIT
                }
            };
            if soft.is_cancelled() && wait > Duration::ZERO {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = soft.cancelled(), if !soft.is_cancelled() => {}
            }
        }
    });
}

/// How much one walk through the outbox found.
enum Walk {
    /// More than a batch: there may be more by now.
    Long,
    Short,
}

/// Walks through the outbox once, from its beginning to its end.
///
/// What is committed meanwhile with a smaller id is found by the next walk, which begins when
/// nothing of this one is under way, so that nothing is published twice without need.
async fn walk(store: &Store, publisher: &Publisher, metrics: &Metrics) -> Result<Walk, String> {
    let mut rounds = FuturesUnordered::new();
    let (mut after, mut is_at_end, mut length) = (None, false, Walk::Short);
    let mut failure = None;
    loop {
        while !is_at_end && failure.is_none() && rounds.len() < AT_ONCE {
            match store.take_outbox(after, BATCH).await {
                Ok(events) => {
                    is_at_end = events.len() < BATCH;
                    after = events.last().map(|event| event.id).or(after);
                    if !is_at_end {
                        length = Walk::Long;
                    }
                    if !events.is_empty() {
                        rounds.push(publish(events, store, publisher, metrics));
                    }
                }
                Err(error) => failure = Some(error.to_string()),
            }
        }
        match rounds.next().await {
            Some(Ok(())) => {}
            Some(Err(text)) => failure = Some(text),
            None => return failure.map_or(Ok(length), Err),
        }
    }
}

/// Publishes some status events, and forgets those that the broker took; says what failed.
async fn publish(
    events: Vec<StatusEvent>,
    store: &Store,
    publisher: &Publisher,
    metrics: &Metrics,
) -> Result<(), String> {
    let results = publisher.publish(events).await;
    let mut done = Vec::with_capacity(results.len());
    let mut failure = None;
    for result in results {
        match result.outcome {
            PublishOutcome::Confirmed => {
                metrics.count_status_events("confirmed", 1);
                done.push(result.id);
            }
            // Nobody listens for it: that is counted and done.
            PublishOutcome::Unroutable => {
                metrics.count_status_events("unroutable", 1);
                done.push(result.id);
            }
            PublishOutcome::Failed(text) => {
                metrics.count_status_events("failed", 1);
                failure = Some(text);
            }
        }
    }
    store.mark_published(done).await.map_err(|error| error.to_string())?;
    failure.map_or(Ok(()), Err)
}

fn say_once(said: &mut Option<String>, text: &str) {
    if said.as_deref() != Some(text) {
        warn!(error = %text, "status events wait in the outbox: {text}");
        *said = Some(text.to_owned());
    }
}
