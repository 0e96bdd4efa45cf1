//! Keys of events: who came first, who comes again, who uses a key for something else.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::model::id::EventId;
use crate::store::engine::{Asked, Row, Tx, Value, Write};
use crate::store::{Acceptance, PlannedEvent, Store, StoreError};

/// What is known of an event's key.
pub(super) enum Key {
    Fresh,
    Repeat(EventId),
    Reused,
}

/// What was asked with the keys; nothing if others were waited for since, so that it must be asked
/// anew.
pub(super) type AskedWithKeys = Option<Vec<Vec<Row>>>;

/// Takes the keys of all planned events of a batch, in order; what is `asked` goes with them.
pub(super) async fn take_keys(
    (tx, store): (&mut Tx<'_>, &Store),
    batch: &[Acceptance],
    asked: &[Asked<'_>],
) -> Result<(Vec<Key>, AskedWithKeys), StoreError> {
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
    let (keys, found) = take_in_order((tx, store), &sorted, asked).await?;
    let mut keys: Vec<(usize, Key)> = order.into_iter().zip(keys).collect();
    keys.sort_by_key(|(index, _)| *index);
    Ok((keys.into_iter().map(|(_, key)| key).collect(), found))
}

const TAKE: &str = "INSERT INTO event_key (source, external_id, digest, event, expires_at) \
                    VALUES ($1, $2, $3, $4, $5) \
                    ON CONFLICT (source, external_id) DO NOTHING";
/// The column that tells whose a key is, and the number of its parameter.
const TAKEN: (&str, usize) = ("event", 4);
const FIND: &str =
    "SELECT digest, event, expires_at FROM event_key WHERE source = $1 AND external_id = $2";
const TAKE_OVER: &str = "INSERT INTO event_key (source, external_id, digest, event, expires_at) \
                         VALUES ($1, $2, $3, $4, $5) \
                         ON CONFLICT (source, external_id) DO UPDATE \
                         SET digest = excluded.digest, event = excluded.event, \
                             expires_at = excluded.expires_at \
                         WHERE event_key.expires_at <= $6 \
                         RETURNING event";

/// Whose a key is: digest and id of an event.
type Holder = (Vec<u8>, EventId);

/// Takes keys; equal ones stand side by side, and the first of them takes it.
async fn take_in_order(
    (tx, store): (&mut Tx<'_>, &Store),
    planned: &[&PlannedEvent],
    asked: &[Asked<'_>],
) -> Result<(Vec<Key>, AskedWithKeys), StoreError> {
    let same = |one: &&PlannedEvent, other: &&PlannedEvent| one.event.key == other.event.key;
    let firsts: Vec<&PlannedEvent> =
        planned.chunk_by(same).filter_map(|same| same.first().copied()).collect();
    let rows = firsts.iter().map(|first| key_params(first, store, tx.now())).collect();
    let (taken, found) = tx.insert_new(&Write::insert(TAKE, rows), TAKEN, asked).await?;
    let taken: HashSet<Uuid> = taken.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    let lost: Vec<&PlannedEvent> =
        firsts.into_iter().filter(|first| !taken.contains(&first.event.id.0)).collect();
    let found = lost.is_empty().then_some(found);
    let holders = find_holders(tx, store, lost).await?;
    let mut keys = Vec::with_capacity(planned.len());
    for same in planned.chunk_by(same) {
        let Some(first) = same.first() else { continue };
        let holder = holders.get(&first.event.id);
        let (digest, event) = match holder {
            Some((digest, event)) => (digest.as_slice(), *event),
            None => (first.event.digest.0.as_slice(), first.event.id),
        };
        keys.extend(same.iter().map(|planned| match planned.event.digest.0 == digest {
            _ if planned.event.id == event => Key::Fresh,
            true => Key::Repeat(event),
            false => Key::Reused,
        }));
    }
    Ok((keys, found))
}

fn key_params(planned: &PlannedEvent, store: &Store, now: Timestamp) -> Vec<Value> {
    let event = &planned.event;
    let lasts = if event.key_is_derived { store.derived_keys_last } else { store.keys_last };
    vec![
        event.key.source.as_str().into(),
        event.key.id.as_str().into(),
        event.digest.0.to_vec().into(),
        event.id.0.into(),
        now.checked_add(lasts).unwrap_or(Timestamp::MAX).into(),
    ]
}

/// Who holds the keys that `lost` did not get; a key whose age is over it gets after all.
async fn find_holders(
    tx: &mut Tx<'_>,
    store: &Store,
    lost: Vec<&PlannedEvent>,
) -> Result<HashMap<EventId, Holder>, StoreError> {
    let now = tx.now();
    let key = |lost: &&PlannedEvent| {
        vec![lost.event.key.source.as_str().into(), lost.event.key.id.as_str().into()]
    };
    let found = tx.query_many(FIND, &lost.iter().map(key).collect::<Vec<_>>()).await?;
    let mut holders = HashMap::new();
    for (lost, rows) in lost.into_iter().zip(found) {
        let mut row = rows.into_iter().next();
        if row.as_ref().map(|row| row.time(2)).transpose()?.is_none_or(|end| end <= now) {
            let mut params = key_params(lost, store, now);
            params.push(now.into());
            if tx.query_one(TAKE_OVER, &params).await?.is_some() {
                continue;
            }
            row = tx.query_one(FIND, &key(&lost)).await?;
        }
        let Some(row) = row else {
            return Err(StoreError::Conflict("a key of an event came and went".to_owned()));
        };
        holders.insert(lost.event.id, (row.bytes(0)?, EventId(row.uuid(1)?)));
    }
    Ok(holders)
}
