//! Arrivals that could not be planned, kept whole until they are replayed or discarded.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::deed::DeedKind;
use crate::model::event::{Arrival, EventKey, RejectReason, RejectedEvent, Rejection, Transport};
use crate::model::id::{EventId, RejectedId};
use crate::store::changes::{Changes, EventDetails, EventFate};
use crate::store::engine::{Row, Write};
use crate::store::rows::{read_json, write_json};
use crate::store::{Store, StoreError, deeds};

/// The columns of a rejected event as lists show it, in the order in which [`read_line`] reads
/// them.
pub(super) const LINE: &str = "id, reason, place, message, event_type, source, external_id, \
                               transport, at, CAST(length(bytes) AS BIGINT)";

/// A rejected event as lists show it: without its bytes, which may be many.
#[derive(Clone, Debug)]
pub struct RejectedLine {
    /// Its id.
    pub id: RejectedId,
    /// Why.
    pub rejection: Rejection,
    /// How it arrived.
    pub transport: Transport,
    /// When it arrived.
    pub at: Timestamp,
    /// How many bytes it has.
    pub size: u64,
}

impl RejectedLine {
    /// The line of an event that is at hand whole.
    pub fn of(event: &RejectedEvent) -> Self {
        let RejectedEvent { id, arrival, rejection } = event;
        let (transport, at, size) = (arrival.transport, arrival.at, arrival.bytes.len() as u64);
        Self { id: *id, rejection: rejection.clone(), transport, at, size }
    }
}

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
        let counted = counted_type(rejection.reason, rejection.event_type.as_deref());
        changes.count(counted, "event.received", 1);
        changes.count(counted, EventFate::Rejected.counter(), 1);
        let told_type = rejection.event_type.as_deref().filter(|kind| !kind.is_empty());
        let correlation = arrival.properties.correlation_id.as_deref();
        let details = EventDetails::Rejected {
            rejected: event.id,
            reason: rejection.reason.as_str(),
            pointer: rejection.place.as_deref(),
            message: &rejection.message,
            message_id: arrival.properties.message_id.as_deref(),
            routing_key: arrival.properties.routing_key.as_deref(),
            correlation_id: correlation,
        };
        let about = (rejection.key.as_ref(), correlation);
        changes.tell_event(EventFate::Rejected, told_type.unwrap_or("unknown"), about, &details);
    }
    let insert = "INSERT INTO rejected (id, reason, place, message, event_type, source, \
                  external_id, transport, at, properties, bytes) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    Ok(Write::insert(insert, params))
}

/// The event type under which a rejected event is counted.
pub(super) fn counted_type(reason: RejectReason, event_type: Option<&str>) -> &str {
    // A type that nobody knows may be anything; counters are kept for types of the catalogue.
    match reason {
        RejectReason::UnknownType | RejectReason::Undecodable => "",
        RejectReason::TooLarge
        | RejectReason::Schema
        | RejectReason::UnknownPartner
        | RejectReason::UnknownSegment
        | RejectReason::Unplannable
        | RejectReason::IdReused => event_type.unwrap_or(""),
    }
}

/// Counts rejected events that were forgotten, of which these rows tell reason and type; says how
/// many there are.
pub(super) fn forget(rows: &[Row], changes: &mut Changes) -> Result<u64, StoreError> {
    for row in rows {
        let (reason, event_type) = (read_reason(&row.text(0)?)?, row.opt_text(1)?);
        changes.count(counted_type(reason, event_type.as_deref()), "forgotten.rejected", 1);
    }
    Ok(rows.len() as u64)
}

