//! Claims: a worker's hold on due deliveries, renewed while the work goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::delivery::{Delivery, GateFacts};
use crate::model::id::{DeliveryId, EventId, LeaseToken, ProviderName};
use crate::store::engine::{Row, Tx, Value};
use crate::store::gate::Gate;
use crate::store::inbox::micros;
use crate::store::rows::{DELIVERY, DeliveryRow, EventFacts, FACTS, read_delivery, read_facts};
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
    ) -> Result<Vec<Claimed>, StoreError> {
        let (store, provider) = (self.clone(), provider.clone());
        self.write(move |tx| {
            let (store, provider) = (store.clone(), provider.clone());
            Box::pin(async move { claim(tx, &store, &provider, (limit, lease)).await })
        })
        .await
    }

    /// Takes over claims whose lease is over, to record that nobody knows what became of them.
    ///
    /// All but `ours`, which this process still works on: while the store was away nobody could renew
    /// them, and their answers are about to be recorded.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn claim_expired(
        &self,
        limit: usize,
        lease: Duration,
        ours: Vec<(DeliveryId, LeaseToken)>,
    ) -> Result<Vec<Claimed>, StoreError> {
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
                let params: Vec<Vec<Value>> = claims
                    .iter()
                    .map(|(id, token)| vec![until.into(), id.0.into(), token.0.into()])
                    .collect();
                let update =
                    "UPDATE delivery SET lease_until = $1 WHERE id = $2 AND lease_token = $3";
                tx.execute_many(update, &params).await?;
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
            "due{rank} AS (SELECT id, lane, due_at FROM delivery \
             WHERE provider = $1 AND lane = {rank} AND state = 'waiting' \
             AND lease_token IS NULL AND due_at <= $2 \
             AND NOT EXISTS (SELECT 1 FROM provider_hold WHERE provider_hold.provider = $1) \
             ORDER BY due_at, id LIMIT $3 {{skip_locked}})"
        )
    };
    let lanes: Vec<String> = (0..3).map(lane).collect();
    format!(
        "WITH {}, due AS (SELECT id FROM (SELECT * FROM due0 UNION ALL SELECT * FROM due1 \
         UNION ALL SELECT * FROM due2) AS lanes ORDER BY lane, due_at, id LIMIT $3)",
        lanes.join(", ")
    )
}

async fn claim(
    tx: &mut Tx<'_>,
    store: &Store,
    provider: &ProviderName,
    (limit, lease): (usize, Duration),
) -> Result<Vec<Claimed>, StoreError> {
    let now = tx.now();
    let due = due_by_lane();
    #[cfg(test)]
    let due = match crate::sabotage::is(crate::sabotage::Sabotage::IgnoresLeases) {
        true => due.replace("lease_token IS NULL", "1 = 1"),
        false => due,
    };
    let sql = format!(
        "{due} UPDATE delivery SET lease_token = $4, lease_until = $5, lease_run = $6, \
         attempts = attempts + 1 FROM due WHERE delivery.id = due.id RETURNING {DELIVERY}"
    );
    let params = [
        provider.as_str().into(),
        now.into(),
        limit.into(),
        LeaseToken::new(now).0.into(),
        (store.lease_clock(tx) + micros(lease)).into(),
        store.run.0.into(),
    ];
    let rows = tx.query(&sql, &params).await?;
    let mut rows: Vec<DeliveryRow> = rows.iter().map(read_delivery).collect::<Result<_, _>>()?;
    rows.sort_by_key(|row| (row.delivery.lane, row.delivery.due_at, row.delivery.id));
    complete(tx, rows).await
}

async fn claim_expired(
    tx: &mut Tx<'_>,
    store: &Store,
    (limit, lease): (usize, Duration),
    ours: &[(DeliveryId, LeaseToken)],
) -> Result<Vec<Claimed>, StoreError> {
    let lease_now = store.lease_clock(tx);
    let sql = format!(
        "WITH lost AS (SELECT id FROM delivery \
         WHERE lease_token IS NOT NULL AND {{lease_over $1 $2}} \
         AND NOT (lease_run = $1 AND lease_token {{any_uuid $6}} AND id {{any_uuid $7}}) \
         ORDER BY lease_until LIMIT $3 {{skip_locked}}) \
         UPDATE delivery SET lease_token = $4, lease_until = $5, lease_run = $1 \
         FROM lost WHERE delivery.id = lost.id RETURNING {DELIVERY}"
    );
    let params = [
        store.run.0.into(),
        lease_now.into(),
        limit.into(),
        LeaseToken::new(tx.now()).0.into(),
        (lease_now + micros(lease)).into(),
        Value::uuids(ours.iter().map(|(_, token)| token.0)),
        Value::uuids(ours.iter().map(|(id, _)| id.0)),
    ];
    let rows = tx.query(&sql, &params).await?;
    let rows = rows.iter().map(read_delivery).collect::<Result<_, _>>()?;
    complete(tx, rows).await
}

/// Adds what a sender needs beside the rows: their events, and what stands against sending.
async fn complete(tx: &mut Tx<'_>, rows: Vec<DeliveryRow>) -> Result<Vec<Claimed>, StoreError> {
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
        let facts = gate.facts(&row, event.time);
        let Some(token) = row.token else { continue };
        claimed.push(Claimed {
            attempt: row.delivery.attempts,
            delivery: row.delivery,
            token,
            event: Arc::clone(event),
            gate: facts,
        });
    }
    Ok(claimed)
}

/// Events by their ids.
pub(super) type Events = HashMap<EventId, Arc<EventFacts>>;

/// The events of these rows, each read once.
pub(super) async fn events_of(tx: &mut Tx<'_>, rows: &[DeliveryRow]) -> Result<Events, StoreError> {
    let found = tx.query(&select_events(), &[event_ids(rows)]).await?;
    read_events(&found)
}

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
