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
    /// So long after its first arrival, if others are busy; at once if not.
    pub wait: Duration,
}

/// The next batch: waits for a first arrival, then takes what comes until the batch is full. Where
/// it would be taken in at once, since nobody `is_busy`, it takes what has come already and goes.
///
/// `None` when no more will come. Let it run to its end, which a stop brings about by itself:
/// dropped half-way it forgets arrivals, and the broker waits for them until the connection ends.
pub async fn next_batch(
    arrivals: &mut (impl Stream<Item = Delivered> + Unpin),
    limits: BatchLimits,
    is_busy: impl Fn() -> bool,
) -> Option<Vec<Delivered>> {
    let first = arrivals.next().await?;
    let over = Instant::now() + if is_busy() { limits.wait } else { Duration::ZERO };
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use jiff::Timestamp;

    use super::*;
    use crate::broker::Link;
    use crate::model::event::{Arrival, Properties, Transport};

    const LIMITS: BatchLimits =
        BatchLimits { most: 3, most_bytes: 100, wait: Duration::from_millis(5) };

    fn delivered(body: &'static str) -> Delivered {
        let arrival = Arrival {
            bytes: Bytes::from_static(body.as_bytes()),
            properties: Properties::default(),
            transport: Transport::Amqp,
            at: Timestamp::UNIX_EPOCH,
        };
        Delivered { arrival, link: Link::default() }
    }

    fn bodies(batch: &[Delivered]) -> Vec<&[u8]> {
        batch.iter().map(|delivered| &delivered.arrival.bytes[..]).collect()
    }

    #[tokio::test]
    async fn a_batch_is_full_with_so_many_arrivals_and_the_last_one_may_be_smaller() {
        let mut arrivals = stream::iter(["1", "2", "3", "4"].map(delivered));

        let first = next_batch(&mut arrivals, LIMITS, || true).await.unwrap();
        let second = next_batch(&mut arrivals, LIMITS, || true).await.unwrap();

        assert_eq!(bodies(&first), [b"1", b"2", b"3"]);
        assert_eq!(bodies(&second), [b"4"]);
        assert!(next_batch(&mut arrivals, LIMITS, || true).await.is_none());
    }

    #[tokio::test]
    async fn a_batch_is_full_with_so_many_bytes() {
        let mut arrivals = stream::iter(["12", "34", "56"].map(delivered));
        let limits = BatchLimits { most_bytes: 3, ..LIMITS };

        let batch = next_batch(&mut arrivals, limits, || true).await.unwrap();

        assert_eq!(bodies(&batch), [b"12", b"34"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_no_longer_than_its_time_for_more() {
        let began = Instant::now();
        let mut arrivals = stream::iter(["1"].map(delivered)).chain(stream::pending());

        let batch = next_batch(&mut arrivals, LIMITS, || true).await.unwrap();

        assert_eq!(bodies(&batch), [b"1"]);
        assert_eq!(began.elapsed(), LIMITS.wait);
    }
    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_at_once_with_what_is_there_when_nobody_is_busy() {
        let began = Instant::now();
        let mut arrivals = stream::iter(["1", "2"].map(delivered)).chain(stream::pending());

        let batch = next_batch(&mut arrivals, LIMITS, || false).await.unwrap();

        assert_eq!(bodies(&batch), [b"1", b"2"]);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
