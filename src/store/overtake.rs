//! Events that make deliveries unwanted, whichever comes first.
//!
//! Such an event leaves a marker: its type, business key and time. It cancels what events that are
//! not later than it have waiting, and what such events plan when they come after it.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::delivery::{Reason, State};
use crate::model::event::Event;
use crate::model::id::{EventTypeName, StepName};
use crate::store::changes::{Changes, Told};
use crate::store::engine::{Row, Tx, Value};
use crate::store::inbox::PlannedEvent;
use crate::store::rows::{DELIVERY, FACTS, read_delivery, read_facts};
use crate::store::{Store, StoreError};

/// Times of markers by business key and type.
pub(super) type Markers = HashMap<(String, String), Timestamp>;

/// Leaves the marker of `event` and cancels what it makes unwanted.
pub(super) async fn mark(
    tx: &mut Tx<'_>,
    store: &Store,
    event: &Event,
    cancels: &[(EventTypeName, StepName)],
    changes: &mut Changes,
) -> Result<(), StoreError> {
    let (Some(business_key), false) = (&event.business_key, cancels.is_empty()) else {
        return Ok(());
    };
    let now = tx.now();
    let expires_at = now.checked_add(store.keys_last).unwrap_or(Timestamp::MAX);
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
    let unwanted = format!(
        "SELECT {DELIVERY} FROM delivery \
         WHERE delivery.business_key = $1 AND delivery.event_type = $2 AND delivery.step = $3 \
         AND delivery.state {{any $4}} \
         AND EXISTS (SELECT 1 FROM event WHERE event.id = delivery.event AND event.time <= $5) \
         ORDER BY delivery.id {{for_update}}"
    );
    for (event_type, step) in cancels {
        let params = [
            business_key.into(),
            event_type.as_str().into(),
            step.as_str().into(),
            Value::texts(["waiting", "held"]),
            event.time.into(),
        ];
        for row in tx.query(&unwanted, &params).await? {
            cancel(tx, &row, changes).await?;
        }
    }
    Ok(())
}

/// Cancels one delivery; one that is being sent is cancelled when its answer comes.
async fn cancel(tx: &mut Tx<'_>, row: &Row, changes: &mut Changes) -> Result<(), StoreError> {
    let mut found = read_delivery(row)?;
    let id = found.delivery.id;
    if found.token.is_some() {
        let update = "UPDATE delivery SET intent = 'cancel:overtaken' WHERE id = $1";
        tx.execute(update, &[id.0.into()]).await?;
        return Ok(());
    }
    let update = "UPDATE delivery SET state = 'cancelled', reason = 'overtaken', detail = NULL, \
                  version = version + 1, updated_at = $2 WHERE id = $1";
    tx.execute(update, &[id.0.into(), tx.now().into()]).await?;
    let from = found.delivery.state;
    changes.moved(&found.delivery.event_type, from, State::Cancelled);
    found.delivery.state = State::Cancelled;
    found.delivery.reason = Reason::Overtaken;
    found.delivery.version += 1;
    if changes.tells() {
        let sql = format!("SELECT {FACTS} FROM event WHERE id = $1");
        let facts = tx.query_one(&sql, &[found.delivery.event.0.into()]).await?;
        let facts = facts.as_ref().map(read_facts).transpose()?;
        let key = facts.as_ref().map(|facts| &facts.key);
        let correlation = facts.as_ref().and_then(|facts| facts.correlation_id.as_deref());
        changes.tell(&Told::of(&found.delivery), key, correlation);
    }
    Ok(())
}

/// The markers that may concern the deliveries of `fresh` events.
pub(super) async fn markers_for(
    tx: &mut Tx<'_>,
    fresh: &[&PlannedEvent],
) -> Result<Markers, StoreError> {
    let concerned = fresh.iter().filter(|planned| {
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

/// Whether an event came that makes a delivery of `event` unwanted.
pub(super) fn is_overtaken(event: &Event, unless: &[EventTypeName], markers: &Markers) -> bool {
    let Some(business_key) = &event.business_key else { return false };
    unless.iter().any(|event_type| {
        let marker = markers.get(&(business_key.clone(), event_type.to_string()));
        marker.is_some_and(|time| *time >= event.time)
    })
}
