//! Hands events to RabbitMQ, and waits until it confirms them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Broker;
use crate::broker::{self, BrokerState, Publication, PublishOutcome, Publisher};
use crate::cli::{Failure, Settings};
use crate::clock::Clock;
use crate::config::{self, RabbitSettings, Topology};
use crate::intake::encode::{Outgoing, STRUCTURED, structured};
use crate::lifecycle::Tasks;
use crate::model::event::Properties;
use crate::telemetry::Metrics;

/// How long an orderly end of the connection may take.
const CLOSE: Duration = Duration::from_secs(5);

/// A connection that publishes to one exchange.
pub(super) struct RabbitMq {
    publisher: Publisher,
    exchange: String,
    /// For all events; each one's type if none.
    routing_key: Option<String>,
    tasks: Tasks,
}

impl RabbitMq {
    /// Connects to `url`, or to the broker of the settings if it is empty.
    pub(super) async fn connect(
        settings: &Settings,
        url: &str,
        wanted: &Broker,
    ) -> Result<Self, Failure> {
        let mut settings = read(settings, url)?;
        let exchange = wanted.exchange.clone().unwrap_or_else(|| settings.exchange.clone());
        // Publishing creates nothing: it only looks whether the exchange is there.
        settings.topology = Topology::Check;
        settings.status_exchange.clone_from(&exchange);
        broker::try_login(&settings).await.map_err(|refused| match refused.is_standing {
            true => Failure::Wrong(refused.text),
            false => Failure::Failed(refused.text),
        })?;
        let tasks = Tasks::new();
        let parts = broker::Parts {
            settings: Arc::new(settings),
            clock: Clock::system(),
            tasks: tasks.clone(),
            metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))),
        };
        let publisher = Publisher::start(&parts);
        connected(&publisher).await?;
        let routing_key = wanted.routing_key.clone();
        Ok(Self { publisher, exchange, routing_key, tasks })
    }

    /// One result each, in their order.
    pub(super) async fn publish(&self, events: &[Outgoing]) -> Vec<Value> {
        let publications: Vec<_> = events.iter().map(|event| self.publication(event)).collect();
        let about = |publication: &Publication| {
            let Publication { routing_key, properties, .. } = publication;
            json!({ "id": properties.message_id, "routing_key": routing_key })
        };
        let mut results: Vec<_> = publications.iter().map(about).collect();
        let outcomes = self.publisher.publish_all(publications).await;
        for (result, outcome) in results.iter_mut().zip(outcomes) {
            result["result"] = match outcome {
                PublishOutcome::Confirmed => json!("confirmed"),
                PublishOutcome::Unroutable => json!("unroutable"),
                PublishOutcome::Failed(why) => {
                    result["message"] = json!(why);
                    json!("failed")
                }
            };
        }
        results
    }

    fn publication(&self, event: &Outgoing) -> Publication {
        let routing_key = self.routing_key.clone().unwrap_or_else(|| event.event_type.clone());
        let properties = Properties {
            content_type: Some(STRUCTURED.to_owned()),
            kind: Some(event.event_type.clone()),
            message_id: event.key.as_ref().map(|key| key.id.clone()),
            ..Properties::default()
        };
        let bytes = structured(event).into();
        Publication { exchange: self.exchange.clone(), routing_key, properties, bytes }
    }

    /// Ends the connection in order.
    pub(super) async fn close(self) {
        drop(self.publisher);
        self.tasks.stop(CLOSE).await;
    }
}

/// The broker of the settings, or the one at `url` with their names.
fn read(settings: &Settings, url: &str) -> Result<RabbitSettings, Failure> {
    let sources = match url {
        "" => settings.sources(),
        url => settings.sources().with_override("rabbitmq.url", url, "--amqp"),
    };
    let config = config::load(&sources).map_err(|faults| Failure::Wrong(faults.to_string()))?;
    config.rabbitmq.ok_or_else(|| {
        let text = "the settings name no broker: give --amqp a URL, or set url in [rabbitmq]";
        Failure::Wrong(text.to_owned())
    })
}

/// Returns once `publisher` can publish, or says why it cannot.
async fn connected(publisher: &Publisher) -> Result<(), Failure> {
    let mut state = publisher.state();
    loop {
        match &*state.borrow_and_update() {
            BrokerState::Connecting => {}
            BrokerState::Connected | BrokerState::Impaired(_) => return Ok(()),
            BrokerState::Blocked(why) | BrokerState::Down(why) => {
                let text = format!("cannot publish to RabbitMQ: {why}");
                return Err(Failure::Failed(text));
            }
            BrokerState::Stopped => {
                return Err(Failure::Failed("publishing to RabbitMQ has stopped".to_owned()));
            }
        }
        if state.changed().await.is_err() {
            return Err(Failure::Failed("publishing to RabbitMQ has stopped".to_owned()));
        }
    }
}
