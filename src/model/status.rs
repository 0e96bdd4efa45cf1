//! What Loa tells the world: one status event for each transition and each arrival.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// A status event, published to the exchange `loa.status` with its id as `message_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEvent {
    /// Stable over repeated publishing, so that a listener can drop a repeat.
    pub id: Uuid,
    /// `status.{channel}.{state}.{type}` or `status.event.{planned|rejected|repeated}.{type}`.
    pub routing_key: String,
    /// The correlation id of the event it is about.
    pub correlation_id: Option<String>,
    /// When it came about.
    pub at: Timestamp,
    /// The JSON text of the body.
    pub body: Bytes,
}
