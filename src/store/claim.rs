//! Claims: a worker's hold on due deliveries, renewed while the work goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::address::Address;
use crate::model::catalogue::Category;
use crate::model::delivery::{Delivery, GateFacts, State};
use crate::model::id::{DeliveryId, EventId, LeaseToken, ProviderName};
use crate::store::engine::{Row, Tx, Value};
use crate::store::inbox::micros;
use crate::store::overtake::{MARKERS, Markers, read_markers};
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
type Events = HashMap<EventId, Arc<EventFacts>>;

/// The events of these rows, each read once.
pub(super) async fn events_of(tx: &mut Tx<'_>, rows: &[DeliveryRow]) -> Result<Events, StoreError> {
    let found = tx.query(&select_events(), &[event_ids(rows)]).await?;
    read_events(&found)
}

fn select_events() -> String {
    format!("SELECT {FACTS} FROM event WHERE id {{any_uuid $1}}")
}

fn event_ids(rows: &[DeliveryRow]) -> Value {
    let ids: HashSet<uuid::Uuid> = rows.iter().map(|row| row.delivery.event.0).collect();
    Value::uuids(ids)
}

fn read_events(rows: &[Row]) -> Result<Events, StoreError> {
    let facts = rows.iter().map(read_facts);
    facts.map(|facts| facts.map(|facts| (facts.id, Arc::new(facts)))).collect()
}

const SUPPRESSED: &str = "SELECT channel, address FROM suppression WHERE address {any $1}";
const CONSENTING: &str =
    "SELECT channel, address FROM consent WHERE address {any $1} AND granted = 1";

/// Each delivery of a list with those that it follows, one after the other: the first of the chain,
/// and id and state of each link.
pub(super) const CHAINS: &str = "WITH RECURSIVE chain (last, id, follows, state) AS (\
    SELECT id, id, follows, state FROM delivery WHERE id {any_uuid $1} \
    UNION ALL SELECT chain.last, delivery.id, delivery.follows, delivery.state \
    FROM chain JOIN delivery ON delivery.id = chain.follows) \
    SELECT last, id, state FROM chain";

/// Those of `deliveries` that suppression or missing consent stops, as things are now.
pub(super) async fn stopped_of(
    tx: &mut Tx<'_>,
    deliveries: &[&Delivery],
) -> Result<HashSet<DeliveryId>, StoreError> {
    if deliveries.is_empty() {
        return Ok(HashSet::new());
    }
    let addresses = |category: Option<Category>| {
        let wanted = deliveries.iter().filter(|one| category.is_none_or(|c| c == one.category));
        let values = wanted.filter_map(|one| one.address.as_ref().map(Address::value));
        vec![Value::texts(values.collect::<HashSet<_>>())]
    };
    let asked = [(SUPPRESSED, addresses(None)), (CONSENTING, addresses(Some(Category::Marketing)))];
    let mut found = tx.query_all(&asked).await?.into_iter();
    let suppressed = read_addresses(&found.next().unwrap_or_default())?;
    let consenting = read_addresses(&found.next().unwrap_or_default())?;
    let is_stopped = |one: &&&Delivery| {
        let address = one.address.as_ref().map(Address::value).unwrap_or_default();
        let address = (one.channel.as_str().to_owned(), address);
        suppressed.contains(&address)
            || (one.category == Category::Marketing && !consenting.contains(&address))
    };
    Ok(deliveries.iter().filter(is_stopped).map(|one| one.id).collect())
}

/// What stands against sending a set of deliveries, as things are now.
struct Gate {
    suppressed: HashSet<(String, String)>,
    consenting: HashSet<(String, String)>,
    markers: Markers,
    /// The state of the channel before a fallback; of one further back, if that was sent.
    before: HashMap<DeliveryId, State>,
}

impl Gate {
    /// Asks for the events of the rows too, all at once.
    async fn ask(tx: &mut Tx<'_>, rows: &[DeliveryRow]) -> Result<(Events, Self), StoreError> {
        let addresses = |wanted: &dyn Fn(&Delivery) -> bool| -> HashSet<String> {
            let wanted = rows.iter().filter(|row| wanted(&row.delivery));
            wanted.filter_map(|row| row.delivery.address.as_ref().map(Address::value)).collect()
        };
        let everyone = addresses(&|_| true);
        let marketed = addresses(&|delivery| delivery.category == Category::Marketing);
        let overtakable = rows.iter().filter(|row| !row.unless.is_empty());
        let keys: HashSet<&String> =
            overtakable.filter_map(|row| row.delivery.business_key.as_ref()).collect();
        let before: HashSet<uuid::Uuid> =
            rows.iter().filter_map(|row| row.delivery.after.map(|id| id.0)).collect();
        let events = select_events();
        let asked = [
            (events.as_str(), Some(event_ids(rows))),
            (SUPPRESSED, (!everyone.is_empty()).then(|| Value::texts(everyone))),
            (CONSENTING, (!marketed.is_empty()).then(|| Value::texts(marketed))),
            (MARKERS, (!keys.is_empty()).then(|| Value::texts(keys))),
            (CHAINS, (!before.is_empty()).then(|| Value::uuids(before))),
        ];
        let is_asked = asked.each_ref().map(|(_, list)| list.is_some());
        let asked: Vec<(&str, Vec<Value>)> =
            asked.into_iter().filter_map(|(sql, list)| Some((sql, vec![list?]))).collect();
        let mut found = tx.query_all(&asked).await?.into_iter();
        let [events, suppressed, consenting, markers, before] =
            is_asked.map(|is_asked| is_asked.then(|| found.next()).flatten().unwrap_or_default());
        let gate = Self {
            suppressed: read_addresses(&suppressed)?,
            consenting: read_addresses(&consenting)?,
            markers: read_markers(&markers)?,
            before: read_chains(&before)?,
        };
        Ok((read_events(&events)?, gate))
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

fn read_addresses(rows: &[Row]) -> Result<HashSet<(String, String)>, StoreError> {
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?))).collect()
}

fn read_chains(rows: &[Row]) -> Result<HashMap<DeliveryId, State>, StoreError> {
    let mut before = HashMap::new();
    for row in rows {
        let (last, id, state) = (row.uuid(0)?, row.uuid(1)?, read_state(&row.text(2)?)?);
        if id == last || state.has_gone_out() {
            let known = before.entry(DeliveryId(last)).or_insert(state);
            if state.has_gone_out() {
                *known = state;
            }
        }
    }
    Ok(before)
}