impl Store {
    /// The rejected event, with its bytes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_rejected(&self, id: RejectedId) -> Result<Option<RejectedEvent>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let sql = format!("SELECT {LINE}, properties, bytes FROM rejected WHERE id = $1");
                let row = tx.query_one(&sql, &[id.0.into()]).await?;
                row.as_ref().map(read_rejected).transpose()
            })
        })
        .await
    }

    /// Why events were rejected since `moment`, each reason once; Loa's own alarms do not count.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn reasons_since(&self, moment: Timestamp) -> Result<Vec<RejectReason>, StoreError> {
        // By their ids: those tell when it was tried to keep them, `at` when they arrived, which
        // may be long before if the store was away.
        let lowest = RejectedId::lowest_at(moment);
        self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT DISTINCT reason FROM rejected WHERE id >= $1 \
                           AND COALESCE(substr(event_type, 1, 4), '') <> 'loa.'";
                let rows = tx.query(sql, &[lowest.0.into()]).await?;
                rows.iter().map(|row| read_reason(&row.text(0)?)).collect()
            })
        })
        .await
    }

    /// Forgets a rejected event that is not wanted; says whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn discard_rejected(&self, id: RejectedId, by: &str) -> Result<bool, StoreError> {
        self.dismiss(id, DeedKind::Discarded, (by, None)).await
    }

    /// Forgets a rejected event that was handed in again, and remembers as which event; says
    /// whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn forget_replayed(
        &self,
        id: RejectedId,
        event: EventId,
        by: &str,
    ) -> Result<bool, StoreError> {
        self.dismiss(id, DeedKind::Replayed, (by, Some(event.to_string()))).await
    }

    async fn dismiss(
        &self,
        id: RejectedId,
        deed: DeedKind,
        (by, note): (&str, Option<String>),
    ) -> Result<bool, StoreError> {
        let (store, by, note) = (self.clone(), Arc::<str>::from(by), Arc::new(note));
        self.write(move |tx| {
            let (store, by, note) = (store.clone(), Arc::clone(&by), Arc::clone(&note));
            Box::pin(async move {
                let sql = "DELETE FROM rejected WHERE id = $1 RETURNING reason, event_type";
                let rows = tx.query(sql, &[id.0.into()]).await?;
                let now = tx.now();
                let mut changes = Changes::new(&store, now);
                let is_gone = forget(&rows, &mut changes)? > 0;
                let deed = deeds::row(id.0, (deed, now), &by, note.as_deref());
                tx.write_all(&[deeds::keep(if is_gone { vec![deed] } else { Vec::new() })]).await?;
                changes.write(tx).await?;
                Ok(is_gone)
            })
        })
        .await
    }
}

/// Reads a row that was selected by [`LINE`].
pub(super) fn read_line(row: &Row) -> Result<RejectedLine, StoreError> {
    let key = row.opt_text(5)?.zip(row.opt_text(6)?);
    let rejection = Rejection {
        reason: read_reason(&row.text(1)?)?,
        place: row.opt_text(2)?,
        message: row.text(3)?,
        event_type: row.opt_text(4)?,
        key: key.map(|(source, id)| EventKey { source, id }),
    };
    Ok(RejectedLine {
        id: RejectedId(row.uuid(0)?),
        rejection,
        transport: read_transport(&row.text(7)?)?,
        at: row.time(8)?,
        size: row.count(9)?,
    })
}

/// Reads a row that was selected by [`LINE`] with properties and bytes behind it.
fn read_rejected(row: &Row) -> Result<RejectedEvent, StoreError> {
    let RejectedLine { id, rejection, transport, at, .. } = read_line(row)?;
    let (properties, bytes) = (read_json(&row.text(10)?)?, row.bytes(11)?.into());
    Ok(RejectedEvent { id, arrival: Arrival { bytes, properties, transport, at }, rejection })
}

pub(super) fn read_reason(word: &str) -> Result<RejectReason, StoreError> {
    RejectReason::from_word(word)
        .ok_or_else(|| StoreError::Broken(format!("unknown reason `{word}`")))
}

pub(super) fn read_transport(word: &str) -> Result<Transport, StoreError> {
    Transport::from_word(word)
        .ok_or_else(|| StoreError::Broken(format!("unknown transport `{word}`")))
}
