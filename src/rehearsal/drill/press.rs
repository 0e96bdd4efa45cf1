//! The publishers: they publish each event until somebody says that it was taken, and some again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;

use super::crew::Crew;
use super::work::{self, Sort};
use crate::broker::{Publication, PublishOutcome, Publisher};
use crate::intake::encode::STRUCTURED;
use crate::lifecycle::Tasks;
use crate::model::event::Properties;

/// How many events are published at once.
const BATCH: u64 = 20;
/// How many publishers there are.
const PUBLISHERS: u64 = 2;
/// How long a publisher waits before it tries again.
const AGAIN: Duration = Duration::from_millis(20);

/// How events reach Loa.
pub(super) enum Way {
    /// To one worker or another, whichever listens.
    Http(Arc<Crew>),
    /// To this exchange.
    RabbitMq(Publisher, String),
}

/// All publishers.
pub(super) struct Press {
    way: Way,
    /// The number of the next event that nobody has taken upon itself.
    next: AtomicU64,
    /// Below this numbers may be published.
    allowed: watch::Sender<u64>,
    /// How many events were taken, repeats not counted.
    taken: watch::Sender<u64>,
    /// How many were published once more on purpose.
    again: AtomicU64,
    rejected: Mutex<BTreeSet<String>>,
    seed: u64,
}

impl Press {
    /// Publishers that publish nothing until they are allowed to.
    pub(super) fn start(way: Way, seed: u64, tasks: &Tasks) -> Arc<Self> {
        let press = Arc::new(Self {
            way,
            next: AtomicU64::new(0),
            allowed: watch::Sender::new(0),
            taken: watch::Sender::new(0),
            again: AtomicU64::new(0),
            rejected: Mutex::default(),
            seed,
        });
        for publisher in 0..PUBLISHERS {
            let press = Arc::clone(&press);
            tasks.spawn(async move { press.publish_all(publisher).await });
        }
        press
    }

    /// Lets events up to this number be published.
    pub(super) fn allow(&self, up_to: u64) {
        self.allowed.send_replace(up_to);
    }

    /// Returns once this many events were taken.
    pub(super) async fn has_taken(&self, count: u64) {
        // The sender lives as long as this borrow.
        self.taken.subscribe().wait_for(|taken| *taken >= count).await.ok();
    }

    /// How many events were taken, repeats not counted.
    pub(super) fn taken(&self) -> u64 {
        *self.taken.borrow()
    }

    /// How many events were published once more on purpose.
    pub(super) fn again(&self) -> u64 {
        self.again.load(Ordering::SeqCst)
    }

    /// What Loa said of events that it would not plan.
    pub(super) fn rejected(&self) -> Vec<String> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Publishes up to `count` events again that came before or are just coming, in another order
    /// by each of two publishers.
    pub(super) async fn publish_again(&self, count: usize, rng: &mut Rng) {
        let known = self.next.load(Ordering::SeqCst);
        if known == 0 {
            return;
        }
        // The latest are still on their way: those are the interesting ones.
        let latest = known.saturating_sub(3 * BATCH)..known;
        let mut numbers: Vec<u64> = (0..count).map(|_| rng.u64(..known)).chain(latest).collect();
        rng.shuffle(&mut numbers);
        let one = numbers.clone();
        rng.shuffle(&mut numbers);
        self.again.fetch_add(2 * numbers.len() as u64, Ordering::SeqCst);
        let publish = async |numbers: &[u64], mut rng: Rng| {
            for batch in numbers.chunks(usize::try_from(BATCH).unwrap_or(1)) {
                self.publish_until_taken(batch, &mut rng).await;
            }
        };
        let rngs = (rng.fork(), rng.fork());
        tokio::join!(publish(&one, rngs.0), publish(&numbers, rngs.1));
    }

    async fn publish_all(&self, publisher: u64) {
        let mut rng = Rng::with_seed(self.seed.wrapping_add(publisher));
        let mut allowed = self.allowed.subscribe();
        loop {
            let up_to = *allowed.borrow_and_update();
            let first = self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| {
                (next < up_to).then(|| (next + BATCH).min(up_to))
            });
            let Ok(first) = first else {
                if allowed.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let batch: Vec<u64> = (first..(first + BATCH).min(up_to)).collect();
            self.publish_until_taken(&batch, &mut rng).await;
            self.taken.send_modify(|taken| *taken += batch.len() as u64);
        }
    }

    /// Publishes a batch again and again, as a publisher that hears nothing does.
    async fn publish_until_taken(&self, numbers: &[u64], rng: &mut Rng) {
        while !self.publish(numbers, rng).await {
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn publish(&self, numbers: &[u64], rng: &mut Rng) -> bool {
        match &self.way {
            Way::Http(crew) => {
                let worker = rng.usize(..crew.len());
                let answer = crew.publish(worker, array(numbers)).await;
                answer.is_some_and(|answer| self.read(&answer, numbers.len()))
            }
            Way::RabbitMq(publisher, exchange) => {
                let publications = numbers.iter().map(|number| publication(*number, exchange));
                let outcomes = publisher.publish_all(publications.collect()).await;
                outcomes.iter().all(|outcome| *outcome == PublishOutcome::Confirmed)
            }
        }
    }

    /// Whether an answer says of all events that they were taken; rejections are kept.
    fn read(&self, answer: &Value, count: usize) -> bool {
        let results = answer.get("results").and_then(Value::as_array);
        let Some(results) = results.filter(|results| results.len() == count) else { return false };
        for result in results {
            let word = result.get("result").and_then(Value::as_str).unwrap_or_default();
            if !matches!(word, "planned" | "planning" | "repeat") {
                let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
                rejected.insert(result.to_string());
            }
        }
        true
    }
}

/// The events as one JSON array.
fn array(numbers: &[u64]) -> Vec<u8> {
    let events: Vec<Vec<u8>> = numbers.iter().map(|number| work::event(*number)).collect();
    [b"[".as_slice(), &events.join(&b','), b"]"].concat()
}

fn publication(number: u64, exchange: &str) -> Publication {
    let properties = Properties {
        content_type: Some(STRUCTURED.to_owned()),
        message_id: Some(number.to_string()),
        ..Properties::default()
    };
    Publication {
        exchange: exchange.to_owned(),
        routing_key: Sort::of(number).event_type().to_owned(),
        properties,
        bytes: work::event(number).into(),
    }
}
