//! Publishes status events from the outbox; what the broker confirms is forgotten.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::broker::{PublishOutcome, Publisher};
use crate::lifecycle::Tasks;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How many status events go at once.
const BATCH: usize = 500;
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
            let wait = match publish(&store, &publisher, &metrics).await {
                Ok(Round::Full) => Duration::ZERO,
                Ok(Round::Empty) => POLL,
                Ok(Round::Failed(text)) => {
                    say_once(&mut said, &text);
                    WAIT
                }
                Err(error) => {
                    say_once(&mut said, &error.to_string());
                    WAIT
                }
            };
            if wait == POLL {
                said = None;
            }
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

/// What one look into the outbox came to.
enum Round {
    Full,
    Empty,
    Failed(String),
}

async fn publish(
    store: &Store,
    publisher: &Publisher,
    metrics: &Metrics,
) -> Result<Round, StoreError> {
    let events = store.take_outbox(BATCH).await?;
    if events.is_empty() {
        return Ok(Round::Empty);
    }
    let is_full = events.len() == BATCH;
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
    store.mark_published(done).await?;
    Ok(match failure {
        Some(text) => Round::Failed(text),
        None if is_full => Round::Full,
        None => Round::Empty,
    })
}

fn say_once(said: &mut Option<String>, text: &str) {
    if said.as_deref() != Some(text) {
        warn!(error = %text, "status events wait in the outbox: {text}");
        *said = Some(text.to_owned());
    }
}
