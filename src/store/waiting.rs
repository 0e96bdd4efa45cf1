//! Where deliveries wait and are claimed: narrow rows beside the wide one of the delivery.
//!
//! A delivery in the state *waiting* has one row: in `waiting` while nobody holds it, in `claimed`
//! while a worker does. Whoever moves it locks that row first, then the delivery; so a claim and
//! the end of one write no index of the delivery.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tracing::error;

use crate::model::delivery::{Delivery, Intent, State};
use crate::model::id::{DeliveryId, LeaseToken, ProviderName};
use crate::store::StoreError;
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::rows::{DELIVERY, DeliveryRow, read_delivery, read_intent};

/// The statement that lets one delivery wait, its parameters as [`waiting_params`] makes them.
pub(super) const INSERT_WAITING: &str = "INSERT INTO waiting (delivery, provider, lane, due_at, \
    expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)";

/// The statement that claims one delivery while it is planned: id, token, end of the lease, run.
pub(super) const INSERT_CLAIMED: &str =
    "INSERT INTO claimed (delivery, lease_token, lease_until, lease_run) VALUES ($1, $2, $3, $4)";

/// The parameters of [`INSERT_WAITING`].
pub(super) fn waiting_params(
    delivery: &Delivery,
    due_at: Timestamp,
    expires_at: Timestamp,
) -> Vec<Value> {
    vec![
        delivery.id.0.into(),
        delivery.provider.as_ref().map(ProviderName::as_str).into(),
        delivery.lane.rank().into(),
        due_at.into(),
        expires_at.into(),
        delivery.created_at.into(),
    ]
}

/// Takes deliveries out of what waits.
pub(super) fn leave(ids: &[DeliveryId]) -> Write {
    for_all("DELETE FROM waiting WHERE delivery {any_uuid $1}", ids)
}

/// Ends the claims of deliveries, whoever holds them.
pub(super) fn end_claims(ids: &[DeliveryId]) -> Write {
    for_all("DELETE FROM claimed WHERE delivery {any_uuid $1}", ids)
}

fn for_all(sql: &'static str, ids: &[DeliveryId]) -> Write {
    let list = (!ids.is_empty()).then(|| vec![Value::uuids(ids.iter().map(|id| id.0))]);
    Write::each(sql, list.into_iter().collect())
}

/// Says what is to become of deliveries that are being sent, once their answers come.
pub(super) fn intend(intents: &[(DeliveryId, Intent)]) -> Write {
    let sql = "UPDATE claimed SET intent = $2 WHERE delivery = $1";
    let rows = intents.iter().map(|(id, intent)| vec![id.0.into(), intent.as_str().into()]);
    Write::update(sql, rows.collect())
}

/// A worker's hold on a delivery.
pub(super) struct Claim {
    pub(super) token: LeaseToken,
    /// What was asked for meanwhile.
    pub(super) intent: Option<Intent>,
}

/// Claims by their deliveries.
pub(super) type Claims = HashMap<DeliveryId, Claim>;

/// Locks the claims of these deliveries, in the order of their ids so that nobody waits in a
/// circle.
pub(super) const LOCK_CLAIMS: &str = "SELECT delivery, lease_token, intent FROM claimed \
    WHERE delivery {any_uuid $1} ORDER BY delivery {for_update}";

/// Reads what [`LOCK_CLAIMS`] found.
pub(super) fn read_claims(rows: &[Row]) -> Result<Claims, StoreError> {
    let read = |row: &Row| {
        let token = LeaseToken(row.uuid(1)?);
        let intent = row.opt_text(2)?.map(|text| read_intent(&text)).transpose()?;
        Ok((DeliveryId(row.uuid(0)?), Claim { token, intent }))
    };
    rows.iter().map(read).collect()
}

/// Reads and locks deliveries wherever they stand, in the order of their ids; and their claims.
///
/// The tries of a delivery that is being sent count the one that is under way.
///
/// # Errors
/// [`StoreError::Conflict`] when one of them was just being moved: all is to be tried again.
pub(super) async fn lock_deliveries(
    tx: &mut Tx<'_>,
    ids: impl IntoIterator<Item = DeliveryId>,
) -> Result<(Vec<DeliveryRow>, Claims), StoreError> {
    let waiting = "SELECT delivery FROM waiting WHERE delivery {any_uuid $1} \
                   ORDER BY delivery {for_update}";
    lock(tx, ids, waiting).await
}

