//! Takes events in from RabbitMQ, in batches; the broker is told only after the commit.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tracing::warn;

use crate::broker::{Consumer, Link};
use crate::intake::{BatchLimits, next_batch};
use crate::lifecycle::Tasks;
use crate::model::event::Arrival;
use crate::pipeline::accept::{Acceptor, OnReject};

/// The most bytes of one transaction.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The longest wait before a batch is handed in again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many batches are accepted at once.
const AT_ONCE: usize = 2;

/// How arrivals are gathered into batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most arrivals of one transaction.
    pub size: usize,
    /// How long a batch waits to fill.
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
        let batches = stream::unfold(consumer, move |mut consumer| async move {
            next_batch(&mut consumer, limits).await.map(|batch| (batch, consumer))
        });
        let accepted = batches.map(|batch| {
            let (arrivals, links): (Vec<Arrival>, Vec<Link>) =
                batch.into_iter().map(|one| (one.arrival, one.link)).unzip();
            let (acceptor, stopping) = (&acceptor, &stopping);
            async move { accept(acceptor, arrivals, stopping).await.then_some(links) }
        });
        let mut accepted = pin!(accepted.buffered(AT_ONCE));
        while let Some(links) = accepted.next().await {
            if let Some(links) = links {
                settler.settle(links);
            }
        }
    });
}

/// Tries until the store takes the batch; says whether it did before the stop.
///
/// Nothing is handed back to the broker meanwhile: it keeps the rest, and brings these again if the
/// connection ends first.
async fn accept(acceptor: &Acceptor, arrivals: Vec<Arrival>, tasks: &Tasks) -> bool {
    let mut wait = Duration::from_millis(100);
    let mut said: Option<String> = None;
    loop {
        match acceptor.accept(arrivals.clone(), OnReject::Keep).await {
            Ok(_) => return true,
            Err(error) => {
                let text = error.to_string();
                if said.as_ref() != Some(&text) {
                    warn!(error = %text, "events from RabbitMQ wait: {text}");
                    said = Some(text);
                }
            }
        }
        tokio::select! {
            () = tasks.soft().cancelled() => return false,
            () = tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
