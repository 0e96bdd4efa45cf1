//! Claims: a worker's hold on due deliveries, renewed while the work goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::address::Address;
use crate::model::catalogue::Category;
use crate::model::delivery::{Delivery, GateFacts, State};
use crate::model::id::{DeliveryId, EventId, LeaseToken, ProviderName};
use crate::store::engine::{Tx, Value};
use crate::store::inbox::micros;
use crate::store::overtake::{Markers, find_markers};
use crate::store::rows::{
    DELIVERY, DeliveryRow, EventFacts, FACTS, read_delivery, read_facts, read_state,
};
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
    /// # Errors
    /// When the store does not answer.
    pub async fn claim_expired(
        &self,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move { claim_expired(tx, &store, (limit, lease)).await })
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
    let held = "SELECT 1 FROM provider_hold WHERE provider = $1";
    if tx.query_one(held, &[provider.as_str().into()]).await?.is_some() {
        return Ok(Vec::new());
    }
    let now = tx.now();
    let sql = format!(
        "{} UPDATE delivery SET lease_token = $4, lease_until = $5, lease_run = $6, \
         attempts = attempts + 1 FROM due WHERE delivery.id = due.id RETURNING {DELIVERY}",
        due_by_lane()
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
) -> Result<Vec<Claimed>, StoreError> {
    let lease_now = store.lease_clock(tx);
    let sql = format!(
        "WITH lost AS (SELECT id FROM delivery \
         WHERE lease_token IS NOT NULL AND {{lease_over $1 $2}} \
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
    let events = events_of(tx, &rows).await?;
    let gate = Gate::ask(tx, &rows).await?;
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

/// The events of these rows, each read once.
pub(super) async fn events_of(
    tx: &mut Tx<'_>,
    rows: &[DeliveryRow],
) -> Result<HashMap<EventId, Arc<EventFacts>>, StoreError> {
    let ids: HashSet<uuid::Uuid> = rows.iter().map(|row| row.delivery.event.0).collect();
    let sql = format!("SELECT {FACTS} FROM event WHERE id {{any_uuid $1}}");
    let found = tx.query(&sql, &[Value::uuids(ids)]).await?;
    let facts = found.iter().map(read_facts);
    facts.map(|facts| facts.map(|facts| (facts.id, Arc::new(facts)))).collect()
}

/// What stands against sending a set of deliveries, as things are now.
struct Gate {
    suppressed: HashSet<(String, String)>,
    consenting: HashSet<(String, String)>,
    markers: Markers,
    before: HashMap<DeliveryId, State>,
}

impl Gate {
    async fn ask(tx: &mut Tx<'_>, rows: &[DeliveryRow]) -> Result<Self, StoreError> {
        let addresses = |wanted: &dyn Fn(&Delivery) -> bool| -> HashSet<String> {
            let wanted = rows.iter().filter(|row| wanted(&row.delivery));
            wanted.filter_map(|row| row.delivery.address.as_ref().map(Address::value)).collect()
        };
        let everyone = addresses(&|_| true);
        let marketed = addresses(&|delivery| delivery.category == Category::Marketing);
        let suppressed = "SELECT channel, address FROM suppression WHERE address {any $1}";
        let consenting =
            "SELECT channel, address FROM consent WHERE address {any $1} AND granted = 1";
        let overtakable = rows.iter().filter(|row| !row.unless.is_empty());
        let keys: Vec<&String> =
            overtakable.filter_map(|row| row.delivery.business_key.as_ref()).collect();
        Ok(Self {
            suppressed: find_addresses(tx, suppressed, everyone).await?,
            consenting: find_addresses(tx, consenting, marketed).await?,
            markers: find_markers(tx, &keys).await?,
            before: states_before(tx, rows).await?,
        })
    }

    fn facts(&self, row: &DeliveryRow, event_time: Timestamp) -> GateFacts {
        let delivery = &row.delivery;
        let address = delivery.address.as_ref().map(Address::value).unwrap_or_default();
        let address = (delivery.channel.as_str().to_owned(), address);
        let business_key = delivery.business_key.clone().unwrap_or_default();
        let is_overtaken = row.unless.iter().any(|event_type| {
            let marker = self.markers.get(&(business_key.clone(), event_type.to_string()));
            marker.is_some_and(|time| *time >= event_time)
        });
        GateFacts {
            is_suppressed: self.suppressed.contains(&address),
            lacks_consent: delivery.category == Category::Marketing
                && !self.consenting.contains(&address),
            is_overtaken,
            before: delivery.after.and_then(|id| self.before.get(&id).copied()),
        }
    }
}

async fn find_addresses(
    tx: &mut Tx<'_>,
    sql: &str,
    addresses: HashSet<String>,
) -> Result<HashSet<(String, String)>, StoreError> {
    if addresses.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = tx.query(sql, &[Value::texts(addresses)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

async fn states_before(
    tx: &mut Tx<'_>,
    rows: &[DeliveryRow],
) -> Result<HashMap<DeliveryId, State>, StoreError> {
    let ids: Vec<uuid::Uuid> =
        rows.iter().filter_map(|row| row.delivery.after.map(|id| id.0)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT id, state FROM delivery WHERE id {any_uuid $1}";
    let found = tx.query(sql, &[Value::uuids(ids)]).await?;
    found.iter().map(|row| Ok((DeliveryId(row.uuid(0)?), read_state(&row.text(1)?)?))).collect()
}
