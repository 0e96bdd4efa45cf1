//! Runs one way over one piece of work and takes the time.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;

use super::findings::median;
use super::ground::insist_that_it_closes;
use super::queue::Queue;
use super::report::{ChannelReport, Report, Sample};
use super::sink::Sinks;
use super::unstored::Unstored;
use super::work::Work;
use super::{BenchError, Extent, usage};
use crate::app::App;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;
use crate::model::event::Arrival;
use crate::pipeline::{Answer, BATCHES_AT_ONCE, OnReject};

/// A measurement that takes longer is broken, not slow.
pub(super) const PATIENCE: Duration = Duration::from_mins(5);
/// How often it is looked whether everything is recorded.
const LOOK: Duration = Duration::from_millis(2);
/// How long connections to the broker may take to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// How much of the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Decode, validate, plan, render, send; nothing is stored.
    Unstored,
    /// Up to the commit; nothing is due.
    Accept,
    /// Everything, every state stored.
    Durable,
}

/// The app, the receivers, and what has been published so far.
pub(super) struct Bed<'a> {
    pub(super) app: &'a App,
    pub(super) sinks: &'a Sinks,
    pub(super) queue: Option<Queue>,
    /// How many deliveries a provider that hangs keeps in flight.
    pub(super) stuck: usize,
    unstored: Unstored,
    /// How many events a second the queue took, each time that it was filled.
    filled: Vec<f64>,
    published: u64,
    /// How many deliveries must have been sent by the durable way.
    durable: u64,
    /// How many lie in the store for later.
    waiting: u64,
}

/// Where clock and counters stood.
struct Mark {
    at: Duration,
    used: Duration,
}

impl<'a> Bed<'a> {
    pub(super) async fn new(app: &'a App, sinks: &'a Sinks) -> Result<Self, BenchError> {
        let queue = Queue::open(app).await?;
        let unstored = Unstored::new(app);
        let (filled, stuck, published, durable, waiting) = (Vec::new(), 0, 0, 0, 0);
        Ok(Self { app, sinks, queue, stuck, unstored, filled, published, durable, waiting })
    }

    /// Does `count` messages in one way, as fast as it goes.
    pub(super) async fn measure(
        &mut self,
        way: Way,
        channel: Channel,
        count: u64,
    ) -> Result<Sample, BenchError> {
        let work = self.work(way, channel, count);
        let run = async {
            match (&self.queue, way) {
                (Some(queue), Way::Unstored | Way::Durable) => {
                    let before = self.mark();
                    queue.fill(&work).await?;
                    self.filled.push(self.since(&before, count).per_second());
                    self.queued(way, count).await
                }
                (None | Some(_), _) => self.handed_in(way, &work).await,
            }
        };
        let sample = tokio::time::timeout(PATIENCE, run).await;
        sample.map_err(|_| BenchError::Broken(format!("{way:?}: not all messages came")))?
    }

    /// The next piece of work, counted as published.
    pub(super) fn work(&mut self, way: Way, channel: Channel, count: u64) -> Work {
        let first = self.published;
        self.published += count;
        let mut not_before = None;
        match way {
            Way::Unstored => {}
            Way::Durable => self.durable += count,
            Way::Accept => {
                self.waiting += count;
                let later = self.app.clock.now().saturating_add(SignedDuration::from_hours(12));
                not_before = later.ok();
            }
        }
        Work { channel, first, count, not_before }
    }

    async fn handed_in(&self, way: Way, work: &Work) -> Result<Sample, BenchError> {
        let arrivals = work.arrivals(self.app.clock.now());
        let target = self.sinks.tally.count() + work.count;
        let batch = self.app.config.intake.batch;
        let before = self.mark();
        let mut arrivals = arrivals.into_iter();
        let batches = std::iter::from_fn(|| {
            let batch: Vec<_> = arrivals.by_ref().take(batch).collect();
            (!batch.is_empty()).then_some(batch)
        });
        match way {
            Way::Unstored => {
                for batch in batches {
                    self.unstored.take(batch).await?;
                }
            }
            // As many at once as the consumer of a queue accepts.
            Way::Accept | Way::Durable => {
                let accepted = stream::iter(batches).map(|batch| self.accept(batch));
                accepted.buffered(BATCHES_AT_ONCE).try_collect::<()>().await?;
            }
        }
        if way == Way::Accept {
            let sample = self.since(&before, work.count);
            // What is told of these must not be left to what is measured next.
            self.settled().await?;
            return Ok(sample);
        }
        self.sinks.tally.reach(target).await;
        self.settled().await?;
        Ok(self.since(&before, work.count))
    }