/// The same for whoever holds claims already: it must not wait for a row of `waiting`, whose holder
/// may wait for one of these claims.
///
/// # Errors
/// [`StoreError::Conflict`] also when somebody else holds such a row.
pub(super) async fn lock_deliveries_behind_claims(
    tx: &mut Tx<'_>,
    ids: impl IntoIterator<Item = DeliveryId>,
) -> Result<(Vec<DeliveryRow>, Claims), StoreError> {
    let waiting = "SELECT delivery FROM waiting WHERE delivery {any_uuid $1} \
                   ORDER BY delivery {skip_locked}";
    lock(tx, ids, waiting).await
}

/// Locks the channels behind these deliveries that wait, before anything else of them is locked.
pub(super) async fn lock_fallbacks(
    tx: &mut Tx<'_>,
    before: &[DeliveryId],
) -> Result<(), StoreError> {
    if before.is_empty() {
        return Ok(());
    }
    let sql = "SELECT delivery FROM waiting WHERE delivery IN \
               (SELECT id FROM delivery WHERE follows {any_uuid $1}) ORDER BY delivery {for_update}";
    tx.query(sql, &[Value::uuids(before.iter().map(|id| id.0))]).await.map(drop)
}

async fn lock(
    tx: &mut Tx<'_>,
    ids: impl IntoIterator<Item = DeliveryId>,
    waiting: &str,
) -> Result<(Vec<DeliveryRow>, Claims), StoreError> {
    let ids = Value::uuids(ids.into_iter().map(|id| id.0));
    let deliveries = format!(
        "SELECT {DELIVERY} FROM delivery WHERE id {{any_uuid $1}} ORDER BY id {{for_update}}"
    );
    let asked = [
        (waiting, vec![ids.clone()]),
        (LOCK_CLAIMS, vec![ids.clone()]),
        (deliveries.as_str(), vec![ids]),
    ];
    let [waiting, claims, deliveries] = tx.query_some(asked.map(Some)).await?;
    let waiting: HashSet<uuid::Uuid> =
        waiting.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    let claims = read_claims(&claims)?;
    let mut rows: Vec<DeliveryRow> =
        deliveries.iter().map(read_delivery).collect::<Result<_, _>>()?;
    let mut nowhere = Vec::new();
    for DeliveryRow { delivery, .. } in &mut rows {
        let is_claimed = claims.contains_key(&delivery.id);
        if delivery.state == State::Waiting && !is_claimed && !waiting.contains(&delivery.id.0) {
            nowhere.push(delivery.id);
        }
        delivery.attempts += u32::from(is_claimed);
    }
    look_again(tx, nowhere).await?;
    Ok((rows, claims))
}

/// Looks once more for what was found neither waiting nor claimed, now that the delivery is locked:
/// either it was moved between two looks, or nobody will ever find it by itself. Such a one is as
/// good as waiting, and whoever locked it moves it on.
async fn look_again(tx: &mut Tx<'_>, nowhere: Vec<DeliveryId>) -> Result<(), StoreError> {
    if nowhere.is_empty() {
        return Ok(());
    }
    let open = "SELECT delivery FROM waiting WHERE delivery {any_uuid $1} \
                UNION ALL SELECT delivery FROM claimed WHERE delivery {any_uuid $1}";
    let ids = Value::uuids(nowhere.iter().map(|id| id.0));
    if let Some(row) = tx.query_one(open, &[ids]).await? {
        return Err(StoreError::Conflict(format!("delivery {} is being moved", row.uuid(0)?)));
    }
    for id in nowhere {
        error!(delivery.id = %id, "delivery {id} waits where nobody looks for it; retry or cancel it");
    }
    Ok(())
}

/// Ids that a statement found.
pub(super) fn read_ids(rows: &[Row]) -> Result<Vec<DeliveryId>, StoreError> {
    rows.iter().map(|row| row.uuid(0).map(DeliveryId)).collect()
}

/// Counts the tries that are under way among deliveries that are only looked at.
pub(super) async fn count_tries_under_way(
    tx: &mut Tx<'_>,
    deliveries: &mut [Delivery],
) -> Result<(), StoreError> {
    let waiting = deliveries.iter().filter(|delivery| delivery.state == State::Waiting);
    let ids: Vec<uuid::Uuid> = waiting.map(|delivery| delivery.id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "SELECT delivery FROM claimed WHERE delivery {any_uuid $1}";
    let claimed = tx.query(sql, &[Value::uuids(ids)]).await?;
    let claimed: HashSet<uuid::Uuid> =
        claimed.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    for delivery in deliveries.iter_mut().filter(|delivery| claimed.contains(&delivery.id.0)) {
        delivery.attempts += 1;
    }
    Ok(())
}
