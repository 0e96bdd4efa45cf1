//! Keys of events: who came first, who comes again, who uses a key for something else.

use jiff::Timestamp;

use crate::model::id::EventId;
use crate::store::engine::{Row, Tx, Value};
use crate::store::{Acceptance, PlannedEvent, Store, StoreError};

/// What is known of an event's key.
pub(super) enum Key {
    Fresh,
    Repeat(EventId),
    Reused,
}

/// Takes the keys of all planned events of a batch, in order.
pub(super) async fn take_keys(
    tx: &mut Tx<'_>,
    store: &Store,
    batch: &[Acceptance],
) -> Result<Vec<Key>, StoreError> {
    let planned: Vec<&PlannedEvent> = batch
        .iter()
        .filter_map(|acceptance| match acceptance {
            Acceptance::Planned(planned) => Some(&**planned),
            Acceptance::Rejected(_) => None,
        })
        .collect();
    // In the order of the keys, so that two batches with the same events never wait in a circle;
    // stable, so that of the same key twice the first one takes it.
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|index| planned.get(*index).map(|planned| &planned.event.key));
    let sorted: Vec<&PlannedEvent> =
        order.iter().filter_map(|index| planned.get(*index).copied()).collect();
    let keys = take_in_order(tx, store, &sorted).await?;
    let mut keys: Vec<(usize, Key)> = order.into_iter().zip(keys).collect();
    keys.sort_by_key(|(index, _)| *index);
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

async fn take_in_order(
    tx: &mut Tx<'_>,
    store: &Store,
    planned: &[&PlannedEvent],
) -> Result<Vec<Key>, StoreError> {
    let now = tx.now();
    let take = "INSERT INTO event_key (source, external_id, digest, event, expires_at) \
                VALUES ($1, $2, $3, $4, $5) \
                ON CONFLICT (source, external_id) DO UPDATE \
                SET digest = excluded.digest, event = excluded.event, \
                    expires_at = excluded.expires_at \
                WHERE event_key.expires_at <= $6 \
                RETURNING event";
    let params: Vec<Vec<Value>> = planned
        .iter()
        .map(|planned| {
            let event = &planned.event;
            let lasts =
                if event.key_is_derived { store.derived_keys_last } else { store.keys_last };
            let expires_at = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
            vec![
                event.key.source.as_str().into(),
                event.key.id.as_str().into(),
                event.digest.0.to_vec().into(),
                event.id.0.into(),
                expires_at.into(),
                now.into(),
            ]
        })
        .collect();
    let taken = tx.query_many(take, &params).await?;
    let lost: Vec<Vec<Value>> = planned
        .iter()
        .zip(&taken)
        .filter(|(_, rows)| rows.is_empty())
        .map(|(planned, _)| {
            vec![planned.event.key.source.as_str().into(), planned.event.key.id.as_str().into()]
        })
        .collect();
    let find = "SELECT digest, event FROM event_key WHERE source = $1 AND external_id = $2";
    let mut found = tx.query_many(find, &lost).await?.into_iter();
    let mut keys = Vec::with_capacity(planned.len());
    for (planned, rows) in planned.iter().zip(&taken) {
        keys.push(match (rows.is_empty(), found_row(rows.is_empty(), &mut found)) {
            (true, Some(row)) if row.bytes(0)? == planned.event.digest.0 => {
                Key::Repeat(EventId(row.uuid(1)?))
            }
            (true, _) => Key::Reused,
            (false, _) => Key::Fresh,
        });
    }
    Ok(keys)
}

fn found_row(is_lost: bool, found: &mut impl Iterator<Item = Vec<Row>>) -> Option<Row> {
    if is_lost { found.next()?.into_iter().next() } else { None }
}
