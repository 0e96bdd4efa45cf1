//! Claims: a worker's hold on due deliveries, renewed while the work goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::delivery::{Delivery, GateFacts};
use crate::model::id::{DeliveryId, EventId, LeaseToken, ProviderName};
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::gate::Gate;
use crate::store::inbox::micros;
use crate::store::overtake::happened;
use crate::store::rows::{DELIVERY, DeliveryRow, EventFacts, FACTS, read_delivery, read_facts};
use crate::store::waiting::LOCK_CLAIMS;
use crate::store::{Store, StoreError};

/// A delivery that this process holds, with what it needs to be sent.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The delivery.
    pub delivery: Delivery,
    /// Proves the claim.
    pub token: LeaseToken,
    /// The how-manieth try this is, from 1.
    pub attempt: u32,
    /// The delivery's event; shared by the deliveries of one claim.
    pub event: Arc<EventFacts>,
    /// What stands against sending it now.
    pub gate: GateFacts,
}

impl Store {
    /// Claims what is due for `provider`, lane by lane, longest due first.
    ///
    /// Two claims never hold the same delivery. A provider on hold has nothing to claim.
    ///
    /// # Errors
    /// When the store does not answer; what was claimed comes back when its lease ends.
    pub async fn claim(
        &self,
        provider: &ProviderName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Arc<Claimed>>, StoreError> {
        let (store, provider) = (self.clone(), provider.clone());
        self.write(move |tx| {
            let (store, provider) = (store.clone(), provider.clone());
            Box::pin(async move { claim(tx, &store, &provider, (limit, lease)).await })
        })
        .await
    }

    /// Takes over claims whose lease is over, to record that nobody knows what became of them.
    ///
    /// All but `ours`, which this process still works on: while the store was away nobody could
    /// renew them, and their answers are about to be recorded.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn claim_expired(
        &self,
        limit: usize,
        lease: Duration,
        ours: Vec<(DeliveryId, LeaseToken)>,
    ) -> Result<Vec<Arc<Claimed>>, StoreError> {
        let (store, ours) = (self.clone(), Arc::new(ours));
        self.write(move |tx| {
            let (store, ours) = (store.clone(), Arc::clone(&ours));
            Box::pin(async move { claim_expired(tx, &store, (limit, lease), &ours).await })
        })
        .await
    }

    /// Makes claims last `lease` from now; claims that were lost stay lost.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn renew(
        &self,
        mut claims: Vec<(DeliveryId, LeaseToken)>,
        lease: Duration,
    ) -> Result<(), StoreError> {
        // In the order in which a finish locks its rows, so that the two never wait in a circle.
        claims.sort_unstable_by_key(|(id, _)| *id);
        let (store, claims) = (self.clone(), Arc::new(claims));
        self.write(move |tx| {
            let (store, claims) = (store.clone(), Arc::clone(&claims));
            Box::pin(async move {
                let until = store.lease_clock(tx) + micros(lease);
                // A finish deletes what it locked in this order; a claim that it ended is not
                // there.
                let ids = Value::uuids(claims.iter().map(|(id, _)| id.0));
                tx.query(LOCK_CLAIMS, &[ids]).await?;
                let renewed = claims
                    .iter()
                    .map(|(id, token)| vec![id.0.into(), token.0.into(), until.into()]);
                let update = "UPDATE claimed SET lease_until = $3 \
                              WHERE delivery = $1 AND lease_token = $2";
                tx.write_all(&[Write::update(update, renewed.collect())]).await?;
                Ok(())
            })
        })
        .await
    }
}

/// The due deliveries of each lane by a range of the index; whoever else claims skips them.
fn due_by_lane() -> String {
    let lane = |rank: i64| {
        format!(
            "due{rank} AS (SELECT delivery, lane, due_at FROM waiting \
             WHERE provider = $1 AND lane = {rank} AND due_at <= $2 \
             AND NOT EXISTS (SELECT 1 FROM provider_hold WHERE provider_hold.provider = $1) \
             ORDER BY due_at, delivery LIMIT $3 {{skip_locked}})"
        )
    };
    let lanes: Vec<String> = (0..3).map(lane).collect();
    format!(
        "WITH {} SELECT delivery FROM (SELECT * FROM due0 UNION ALL SELECT * FROM due1 \
         UNION ALL SELECT * FROM due2) AS lanes ORDER BY lane, due_at, delivery LIMIT $3",
        lanes.join(", ")
    )
}

/// What somebody else holds, taken all the same: how a broken worker claims.
#[cfg(test)]
async fn steal(
    tx: &mut Tx<'_>,
    provider: &ProviderName,
    limit: usize,
    token: LeaseToken,
) -> Result<Vec<uuid::Uuid>, StoreError> {
    if !crate::sabotage::is(crate::sabotage::Sabotage::IgnoresLeases) {
        return Ok(Vec::new());
    }
    let sql = "UPDATE claimed SET lease_token = $3 WHERE delivery IN (SELECT claimed.delivery \
               FROM claimed JOIN delivery ON delivery.id = claimed.delivery \
               WHERE delivery.provider = $1 LIMIT $2) RETURNING delivery";
    let stolen = tx.query(sql, &[provider.as_str().into(), limit.into(), token.0.into()]).await?;
    stolen.iter().map(|row| row.uuid(0)).collect()
}