    async fn queued(&self, way: Way, count: u64) -> Result<Sample, BenchError> {
        let target = self.sinks.tally.count() + count;
        let tasks = Tasks::new();
        let before = self.mark();
        let consumer = super::queue::consume(self.app, &tasks)?;
        if way == Way::Unstored {
            self.unstored.consume(consumer, self.app.batching(), &tasks);
        } else {
            self.app.pipeline.consume(consumer, self.app.batching(), &tasks);
        }
        self.sinks.tally.reach(target).await;
        self.settled().await?;
        let sample = self.since(&before, count);
        tasks.stop(GRACE).await;
        Ok(sample)
    }

    /// Hands arrivals in; every one of them must be planned.
    pub(super) async fn accept(&self, arrivals: Vec<Arrival>) -> Result<(), BenchError> {
        let answers = self.app.pipeline.acceptor().accept(arrivals, OnReject::Keep).await?;
        let is_planned = |answer: &Answer| matches!(answer, Answer::Planned { deliveries: 1, .. });
        match answers.iter().find(|answer| !is_planned(answer)) {
            Some(answer) => Err(BenchError::Broken(format!("not planned: {answer:?}"))),
            None => Ok(()),
        }
    }

    /// Returns once every delivery is recorded and every status event told.
    pub(super) async fn settled(&self) -> Result<(), BenchError> {
        loop {
            let in_flight = self.app.pipeline.in_flight().saturating_sub(self.stuck);
            let is_recorded = in_flight == 0 && self.unstored.in_flight() == 0;
            if is_recorded && (self.queue.is_none() || self.app.store.backlog().await?.outbox == 0)
            {
                return self.unstored.check();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn mark(&self) -> Mark {
        Mark { at: self.app.clock.monotonic(), used: self.used() }
    }

    /// Processor time of everything but the receivers and the publisher before the queue.
    pub(super) fn used(&self) -> Duration {
        let published = self.queue.as_ref().map(Queue::time).unwrap_or_default();
        usage::process_time().saturating_sub(self.sinks.time() + published)
    }

    fn since(&self, before: &Mark, count: u64) -> Sample {
        let now = self.mark();
        Sample {
            count,
            took: now.at.saturating_sub(before.at),
            used: now.used.saturating_sub(before.used),
        }
    }

    /// The whole report; a ledger that does not agree with what was sent breaks the run.
    pub(super) async fn report(&self, channels: Vec<ChannelReport>) -> Result<Report, BenchError> {
        let store = &self.app.store;
        insist_that_it_closes(store).await?;
        let ledger = store.ledger().await?;
        let count = |state: &str| ledger.deliveries.states.get(state).copied().unwrap_or(0);
        let found = (count("sent").unsigned_abs(), count("waiting").unsigned_abs());
        if found != (self.durable, self.waiting) {
            let (sent, waiting) = found;
            let text = format!(
                "the ledger does not hold what was done: {sent} sent of {}, {waiting} waiting of {}",
                self.durable, self.waiting
            );
            return Err(BenchError::Broken(text));
        }
        Ok(Report {
            store: store.describe(),
            intake: if self.queue.is_some() { "RabbitMQ" } else { "handed in" },
            channels,
            filled_per_second: (!self.filled.is_empty())
                .then(|| median(self.filled.iter().copied())),
            peak_memory: usage::peak_memory(),
        })
    }
}

/// As many events as take about a round at the pace of `sample`.
pub(super) fn events_for(sample: &Sample, extent: Extent) -> u64 {
    let events = sample.per_second() * extent.round.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded between 0 and 500,000 just before"
    )]
    let events = events.clamp(0.0, 500_000.0) as u64;
    events.max(extent.warm_up)
}
