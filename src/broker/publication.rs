//! What is published, what became of it, and how the two find each other again.

use std::collections::HashSet;

use bytes::Bytes;
use lapin::message::BasicReturnMessage;

use crate::model::event::Properties;
use crate::model::status::StatusEvent;

/// The most bytes of a short text of AMQP.
const SHORT: usize = 255;

/// A message for an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Where it goes; the `exchange` and `routing_key` of [`Publication::properties`] say nothing.
    pub exchange: String,
    /// How the exchange finds its queues.
    pub routing_key: String,
    /// What is said beside the body; it needs a `message_id` to be known by.
    pub properties: Properties,
    /// The body.
    pub bytes: Bytes,
}

impl Publication {
    /// A status event on its way to `exchange`.
    ///
    /// It always is what AMQP can take: one that fails for ever would stay in the outbox for ever.
    /// A routing key is cut to its limit, a longer correlation id goes as header `correlationid`.
    pub fn of_status(exchange: &str, event: &StatusEvent) -> Self {
        let mut properties = Properties {
            content_type: Some("application/json".to_owned()),
            kind: Some("loa.status".to_owned()),
            message_id: Some(event.id.to_string()),
            app_id: Some("loa".to_owned()),
            timestamp: Some(event.at),
            ..Properties::default()
        };
        match event.correlation_id.clone() {
            Some(long) if has_header(event) => {
                properties.headers.insert("correlationid".to_owned(), long);
            }
            short => properties.correlation_id = short,
        }
        let mut routing_key = event.routing_key.clone();
        routing_key.truncate(routing_key.floor_char_boundary(SHORT));
        let (exchange, bytes) = (exchange.to_owned(), event.body.clone());
        Self { exchange, routing_key, properties, bytes }
    }

    /// What tells it from others that are under way: two alike have the same fate.
    fn mark(&self) -> Mark {
        let id = self.properties.message_id.clone().unwrap_or_default();
        (id, self.exchange.clone(), self.routing_key.clone())
    }
}

/// Whether a status event has a header, by which a broker may route too.
pub(super) fn has_header(event: &StatusEvent) -> bool {
    event.correlation_id.as_ref().is_some_and(|id| id.len() > SHORT)
}

/// Message id, exchange and routing key.
type Mark = (String, String, String);

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The broker keeps it in every queue that is bound for it.
    Confirmed,
    /// No queue is bound for it; the broker dropped it.
    Unroutable,
    /// Not known to have arrived: publish it again, with the same id. The sentence says why.
    Failed(String),
}

/// What became of a status event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    /// The broker keeps it in every queue that is bound for it.
    Confirmed,
    /// No queue is bound for it; the broker sent it back.
    Returned,
    /// No queue is bound for it, as the broker said of another one of its key; it was not
    /// published.
    LeftOut,
    /// Not known to have arrived, or not tried: publish it again, with the same id.
    Failed(String),
}

impl From<PublishOutcome> for StatusOutcome {
    fn from(outcome: PublishOutcome) -> Self {
        match outcome {
            PublishOutcome::Confirmed => Self::Confirmed,
            PublishOutcome::Unroutable => Self::Returned,
            PublishOutcome::Failed(text) => Self::Failed(text),
        }
    }
}

/// The messages that the broker sent back.
///
/// lapin hands a returned message to whichever confirm comes next, not to its own, so all of a
/// window are gathered first and then found by what they say of themselves.
#[derive(Debug, Default)]
pub(super) struct Returned(HashSet<Mark>);

impl Returned {
    pub(super) fn add(&mut self, message: &BasicReturnMessage) {
        let id = message.delivery.properties.message_id().as_ref();
        self.0.insert((
            id.map(ToString::to_string).unwrap_or_default(),
            message.delivery.exchange.to_string(),
            message.delivery.routing_key.to_string(),
        ));
    }

    pub(super) fn contains(&self, publication: &Publication) -> bool {
        self.0.contains(&publication.mark())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::broker::arrival::{short, write};

    #[test]
    fn every_status_event_is_what_amqp_can_take() {
        let event = StatusEvent {
            id: uuid::Uuid::nil(),
            routing_key: format!("status.event.rejected.{}", "ớ".repeat(240)),
            correlation_id: Some("ớ".repeat(240)),
            at: Timestamp::UNIX_EPOCH,
            body: Bytes::new(),
        };

        let publication = Publication::of_status("loa.status", &event);

        assert!(short("routing key", &publication.routing_key).is_ok());
        assert!(publication.routing_key.starts_with("status.event.rejected.ớ"));
        assert!(write(&publication.properties).is_ok());
        assert_eq!(publication.properties.headers["correlationid"], "ớ".repeat(240));
    }
}
