//! Latency at a steady pace: from handing an event in to its message at the receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::BenchError;
use super::bed::{Bed, Way};
use super::findings::as_float;
use super::queue::Queue;
use super::report::PaceReport;
use super::work::{Work, arrival};
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;
use crate::pipeline::OnReject;

/// Events a second.
pub(super) const PACE: u64 = 200;
/// The first events are not counted: connections open meanwhile.
const WARM_UP: u64 = PACE / 2;

impl Bed<'_> {
    /// Publishes [`PACE`] events a second for `lasts` and sees how long each message takes.
    pub(super) async fn pace(
        &mut self,
        channel: Channel,
        lasts: Duration,
    ) -> Result<PaceReport, BenchError> {
        let count = WARM_UP + lasts.as_secs() * PACE;
        let work = self.work(Way::Durable, channel, count);
        let tasks = Tasks::new();
        if self.queue.is_some() {
            let consumer = super::queue::consume(self.app, &tasks)?;
            self.app.pipeline.consume(consumer, self.app.batching(), &tasks);
        }
        let target = self.sinks.tally.count() + count;
        self.sinks.tally.begin_times();
        let used = self.used();
        let handed_in = match self.queue.clone() {
            Some(queue) => publish(queue, self.app.clock.clone(), work).await?,
            None => self.hand_in(work).await?,
        };
        self.sinks.tally.reach(target).await;
        self.settled().await?;
        let used = self.used().saturating_sub(used);
        tasks.stop(super::bed::GRACE).await;

        let times = self.sinks.tally.take_times().into_iter();
        let took = times.filter_map(|(number, came)| {
            let index = usize::try_from(number.checked_sub(work.first)?).ok()?;
            (number >= work.first + WARM_UP).then(|| came.checked_sub(*handed_in.get(index)?))?
        });
        Ok(PaceReport::new(took.collect(), used.as_secs_f64() * 1_000.0 / as_float(count)))
    }

    /// Hands events in at [`PACE`]; when each was.
    async fn hand_in(&self, work: Work) -> Result<Vec<Duration>, BenchError> {
        let (acceptor, clock) = (self.app.pipeline.acceptor().clone(), self.app.clock.clone());
        let hand_in = move |index| {
            let one = arrival(work.event(index), clock.now());
            let acceptor = acceptor.clone();
            async move { acceptor.accept(vec![one], OnReject::Keep).await.is_ok() }
        };
        at_pace(&self.app.clock, work.count, hand_in).await
    }
}

/// Publishes events at [`PACE`], on a thread beside Loa; when each was.
async fn publish(queue: Queue, clock: Clock, work: Work) -> Result<Vec<Duration>, BenchError> {
    let beside = queue.clone();
    let publish = async move {
        let publish = |index| {
            let queue = queue.clone();
            async move { queue.publish(&work, index).await.is_ok() }
        };
        at_pace(&clock, work.count, publish).await
    };
    let published = beside.side().handle().spawn(publish).await;
    published.map_err(|error| BenchError::Broken(error.to_string()))?
}

/// Begins `one` at [`PACE`], and waits for all of them; when each began.
async fn at_pace<F>(
    clock: &Clock,
    count: u64,
    one: impl Fn(u64) -> F,
) -> Result<Vec<Duration>, BenchError>
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / as_float(PACE)));
    let mut began = Vec::new();
    let (failures, tasks) = (Arc::new(AtomicU64::new(0)), Tasks::new());
    for index in 0..count {
        ticks.tick().await;
        began.push(clock.monotonic());
        let (one, failures) = (one(index), Arc::clone(&failures));
        tasks.spawn(async move {
            failures.fetch_add(u64::from(!one.await), Ordering::SeqCst);
        });
    }
    tasks.stop(super::bed::GRACE).await;
    match failures.load(Ordering::SeqCst) {
        0 => Ok(began),
        count => Err(BenchError::Broken(format!("{count} paced events were not taken"))),
    }
}
