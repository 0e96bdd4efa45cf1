//! Takes events in from RabbitMQ, in batches; the broker is told only after the commit.

use std::time::Duration;

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

/// How arrivals are gathered into batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// The most arrivals of one transaction.
    pub size: usize,
    /// How long a batch waits to fill.
    pub wait: Duration,
}

/// Accepts what the broker brings until it brings no more.
pub(super) fn start(acceptor: Acceptor, mut consumer: Consumer, batching: Batching, tasks: &Tasks) {
    let stopping = tasks.clone();
    tasks.spawn(async move {
        let settler = consumer.settler();
        let limits =
            BatchLimits { most: batching.size, most_bytes: MOST_BYTES, wait: batching.wait };
        while let Some(batch) = next_batch(&mut consumer, limits).await {
            let (arrivals, links): (Vec<Arrival>, Vec<Link>) =
                batch.into_iter().map(|one| (one.arrival, one.link)).unzip();
            if accept(&acceptor, arrivals, &stopping).await {
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
