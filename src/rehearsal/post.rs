//! How the events of a rehearsal reach Loa: from hand to hand, or through a real RabbitMQ.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::app::App;
use crate::broker::{self, Heard, Playground, Publication, PublishOutcome, Publisher, Refused};
use crate::config::{RabbitSettings, Topology};
use crate::intake::encode::STRUCTURED;
use crate::model::event::{Arrival, Properties, Transport};
use crate::pipeline::{Answer, OnReject};
use crate::store::StoreError;
use crate::telemetry::Metrics;

/// A way for events to Loa.
pub(super) enum Post {
    /// From hand to hand.
    ByHand,
    /// Published to the exchange, consumed by Loa, and heard of again by status events.
    RabbitMq(Box<Courier>),
}

/// Why an event did not reach Loa.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// RabbitMQ did not take it, or Loa said nothing of it.
    #[error("{0}")]
    Broker(#[from] Refused),
}

impl Post {
    /// Hands an event in, and tells in a line or more what became of it.
    pub(super) async fn hand_in(
        &mut self,
        app: &App,
        bytes: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<String>, PostError> {
        match self {
            Self::ByHand => {
                let (properties, transport) = (Properties::default(), Transport::Http);
                let arrival = Arrival { bytes: Bytes::from(bytes), properties, transport, at: now };
                let answers = app.pipeline.acceptor().accept(vec![arrival], OnReject::Keep).await?;
                Ok(answers.iter().map(answer_line).collect())
            }
            Self::RabbitMq(courier) => Ok(vec![courier.hand_in(bytes).await?]),
        }
    }
}

/// Publishes as an upstream system would, and listens for what becomes of it.
pub(super) struct Courier {
    playground: Playground,
    publisher: Publisher,
    exchange: String,
    published: u32,
}

impl Courier {
    /// A courier for an app whose broker is `playground`; waits until both are connected.
    pub(super) async fn for_app(
        app: &App,
        settings: &RabbitSettings,
        mut playground: Playground,
    ) -> Result<Self, Refused> {
        app.broker_is_connected().await;
        playground.listen().await?;
        let exchange = settings.exchange.clone();
        let settings = RabbitSettings {
            // Whoever publishes events does not care for the exchange of status events.
            status_exchange: exchange.clone(),
            topology: Topology::Check,
            ..settings.clone()
        };
        let publisher = Publisher::start(&broker::Parts {
            settings: Arc::new(settings),
            clock: app.clock.clone(),
            tasks: app.tasks.clone(),
            metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))),
        });
        // An end of the publisher shows when it is asked to publish.
        publisher.state().wait_for(broker::BrokerState::is_connected).await.ok();
        Ok(Self { playground, publisher, exchange, published: 0 })
    }

    async fn hand_in(&mut self, bytes: Vec<u8>) -> Result<String, Refused> {
        self.published += 1;
        let correlation_id = format!("rehearsal-{}", self.published);
        let properties = Properties {
            content_type: Some(STRUCTURED.to_owned()),
            message_id: Some(correlation_id.clone()),
            app_id: Some("shop".to_owned()),
            correlation_id: Some(correlation_id.clone()),
            ..Properties::default()
        };
        let routing_key = routing_key(&bytes);
        let exchange = self.exchange.clone();
        let publication = Publication { exchange, routing_key, properties, bytes: bytes.into() };
        match self.publisher.publish_event(publication).await {
            PublishOutcome::Confirmed => {}
            PublishOutcome::Unroutable => return Err(failed("Loa's queue is not bound any more")),
            PublishOutcome::Failed(why) => return Err(failed(&why)),
        }
        Ok(heard_line(&self.playground.hear(&correlation_id).await?))
    }

    /// Leaves the virtual host as it was found; the app must have stopped.
    pub(super) async fn clear(self) -> Result<(), Refused> {
        self.playground.clear().await
    }
}

fn failed(why: &str) -> Refused {
    Refused { text: format!("could not publish to RabbitMQ: {why}"), is_standing: false }
}

/// The type of the event, as publishers do; what cannot be read has none.
fn routing_key(bytes: &[u8]) -> String {
    let event: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    event["type"].as_str().unwrap_or("unreadable").to_owned()
}

fn answer_line(answer: &Answer) -> String {
    match answer {
        Answer::Planned { deliveries, .. } => planned_line(*deliveries),
        Answer::Repeat { .. } => REPEAT.to_owned(),
        Answer::Rejected { rejection, .. } => {
            format!("  ✗ rejected ({}): {rejection}", rejection.reason.as_str())
        }
    }
}

fn heard_line(heard: &Heard) -> String {
    let said = |key: &str| heard.body[key].as_str().unwrap_or_default();
    match said("result") {
        "repeated" => REPEAT.to_owned(),
        "rejected" => {
            let place = match said("pointer") {
                "" => String::new(),
                pointer => format!("{pointer}: "),
            };
            format!("  ✗ rejected ({}): {place}{}", said("reason"), said("message"))
        }
        _ => planned_line(heard.body["deliveries"].as_u64().unwrap_or(0)),
    }
}

const REPEAT: &str = "  ↺ came before: nothing is planned twice";

fn planned_line(deliveries: u64) -> String {
    match deliveries {
        0 => "  ✓ taken in".to_owned(),
        1 => "  ✓ 1 delivery planned".to_owned(),
        count => format!("  ✓ {count} deliveries planned"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_delivery_is_told_as_one() {
        assert_eq!(planned_line(0), "  ✓ taken in");
        assert_eq!(planned_line(1), "  ✓ 1 delivery planned");
        assert_eq!(planned_line(2), "  ✓ 2 deliveries planned");
    }
}
