//! What an upstream system says happened, and the bytes it came in.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::data::Data;
use crate::model::id::{EventId, EventTypeName, PartnerId, RejectedId};

/// How an arrival reached Loa.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A RabbitMQ queue.
    Amqp,
    /// The HTTP API; the command line comes this way too.
    Http,
    /// Loa's own alarms.
    Alarm,
    /// A rejected event handed in again.
    Replay,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Amqp, Self::Http, Self::Alarm, Self::Replay];

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.as_str() == word)
    }

    /// The transport's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Http => "http",
            Self::Alarm => "alarm",
            Self::Replay => "replay",
        }
    }
}

/// An event's bytes as one transport brought them, not yet decoded.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The body, untouched.
    pub bytes: Bytes,
    /// What the transport said about it.
    pub properties: Properties,
    /// Which way it came.
    pub transport: Transport,
    /// When it came.
    pub at: Timestamp,
}

/// What a transport says beside the body; the names are AMQP 0-9-1's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// Media type of the body; none means JSON.
    pub content_type: Option<String>,
    /// The `type` property.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The `message_id` property.
    pub message_id: Option<String>,
    /// The `app_id` property.
    pub app_id: Option<String>,
    /// The `correlation_id` property.
    pub correlation_id: Option<String>,
    /// The `timestamp` property.
    pub timestamp: Option<Timestamp>,
    /// The exchange it was published to.
    pub exchange: Option<String>,
    /// The routing key it was published with.
    pub routing_key: Option<String>,
    /// Headers as text, by lower-case name; CloudEvents attributes as `cloudevents:NAME` (AMQP,
    /// also `cloudevents_NAME`) or `ce-NAME` (HTTP).
    pub headers: BTreeMap<String, String>,
}

/// What makes an event the same event: the publisher's own `source` and `id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventKey {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.source, self.id)
    }
}

/// SHA-256 of what an event says, to tell a repeat from a reused id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A decoded event of a known type whose data satisfies the type's schema.
#[derive(Clone, Debug)]
pub struct Event {
    /// Loa's own id.
    pub id: EventId,
    /// The publisher's key.
    pub key: EventKey,
    /// Whether the key was derived from source and bytes, and so holds for 24 hours only.
    pub key_is_derived: bool,
    /// Its entry in the catalogue.
    pub event_type: EventTypeName,
    /// When it happened, as the publisher says; else when it arrived.
    pub time: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Nothing is due before this.
    pub not_before: Option<Timestamp>,
    /// The business key (order or complaint number), found by the type's pointer.
    pub business_key: Option<String>,
    /// The partner it is about, found by the type's pointer.
    pub partner: Option<PartnerId>,
    /// What the publisher wants to see on status events.
    pub correlation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Only this address may get a message of it: a test.
    pub only: Option<String>,
    /// CloudEvents `data`.
    pub data: Data,
    /// Digest of type and data, to tell repeats from reused ids.
    pub digest: Digest,
    /// Which way it came.
    pub transport: Transport,
}

/// Why an arrival could not be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The bytes are no JSON, no UTF-8, or no event.
    Undecodable,
    /// Larger than the size limit; kept undecoded.
    TooLarge,
    /// No such type in the catalogue.
    UnknownType,
    /// The data does not satisfy the type's schema.
    Schema,
    /// A partner that the event names is not known.
    UnknownPartner,
    /// A segment that the plan names is not known.
    UnknownSegment,
    /// The plan could not be made of the data (a time it points to is missing or none).
    Unplannable,
    /// The same source and id came before with other bytes.
    IdReused,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Undecodable,
        Self::TooLarge,
        Self::UnknownType,
        Self::Schema,
        Self::UnknownPartner,
        Self::UnknownSegment,
        Self::Unplannable,
        Self::IdReused,
    ];

    /// The reason's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
            Self::Schema => "schema",
            Self::UnknownPartner => "unknown_partner",
            Self::UnknownSegment => "unknown_segment",
            Self::Unplannable => "unplannable",
            Self::IdReused => "id_reused",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// Why, where, and what was expected instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The sort of fault.
    pub reason: RejectReason,
    /// A JSON pointer, an AMQP property or a header: `/data/order_id`, `header content-type`.
    pub place: Option<String>,
    /// What is wrong and what was expected, in a sentence without a full stop.
    pub message: String,
    /// The event type, as far as it could be read.
    pub event_type: Option<String>,
    /// The key, as far as it could be read.
    pub key: Option<EventKey>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// An arrival that could not be planned, kept whole until it is replayed or discarded.
#[derive(Clone, Debug)]
pub struct RejectedEvent {
    /// Its id.
    pub id: RejectedId,
    /// What arrived.
    pub arrival: Arrival,
    /// Why it was rejected.
    pub rejection: Rejection,
}