async fn claim(
    tx: &mut Tx<'_>,
    store: &Store,
    provider: &ProviderName,
    (limit, lease): (usize, Duration),
) -> Result<Vec<Arc<Claimed>>, StoreError> {
    let now = tx.now();
    let due = [provider.as_str().into(), now.into(), limit.into()];
    let found = tx.query(&due_by_lane(), &due).await?;
    let ids: Vec<uuid::Uuid> = found.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    let token = LeaseToken::new(now);
    #[cfg(test)]
    let ids = [ids, steal(tx, provider, limit, token).await?].concat();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let until = store.lease_clock(tx) + micros(lease);
    let ids = Value::uuids(ids);
    let take = "INSERT INTO claimed (delivery, lease_token, lease_until, lease_run) \
                SELECT delivery, $2, $3, $4 FROM waiting WHERE delivery {any_uuid $1}";
    let leave = "DELETE FROM waiting WHERE delivery {any_uuid $1}";
    let select = select_deliveries();
    let asked = [
        (take, vec![ids.clone(), token.0.into(), until.into(), store.run.0.into()]),
        (leave, vec![ids.clone()]),
        (select.as_str(), vec![ids]),
    ];
    let [_, _, claimed] = tx.query_some(asked.map(Some)).await?;
    let mut rows = read_rows(&claimed)?;
    rows.sort_by_key(|row| (row.delivery.lane, row.delivery.due_at, row.delivery.id));
    complete(tx, rows, token).await
}

async fn claim_expired(
    tx: &mut Tx<'_>,
    store: &Store,
    (limit, lease): (usize, Duration),
    ours: &[(DeliveryId, LeaseToken)],
) -> Result<Vec<Arc<Claimed>>, StoreError> {
    let lease_now = store.lease_clock(tx);
    tx.read_whole_tables(true).await?;
    let sql = "WITH lost AS (SELECT delivery FROM claimed WHERE {lease_over $1 $2} \
               AND NOT (lease_run = $1 AND lease_token {any_uuid $6} AND delivery {any_uuid $7}) \
               ORDER BY lease_until LIMIT $3 {skip_locked}) \
               UPDATE claimed SET lease_token = $4, lease_until = $5, lease_run = $1 \
               FROM lost WHERE claimed.delivery = lost.delivery RETURNING claimed.delivery";
    let token = LeaseToken::new(tx.now());
    let params = [
        store.run.0.into(),
        lease_now.into(),
        limit.into(),
        token.0.into(),
        (lease_now + micros(lease)).into(),
        Value::uuids(ours.iter().map(|(_, token)| token.0)),
        Value::uuids(ours.iter().map(|(id, _)| id.0)),
    ];
    let taken = tx.query(sql, &params).await?;
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    tx.read_whole_tables(false).await?;
    let ids: Vec<uuid::Uuid> = taken.iter().map(|row| row.uuid(0)).collect::<Result<_, _>>()?;
    let rows = read_claimed(tx, Value::uuids(ids)).await?;
    complete(tx, rows, token).await
}

fn select_deliveries() -> String {
    format!("SELECT {DELIVERY} FROM delivery WHERE id {{any_uuid $1}}")
}

/// The rows of what was just claimed; each begins another try.
async fn read_claimed(tx: &mut Tx<'_>, ids: Value) -> Result<Vec<DeliveryRow>, StoreError> {
    read_rows(&tx.query(&select_deliveries(), &[ids]).await?)
}

fn read_rows(rows: &[Row]) -> Result<Vec<DeliveryRow>, StoreError> {
    let mut rows: Vec<DeliveryRow> = rows.iter().map(read_delivery).collect::<Result<_, _>>()?;
    for row in &mut rows {
        row.delivery.attempts += 1;
    }
    Ok(rows)
}

/// Adds what a sender needs beside the rows: their events, and what stands against sending.
async fn complete(
    tx: &mut Tx<'_>,
    rows: Vec<DeliveryRow>,
    token: LeaseToken,
) -> Result<Vec<Arc<Claimed>>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (events, gate) = Gate::ask(tx, &rows).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(event) = events.get(&row.delivery.event) else {
            let (id, event) = (row.delivery.id, row.delivery.event);
            return Err(StoreError::Broken(format!("delivery {id} has lost its event {event}")));
        };
        let facts = gate.facts(&row, happened(event.time, event.received_at));
        claimed.push(Arc::new(Claimed {
            attempt: row.delivery.attempts,
            delivery: row.delivery,
            token,
            event: Arc::clone(event),
            gate: facts,
        }));
    }
    Ok(claimed)
}

/// Events by their ids.
pub(super) type Events = HashMap<EventId, Arc<EventFacts>>;

pub(super) fn select_events() -> String {
    format!("SELECT {FACTS} FROM event WHERE id {{any_uuid $1}}")
}

pub(super) fn event_ids(rows: &[DeliveryRow]) -> Value {
    let ids: HashSet<uuid::Uuid> = rows.iter().map(|row| row.delivery.event.0).collect();
    Value::uuids(ids)
}

pub(super) fn read_events(rows: &[Row]) -> Result<Events, StoreError> {
    let facts = rows.iter().map(read_facts);
    facts.map(|facts| facts.map(|facts| (facts.id, Arc::new(facts)))).collect()
}
