//! Writes outcomes in batches, without a task of its own.
//!
//! Whoever has something to record puts it in the queue; one of those waiting becomes the writer
//! and takes everything that is queued with it. So a single outcome is written at once, and under
//! load many share one transaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use crate::store::{Finish, Finished, Store, StoreError};

/// The most outcomes of one transaction.
const MAX_BATCH: usize = 500;
/// The longest wait before a failed write is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

type Waiting = (Finish, oneshot::Sender<Finished>);

/// Records outcomes.
#[derive(Clone)]
pub struct Recorder {
    store: Store,
    queue: Arc<Mutex<Vec<Waiting>>>,
    writers: Arc<Semaphore>,
}

impl Recorder {
    /// A recorder that lets `writers` transactions be under way at once.
    pub fn new(store: Store, writers: usize) -> Self {
        Self { store, queue: Arc::default(), writers: Arc::new(Semaphore::new(writers)) }
    }

    /// Returns once `finish` is committed.
    ///
    /// While the store cannot be reached it goes on trying: the claim's lease ends if it takes too
    /// long, and whoever claims the delivery next records this attempt as unknown.
    pub async fn record(&self, finish: Finish) -> Finished {
        let (reply, mut recorded) = oneshot::channel();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push((finish, reply));
        loop {
            tokio::select! {
                biased;
                Ok(finished) = &mut recorded => return finished,
                Ok(_writer) = self.writers.acquire() => self.write().await,
            }
        }
    }

    /// Writes what is queued, as one transaction.
    async fn write(&self) {
        let batch: Vec<Waiting> = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let count = queue.len().min(MAX_BATCH);
            queue.drain(..count).collect()
        };
        if batch.is_empty() {
            return;
        }
        let (finishes, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let finished = self.write_until_done(finishes).await;
        for (reply, finished) in replies.into_iter().zip(finished) {
            // A receiver that is gone was dropped by a hard stop; its outcome is recorded.
            reply.send(finished).ok();
        }
    }

    /// Tries until the store takes it; the caller's lease or a hard stop bounds how long.
    async fn write_until_done(&self, finishes: Vec<Finish>) -> Vec<Finished> {
        let mut wait = Duration::from_millis(100);
        let mut said = None;
        loop {
            match self.store.finish(finishes.clone()).await {
                Ok(finished) => return finished,
                Err(error) => say_once(&mut said, &error, finishes.len()),
            }
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

fn say_once(said: &mut Option<String>, error: &StoreError, count: usize) {
    let text = error.to_string();
    if said.as_ref() != Some(&text) {
        warn!(error = %text, "could not record {count} outcomes yet: {text}");
        *said = Some(text);
    }
}
