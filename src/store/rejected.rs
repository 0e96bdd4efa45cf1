//! Arrivals that could not be planned, kept whole until they are replayed or discarded.

use serde_json::json;

use crate::model::event::{Arrival, EventKey, RejectReason, RejectedEvent, Rejection, Transport};
use crate::model::id::RejectedId;
use crate::store::changes::{Changes, EventFate};
use crate::store::engine::{Row, Value, Write};
use crate::store::rows::{read_json, write_json};
use crate::store::{Store, StoreError};

/// The columns of a rejected event, in the order in which [`read_rejected`] reads them.
pub(super) const REJECTED: &str = "id, reason, place, message, event_type, source, external_id, \
                                   transport, at, properties, bytes";

/// Keeps rejected events, counts them and tells their publishers.
pub(super) fn keep(events: &[RejectedEvent], changes: &mut Changes) -> Result<Write, StoreError> {
    let mut params = Vec::with_capacity(events.len());
    for event in events {
        let RejectedEvent { arrival, rejection, .. } = event;
        params.push(vec![
            event.id.0.into(),
            rejection.reason.as_str().into(),
            rejection.place.clone().into(),
            rejection.message.as_str().into(),
            rejection.event_type.clone().into(),
            rejection.key.as_ref().map(|key| key.source.as_str()).into(),
            rejection.key.as_ref().map(|key| key.id.as_str()).into(),
            arrival.transport.as_str().into(),
            arrival.at.into(),
            write_json(&arrival.properties)?.into(),
            arrival.bytes.to_vec().into(),
        ]);
        let event_type = rejection.event_type.as_deref().unwrap_or("");
        // A type that nobody knows may be anything; counters are kept for types of the catalogue.
        let counted = match rejection.reason {
            RejectReason::UnknownType | RejectReason::Undecodable => "",
            RejectReason::TooLarge
            | RejectReason::Schema
            | RejectReason::UnknownPartner
            | RejectReason::UnknownSegment
            | RejectReason::Unplannable
            | RejectReason::IdReused => event_type,
        };
        changes.count(counted, "event.received", 1);
        changes.count(counted, EventFate::Rejected.counter(), 1);
        let told_type = if event_type.is_empty() { "unknown" } else { event_type };
        let correlation = arrival.properties.correlation_id.as_deref();
        let details = json!({
            "rejected": event.id,
            "reason": rejection.reason.as_str(),
            "pointer": rejection.place,
            "message": rejection.message,
        });
        let about = (rejection.key.as_ref(), correlation);
        changes.tell_event(EventFate::Rejected, told_type, about, details);
    }
    let insert = "INSERT INTO rejected (id, reason, place, message, event_type, source, \
                  external_id, transport, at, properties, bytes) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    Ok(Write::insert(insert, params))
}

impl Store {
    /// The rejected event, with its bytes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_rejected(&self, id: RejectedId) -> Result<Option<RejectedEvent>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let sql = format!("SELECT {REJECTED} FROM rejected WHERE id = $1");
                let row = tx.query_one(&sql, &[id.0.into()]).await?;
                row.as_ref().map(read_rejected).transpose()
            })
        })
        .await
    }

    /// Forgets rejected events that were replayed or are not wanted; says how many there were.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn discard_rejected(&self, ids: Vec<RejectedId>) -> Result<u64, StoreError> {
        let ids = Value::uuids(ids.into_iter().map(|id| id.0));
        self.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                tx.execute("DELETE FROM rejected WHERE id {any_uuid $1}", &[ids]).await
            })
        })
        .await
    }
}

/// Reads a row that was selected by [`REJECTED`].
pub(super) fn read_rejected(row: &Row) -> Result<RejectedEvent, StoreError> {
    let reason = row.text(1)?;
    let key = row.opt_text(5)?.zip(row.opt_text(6)?);
    let rejection = Rejection {
        reason: RejectReason::from_word(&reason)
            .ok_or_else(|| StoreError::Broken(format!("unknown reason `{reason}`")))?,
        place: row.opt_text(2)?,
        message: row.text(3)?,
        event_type: row.opt_text(4)?,
        key: key.map(|(source, id)| EventKey { source, id }),
    };
    let transport = match row.text(7)?.as_str() {
        "amqp" => Transport::Amqp,
        "alarm" => Transport::Alarm,
        "replay" => Transport::Replay,
        _ => Transport::Http,
    };
    let arrival = Arrival {
        bytes: row.bytes(10)?.into(),
        properties: read_json(&row.text(9)?)?,
        transport,
        at: row.time(8)?,
    };
    Ok(RejectedEvent { id: RejectedId(row.uuid(0)?), arrival, rejection })
}
