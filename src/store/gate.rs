//! What stands against sending, as things are now: asked when a delivery is claimed, and when one
//! is written with its claim.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::model::address::Address;
use crate::model::catalogue::Category;
use crate::model::delivery::{Delivery, GateFacts, State};
use crate::model::id::DeliveryId;
use crate::store::StoreError;
use crate::store::claim::{Events, event_ids, read_events, select_events};
use crate::store::engine::{Asked, Row, Tx, Value, about, place};
use crate::store::overtake::{MARKERS, Markers, is_overtaken, read_markers};
use crate::store::rows::{DeliveryRow, read_state};

pub(super) const SUPPRESSED: &str =
    "SELECT channel, address FROM suppression WHERE address {any $1}";
const CONSENTING: &str =
    "SELECT channel, address FROM consent WHERE address {any $1} AND granted = 1";

/// Each delivery of a list with those that it follows, one after the other: the one of the list,
/// which is the last of its chain, and id and state of each link.
pub(super) const CHAINS: &str = "WITH RECURSIVE chain (last, id, follows, state) AS (\
    SELECT id, id, follows, state FROM delivery WHERE id {any_uuid $1} \
    UNION ALL SELECT chain.last, delivery.id, delivery.follows, delivery.state \
    FROM chain JOIN delivery ON delivery.id = chain.follows) \
    SELECT last, id, state FROM chain";

/// Who may be sent to among some deliveries, as suppression and consent are now.
struct Permissions {
    /// Addresses that must not be used, each with its channel.
    suppressed: HashSet<(String, String)>,
    /// Addresses that have agreed to marketing.
    consenting: HashSet<(String, String)>,
}

impl Permissions {
    /// From what [`SUPPRESSED`] and [`CONSENTING`] found.
    fn read(suppressed: &[Row], consenting: &[Row]) -> Result<Self, StoreError> {
        let (suppressed, consenting) = (read_addresses(suppressed)?, read_addresses(consenting)?);
        Ok(Self { suppressed, consenting })
    }

    fn is_suppressed(&self, delivery: &Delivery) -> bool {
        self.suppressed.contains(&whereto(delivery))
    }

    fn lacks_consent(&self, delivery: &Delivery) -> bool {
        delivery.category == Category::Marketing && !self.consenting.contains(&whereto(delivery))
    }
}

fn whereto(delivery: &Delivery) -> (String, String) {
    let address = delivery.address.as_ref().map(Address::value).unwrap_or_default();
    (delivery.channel.as_str().to_owned(), address)
}

/// The lists for [`SUPPRESSED`] and [`CONSENTING`]; empty where nobody need be asked for.
fn addresses<'d>(deliveries: impl Iterator<Item = &'d Delivery> + Clone) -> [Value; 2] {
    let list = |wanted: &dyn Fn(&Delivery) -> bool| {
        let wanted = deliveries.clone().filter(|delivery| wanted(delivery));
        let values = wanted.filter_map(|delivery| delivery.address.as_ref().map(Address::value));
        let values: HashSet<String> = values.collect();
        Value::texts(values)
    };
    [list(&|_| true), list(&|delivery| delivery.category == Category::Marketing)]
}

/// The question which of some deliveries suppression or missing consent stops.
pub(super) struct Stopping<'d> {
    deliveries: Vec<&'d Delivery>,
    questions: [Option<Asked<'static>>; 2],
}

impl<'d> Stopping<'d> {
    pub(super) fn new(deliveries: Vec<&'d Delivery>) -> Self {
        let [everyone, marketed] = addresses(deliveries.iter().copied());
        let questions = [about(SUPPRESSED, everyone), about(CONSENTING, marketed)];
        Self { deliveries, questions }
    }

    pub(super) fn asked(&self) -> Vec<Asked<'static>> {
        self.questions.iter().flatten().cloned().collect()
    }

    /// Those that are stopped, by what was found.
    pub(super) fn read(&self, found: Vec<Vec<Row>>) -> Result<HashSet<DeliveryId>, StoreError> {
        let is_asked = self.questions.each_ref().map(Option::is_some);
        let [suppressed, consenting] = place(is_asked, found)?;
        let permissions = Permissions::read(&suppressed, &consenting)?;
        let is_stopped =
            |one: &&&Delivery| permissions.is_suppressed(one) || permissions.lacks_consent(one);
        Ok(self.deliveries.iter().filter(is_stopped).map(|one| one.id).collect())
    }
}

/// What stands against sending a set of deliveries, as things are now.
pub(super) struct Gate {
    permissions: Permissions,
    markers: Markers,
    /// The state of the channel before a fallback; of one further back, if that was sent.
    before: HashMap<DeliveryId, State>,
}

impl Gate {
    /// Asks for the events of the rows too, all at once.
    pub(super) async fn ask(
        tx: &mut Tx<'_>,
        rows: &[DeliveryRow],
    ) -> Result<(Events, Self), StoreError> {
        let [everyone, marketed] = addresses(rows.iter().map(|row| &row.delivery));
        let overtakable = rows.iter().filter(|row| !row.unless.is_empty());
        let keys: HashSet<&String> =
            overtakable.filter_map(|row| row.delivery.business_key.as_ref()).collect();
        let before: HashSet<uuid::Uuid> =
            rows.iter().filter_map(|row| row.delivery.after.map(|id| id.0)).collect();
        let events = select_events();
        let asked = [
            about(&events, event_ids(rows)),
            about(SUPPRESSED, everyone),
            about(CONSENTING, marketed),
            about(MARKERS, Value::texts(keys)),
            about(CHAINS, Value::uuids(before)),
        ];
        let [events, suppressed, consenting, markers, before] = tx.query_some(asked).await?;
        let gate = Self {
            permissions: Permissions::read(&suppressed, &consenting)?,
            markers: read_markers(&markers)?,
            before: read_chains(&before)?,
        };
        Ok((read_events(&events)?, gate))
    }

    pub(super) fn facts(&self, row: &DeliveryRow, event_time: Timestamp) -> GateFacts {
        let delivery = &row.delivery;
        let about = (delivery.business_key.as_deref(), event_time);
        GateFacts {
            is_suppressed: self.permissions.is_suppressed(delivery),
            lacks_consent: self.permissions.lacks_consent(delivery),
            is_overtaken: is_overtaken(about, &row.unless, &self.markers),
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
