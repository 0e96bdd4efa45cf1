//! Events that make deliveries unwanted, whichever comes first.
//!
//! Such an event leaves a marker: its type, business key and time. It cancels what events that are
//! not later than it have waiting, and what such events plan when they come after it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::delivery::{Intent, Reason, State};
use crate::model::event::Event;
use crate::model::id::{DeliveryId, EventTypeName, StepName};
use crate::store::changes::{Changes, Told};
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::inbox::Fresh;
use crate::store::rows::named_events;
use crate::store::waiting::{intend, leave, lock_deliveries, read_ids};
use crate::store::{Store, StoreError};

/// Times of markers by business key and type.
pub(super) type Markers = HashMap<(String, String), Timestamp>;

/// The most deliveries that one transaction cancels. The markers cancel the others when they come
/// due.
const MOST_CANCELLED: u64 = 5_000;

/// Leaves the markers of new events and cancels what they make unwanted.
pub(super) struct Overtaking<'s> {
    store: &'s Store,
    /// How many more deliveries may be cancelled.
    left: u64,
}

impl<'s> Overtaking<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self { store, left: MOST_CANCELLED }
    }

    /// Leaves the marker of `event` and cancels what it makes unwanted.
    pub(super) async fn mark(
        &mut self,
        tx: &mut Tx<'_>,
        event: &Event,
        cancels: &[(EventTypeName, StepName)],
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let (Some(business_key), false) = (&event.business_key, cancels.is_empty()) else {
            return Ok(());
        };
        let expires_at = tx.now().checked_add(self.store.keys_last).unwrap_or(Timestamp::MAX);
        let upsert = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                      VALUES ($1, $2, $3, $4) \
                      ON CONFLICT (business_key, event_type) DO UPDATE \
                      SET time = excluded.time, expires_at = excluded.expires_at \
                      WHERE marker.time < excluded.time";
        let params = [
            business_key.into(),
            event.event_type.as_str().into(),
            event.time.into(),
            expires_at.into(),
        ];
        tx.execute(upsert, &params).await?;
        let unwanted = "SELECT delivery.id FROM delivery \
             WHERE delivery.business_key = $1 AND delivery.event_type = $2 \
             AND delivery.step = $3 AND delivery.state {any $4} \
             AND EXISTS (SELECT 1 FROM event WHERE event.id = delivery.event AND (event.time <= $5 \
                         OR (event.time = event.received_at AND event.time <= $6))) \
             ORDER BY delivery.id LIMIT $7";
        for (event_type, step) in cancels {
            let params = [
                business_key.into(),
                event_type.as_str().into(),
                step.as_str().into(),
                Value::texts(["waiting", "held"]),
                event.time.into(),
                event.time.saturating_add(UNDATED).unwrap_or(event.time).into(),
                self.left.into(),
            ];
            let found = tx.query(unwanted, &params).await?;
            self.left = self.left.saturating_sub(found.len() as u64);
            cancel(tx, read_ids(&found)?, changes).await?;
        }
        Ok(())
    }
}

/// Cancels deliveries; one that is being sent is cancelled when its answer comes.
async fn cancel(
    tx: &mut Tx<'_>,
    ids: Vec<DeliveryId>,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let (rows, claims) = lock_deliveries(tx, ids).await?;
    // What ended before it was locked has nothing left to cancel.
    let rows = rows.into_iter().filter(|row| !row.delivery.state.is_final());
    let (leased, found): (Vec<_>, Vec<_>) =
        rows.partition(|row| claims.contains_key(&row.delivery.id));
    let intended: Vec<_> =
        leased.iter().map(|row| (row.delivery.id, Intent::CancelOvertaken)).collect();
    let ids: Vec<DeliveryId> = found.iter().map(|row| row.delivery.id).collect();
    let cancelled = ids.iter().map(|id| vec![id.0.into(), tx.now().into()]).collect();
    let writes = [
        intend(&intended),
        leave(&ids),
        Write::update(
            "UPDATE delivery SET state = 'cancelled', reason = 'overtaken', detail = NULL, \
             version = version + 1, updated_at = $2 WHERE id = $1",
            cancelled,
        ),
    ];
    tx.write_all(&writes).await?;
    let events = named_events(tx, &found, changes.tells()).await?;
    for mut row in found {
        let delivery = &mut row.delivery;
        changes.moved(&delivery.event_type, delivery.state, State::Cancelled);
        (delivery.state, delivery.reason) = (State::Cancelled, Reason::Overtaken);
        delivery.version += 1;
        let event = events.get(&delivery.event);
        let correlation = event.and_then(|event| event.correlation.as_deref());
        changes.tell(&Told::of(delivery), event.map(|event| &event.key), correlation);
    }
    Ok(())
}

