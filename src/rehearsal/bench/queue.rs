//! Fills Loa's queue at a RabbitMQ, and takes from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::BenchError;
use super::side_thread::SideThread;
use super::work::Work;
use crate::app::App;
use crate::broker::{self, BrokerState, Consumer, Publication, PublishOutcome, Publisher};
use crate::intake::encode::STRUCTURED;
use crate::lifecycle::Tasks;
use crate::model::event::Properties;

/// How many events are published between two looks at what became of them.
const AT_ONCE: u64 = 2_000;

/// Loa's queue, filled by a connection of its own, which is no part of Loa.
#[derive(Clone)]
pub(super) struct Queue {
    exchange: String,
    publisher: Publisher,
    side: Arc<SideThread>,
}

impl Queue {
    /// Declares everything and begins to publish status events; none without a broker.
    pub(super) async fn open(app: &App) -> Result<Option<Self>, BenchError> {
        let Some(parts) = app.broker_parts(&app.tasks) else { return Ok(None) };
        let exchange = parts.settings.exchange.clone();
        // A consumer declares the queue.
        let tasks = Tasks::new();
        let consumer = Consumer::start(&broker::Parts { tasks: tasks.clone(), ..parts.clone() });
        connected(consumer.state()).await?;
        drop(consumer);
        tasks.stop(super::bed::GRACE).await;
        let own = parts.clone();
        let publisher = async move {
            let publisher = Publisher::start(&own);
            connected(publisher.state()).await.map(|()| publisher)
        };
        let (side, publisher) = SideThread::start(publisher).await?;
        app.pipeline.tell(Publisher::start(&parts), &app.metrics, &app.tasks);
        Ok(Some(Self { exchange, publisher: publisher?, side: Arc::new(side) }))
    }

    /// Where it is published from.
    pub(super) fn side(&self) -> &SideThread {
        &self.side
    }

    /// Processor time of publishing so far.
    pub(super) fn time(&self) -> Duration {
        self.side.time()
    }

    /// Publishes all of `work`; every event is in the queue when it returns.
    pub(super) async fn fill(&self, work: &Work) -> Result<(), BenchError> {
        for start in (0..work.count).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
            let end = (start + AT_ONCE).min(work.count);
            let publications = (start..end).map(|index| self.publication(work, index)).collect();
            for outcome in self.publisher.publish_all(publications).await {
                check(outcome)?;
            }
        }
        Ok(())
    }

    /// Publishes one event of `work`.
    pub(super) async fn publish(&self, work: &Work, index: u64) -> Result<(), BenchError> {
        check(self.publisher.publish_event(self.publication(work, index)).await)
    }

    fn publication(&self, work: &Work, index: u64) -> Publication {
        let number = work.first + index;
        let properties = Properties {
            content_type: Some(STRUCTURED.to_owned()),
            message_id: Some(number.to_string()),
            ..Properties::default()
        };
        Publication {
            exchange: self.exchange.clone(),
            routing_key: format!("bench.{}", work.channel),
            properties,
            bytes: work.event(index),
        }
    }
}

/// Returns once a connection stands.
async fn connected(mut state: watch::Receiver<BrokerState>) -> Result<(), BenchError> {
    let known = state.wait_for(|state| *state != BrokerState::Connecting);
    let state = known.await.map_err(|_| BenchError::Broker("no connection".to_owned()))?;
    match state.fault() {
        Some(fault) => Err(BenchError::Broker(fault.to_owned())),
        None => Ok(()),
    }
}

/// A connection that consumes until `tasks` stop.
pub(super) fn consume(app: &App, tasks: &Tasks) -> Result<Consumer, BenchError> {
    let parts = app.broker_parts(tasks);
    let parts = parts.ok_or_else(|| BenchError::Broker("it is not configured".to_owned()))?;
    Ok(Consumer::start(&parts))
}

fn check(outcome: PublishOutcome) -> Result<(), BenchError> {
    match outcome {
        PublishOutcome::Confirmed => Ok(()),
        PublishOutcome::Unroutable => Err(BenchError::Broker("no queue is bound".to_owned())),
        PublishOutcome::Failed(why) => Err(BenchError::Broker(why)),
    }
}
