//! Gathers arrivals into batches, each of which the pipeline accepts in one transaction.

use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use tokio::time::Instant;

use crate::broker::Delivered;

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// With so many arrivals.
    pub most: usize,
    /// With so many bytes, so that large events do not add up to a large transaction.
    pub most_bytes: usize,
    /// So long after its first arrival.
    pub wait: Duration,
}

/// The next batch: waits for a first arrival, then takes what comes until the batch is full.
///
/// `None` when no more will come. Let it run to its end, which a stop brings about by itself: dropped
/// half-way it forgets arrivals, and the broker waits for them until the connection ends.
pub async fn next_batch(
    arrivals: &mut (impl Stream<Item = Delivered> + Unpin),
    limits: BatchLimits,
) -> Option<Vec<Delivered>> {
    let first = arrivals.next().await?;
    let over = Instant::now() + limits.wait;
    let mut bytes = first.arrival.bytes.len();
    let mut batch = vec![first];
    while batch.len() < limits.most && bytes < limits.most_bytes {
        // What is there already is taken even after the time is over.
        let next = match arrivals.next().now_or_never() {
            Some(ready) => ready,
            None => tokio::time::timeout_at(over, arrivals.next()).await.ok().flatten(),
        };
        let Some(next) = next else { break };
        bytes += next.arrival.bytes.len();
        batch.push(next);
    }
    Some(batch)
}