/// The markers that may concern the deliveries of `fresh` events.
pub(super) async fn markers_for(
    tx: &mut Tx<'_>,
    fresh: &[Fresh<'_>],
) -> Result<Markers, StoreError> {
    let concerned = fresh.iter().map(|new| new.planned).filter(|planned| {
        planned.deliveries.iter().any(|new| !new.unless.is_empty()) || !planned.pages.is_empty()
    });
    let keys: Vec<&String> =
        concerned.filter_map(|planned| planned.event.business_key.as_ref()).collect();
    find_markers(tx, &keys).await
}

/// The markers of these business keys.
pub(super) async fn find_markers(
    tx: &mut Tx<'_>,
    business_keys: &[&String],
) -> Result<Markers, StoreError> {
    if business_keys.is_empty() {
        return Ok(Markers::new());
    }
    read_markers(&tx.query(MARKERS, &[Value::texts(business_keys)]).await?)
}

/// The markers of a list of business keys.
pub(super) const MARKERS: &str =
    "SELECT business_key, event_type, time FROM marker WHERE business_key {any $1}";

/// Reads what [`MARKERS`] found.
pub(super) fn read_markers(rows: &[Row]) -> Result<Markers, StoreError> {
    rows.iter().map(|row| Ok(((row.text(0)?, row.text(1)?), row.time(2)?))).collect()
}

/// Whether an event came that makes a delivery of an event with this business key and time
/// unwanted.
pub(super) fn is_overtaken(
    (business_key, event_time): (Option<&str>, Timestamp),
    unless: &[EventTypeName],
    markers: &Markers,
) -> bool {
    let Some(business_key) = business_key else { return false };
    unless.iter().any(|event_type| {
        let marker = markers.get(&(business_key.to_owned(), event_type.to_string()));
        marker.is_some_and(|time| *time >= event_time)
    })
}

/// How much earlier than it arrived an event may have happened if its publisher does not say when.
const UNDATED: SignedDuration = SignedDuration::from_secs(5);

/// What [`is_overtaken`] asks of an event.
pub(super) fn about(event: &Event) -> (Option<&str>, Timestamp) {
    (event.business_key.as_deref(), happened(event.time, event.received_at))
}

/// The earliest time at which an event may have happened: one without a time of its own may have
/// changed places with what overtakes it on its way here.
pub(super) fn happened(time: Timestamp, received_at: Timestamp) -> Timestamp {
    let is_dated = time != received_at;
    if is_dated { time } else { time.saturating_sub(UNDATED).unwrap_or(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_events_without_a_time_that_changed_places_the_overtaking_one_counts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let unless: [EventTypeName; 1] = ["complaint.resolved".into()];
        let is_overtaken = |(time, received_at), marker| {
            let key = ("KN-1".to_owned(), "complaint.resolved".to_owned());
            let about = (Some("KN-1"), happened(time, received_at));
            is_overtaken(about, &unless, &Markers::from([(key, marker)]))
        };
        let (undated, dated) = ((at(1_000), at(1_000)), (at(1_000), at(1_001)));

        assert!(is_overtaken(undated, at(997)));
        assert!(!is_overtaken(undated, at(994)));
        assert!(!is_overtaken(dated, at(997)));
        assert!(is_overtaken(dated, at(1_000)));
    }
}
