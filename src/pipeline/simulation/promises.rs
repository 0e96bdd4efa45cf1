//! What was seen of a history, and what must hold of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use super::catalogue::{ARRIVED, DELAYED, DUE, MOST_ATTEMPTS};
use crate::model::address::Address;
use crate::model::catalogue::Category;
use crate::model::delivery::{Delivery, State};
use crate::model::id::{DeliveryId, ProviderName};
use crate::model::outcome::VerdictClass;
use crate::model::status::StatusEvent;
use crate::pipeline::Answer;
use crate::store::{
    Claimed, DeliveryFilter, Finish, Finished, Repair, Repaired, Store, StoreError,
};

/// Everything that was seen.
#[derive(Default)]
pub(super) struct Book {
    /// Arrivals, and deliveries that the answers spoke of.
    received: i64,
    planned: i64,
    /// Each delivery as it was last seen.
    rows: BTreeMap<DeliveryId, Delivery>,
    /// Messages that arrived, by delivery.
    receipts: HashMap<DeliveryId, u32>,
    /// How often an operator sent a delivery on its way again.
    pardons: HashMap<DeliveryId, u32>,
    /// Deliveries whose acceptance is recorded.
    accepted: HashSet<DeliveryId>,
    suppressed: HashSet<String>,
    withdrawn: HashSet<String>,
    held_providers: HashSet<String>,
    /// When the newest event came about that makes others of its order unwanted.
    markers: HashMap<String, Timestamp>,
}

impl Book {
    /// One of the deliveries.
    pub(super) fn pick(&self, pick: usize) -> Option<DeliveryId> {
        self.rows.keys().nth(pick.checked_rem(self.rows.len())?).copied()
    }

    /// The deliveries that are held.
    pub(super) fn held(&self) -> Vec<DeliveryId> {
        let held = self.rows.values().filter(|row| row.state == State::Held);
        held.map(|row| row.id).collect()
    }

    pub(super) fn note_answer(
        &mut self,
        (kind, order): (&str, u8),
        time: Timestamp,
        answer: &Answer,
    ) {
        self.received += 1;
        let Answer::Planned { deliveries, .. } = answer else { return };
        self.planned += i64::try_from(*deliveries).unwrap();
        if kind == ARRIVED {
            let marker = self.markers.entry(format!("DH-{order}")).or_insert(time);
            *marker = time.max(*marker);
        }
    }

    /// Checks a claim, and says why the delivery must not be sent by it.
    pub(super) fn note_claim(&self, claimed: &Claimed) -> Result<Option<String>, String> {
        let delivery = &claimed.delivery;
        let id = delivery.id;
        let provider = delivery.provider.as_ref().map(ProviderName::as_str).unwrap_or_default();
        if self.held_providers.contains(provider) {
            return Err(format!("delivery {id} was claimed though {provider} is on hold"));
        }
        let address = delivery.address.as_ref().map(Address::value).unwrap_or_default();
        let order = delivery.business_key.clone().unwrap_or_default();
        let objections = [
            (self.suppressed.contains(&address), "the address is suppressed"),
            (
                delivery.category == Category::Marketing && self.withdrawn.contains(&address),
                "the consent was withdrawn",
            ),
            (
                self.markers.get(&order).is_some_and(|marker| *marker >= claimed.event.time),
                "an event made it unwanted",
            ),
            (
                self.chain_of(delivery).any(|other| other.state == State::Sent),
                "another channel of the same step reached the recipient",
            ),
        ];
        let objection = objections.into_iter().find_map(|(holds, why)| holds.then_some(why));
        Ok(objection.map(str::to_owned))
    }

    /// The other channels of a delivery's step and recipient, where one stands behind another.
    fn chain_of<'a>(&'a self, delivery: &'a Delivery) -> impl Iterator<Item = &'a Delivery> {
        self.rows.values().filter(|other| {
            other.event_type.as_str() == DELAYED
                && other.id != delivery.id
                && (other.event, &other.recipient_key) == (delivery.event, &delivery.recipient_key)
        })
    }

    /// Checks that a message may be handed over.
    pub(super) fn note_sending(
        claimed: &Claimed,
        objection: Option<&str>,
        now: Timestamp,
    ) -> Result<(), String> {
        let Delivery { id, expires_at, .. } = claimed.delivery;
        match objection {
            Some(why) => Err(format!("delivery {id} is sent though {why}")),
            None if now > expires_at => Err(format!("delivery {id} is sent after its expiry")),
            None => Ok(()),
        }
    }

    pub(super) fn note_receipt(&mut self, claimed: &Claimed) {
        *self.receipts.entry(claimed.delivery.id).or_default() += 1;
    }

    pub(super) fn note_finish(
        &mut self,
        finish: &Finish,
        finished: Finished,
    ) -> Result<(), String> {
        let id = finish.claimed.delivery.id;
        let Some(row) = self.rows.get(&id) else { return Ok(()) };
        if finished.was_claimed && finish.settlement.suppresses {
            let address = row.address.as_ref().map(Address::value);
            self.suppressed.extend(address);
        }
        if finished.was_claimed && finish.settlement.holds_provider {
            let provider = row.provider.as_ref().map(|name| name.as_str().to_owned());
            self.held_providers.extend(provider);
        }
        let class = finish.attempt.as_ref().map(|attempt| attempt.class);
        if class == Some(VerdictClass::Accepted) {
            self.accepted.insert(id);
            if finished.state != State::Sent {
                return Err(format!("delivery {id} was accepted and is {:?}", finished.state));
            }
        }
        Ok(())
    }

    pub(super) fn note_repair(&mut self, id: DeliveryId, repair: Repair, repaired: Repaired) {
        let sends = matches!(repair, Repair::Retry { .. } | Repair::Release);
        if sends && matches!(repaired, Repaired::Moved(State::Waiting)) {
            *self.pardons.entry(id).or_default() += 1;
        }
    }

    pub(super) fn note_hold(&mut self, provider: &str, held: bool) {
        match held {
            true => self.held_providers.insert(provider.to_owned()),
            false => self.held_providers.remove(provider),
        };
    }

    pub(super) fn note_suppression(&mut self, address: &Address, suppressed: bool) {
        match suppressed {
            true => self.suppressed.insert(address.value()),
            false => self.suppressed.remove(&address.value()),
        };
    }

    pub(super) fn note_consent(&mut self, address: &Address, granted: bool) {
        match granted {
            true => self.withdrawn.remove(&address.value()),
            false => self.withdrawn.insert(address.value()),
        };
    }

    /// Looks at the whole store: what must hold after each deed.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        (may_reopen, may_purge): (bool, bool),
    ) -> Result<(), String> {
        let told = |error: StoreError| error.to_string();
        let ledger = store.ledger().await.map_err(told)?;
        if !ledger.closes {
            return Err(format!("the ledger does not close: {ledger:?}"));
        }
        let counted = (ledger.events.received, ledger.deliveries.planned);
        if counted != (self.received, self.planned) {
            let told = (self.received, self.planned);
            return Err(format!("received and planned are {counted:?}, but {told:?} were told"));
        }
        let audit = store.audit().await.map_err(told)?;
        if !audit.is_empty() {
            return Err(format!("the audit finds {audit:?}"));
        }
        let rows = store.deliveries(DeliveryFilter::default(), None, 1000).await.map_err(told)?;
        let rows: BTreeMap<DeliveryId, Delivery> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        for (id, before) in &self.rows {
            match rows.get(id) {
                Some(now) => Self::compare(before, now, may_reopen)?,
                None if may_purge && before.state.is_final() => {}
                None => return Err(format!("delivery {id} is gone; it was {:?}", before.state)),
            }
        }
        self.rows = rows;
        self.rows.values().try_for_each(|row| self.check(row))
    }

    /// Checks one delivery's way from one look to the next.
    fn compare(before: &Delivery, now: &Delivery, may_reopen: bool) -> Result<(), String> {
        let (from, to) = (before.state, now.state);
        let is_legal = match from {
            State::Waiting => true,
            State::Held => {
                let onward = [State::Held, State::Waiting, State::Expired, State::Cancelled];
                onward.contains(&to) || to == State::Sent
            }
            State::Sent | State::Delivered => to == from,
            State::Failed | State::Bounced | State::Expired => {
                to == from || to == State::Sent || (may_reopen && to == State::Waiting)
            }
            State::Skipped | State::Cancelled => to == from || to == State::Sent,
        };
        let id = now.id;
        if !is_legal {
            return Err(format!("delivery {id} went from {from:?} to {to:?}"));
        }
        if now.version < before.version || (from != to && now.version == before.version) {
            return Err(format!("delivery {id} moved without a new version"));
        }
        Ok(())
    }

    /// Checks one delivery as it is.
    fn check(&self, row: &Delivery) -> Result<(), String> {
        let (id, receipts) = (row.id, self.receipts.get(&row.id).copied().unwrap_or(0));
        let pardons = self.pardons.get(&id).copied().unwrap_or(0);
        if self.accepted.contains(&id) && row.state != State::Sent {
            return Err(format!("delivery {id} was accepted and is {:?}", row.state));
        }
        if row.attempts > MOST_ATTEMPTS + pardons {
            return Err(format!("delivery {id} was tried {} times", row.attempts));
        }
        if row.event_type.as_str() == DUE && receipts > 1 + pardons {
            return Err(format!("delivery {id} arrived {receipts} times; unknown means hold"));
        }
        Ok(())
    }

    /// What must hold once all is healed and done.
    pub(super) async fn close(&self, store: &Store) -> Result<(), String> {
        let told = |error: StoreError| error.to_string();
        if store.leased().await.map_err(told)? > 0 {
            return Err("something is still claimed".to_owned());
        }
        let mut versions: HashMap<String, Vec<u32>> = HashMap::new();
        for event in all_told(store).await.map_err(told)? {
            let body: Value = serde_json::from_slice(&event.body).unwrap();
            if let (Some(id), Some(version)) = (body["delivery"].as_str(), body["version"].as_u64())
            {
                versions.entry(id.to_owned()).or_default().push(u32::try_from(version).unwrap());
            }
        }
        for row in self.rows.values() {
            if !row.state.is_final() {
                return Err(format!("delivery {} is still {:?}", row.id, row.state));
            }
            let mut told_of = versions.remove(&row.id.to_string()).unwrap_or_default();
            told_of.sort_unstable();
            // What is final when it is planned is told then; what waits is told when it moves.
            let first = if told_of.first() == Some(&1) { 1 } else { 2 };
            if told_of != (first..=row.version).collect::<Vec<_>>() {
                let (id, version) = (row.id, row.version);
                return Err(format!("of {version} versions of {id}, {told_of:?} were told"));
            }
            self.check_attempts(store, row).await?;
        }
        Ok(())
    }

    /// Every message that arrived is on record, and more than one only after an unknown outcome.
    async fn check_attempts(&self, store: &Store, row: &Delivery) -> Result<(), String> {
        let id = row.id;
        let story = store.find_delivery(id).await.map_err(|error| error.to_string())?.unwrap();
        let count = |class| {
            let of_class = story.attempts.iter().filter(|attempt| attempt.class == class);
            u32::try_from(of_class.count()).unwrap()
        };
        let (accepted, unknown) = (count(VerdictClass::Accepted), count(VerdictClass::Unknown));
        let receipts = self.receipts.get(&id).copied().unwrap_or(0);
        if receipts > 1 + unknown || accepted > 1 + unknown {
            return Err(format!(
                "delivery {id} arrived {receipts} times: {accepted} accepted, {unknown} unknown"
            ));
        }
        if receipts > accepted + unknown {
            return Err(format!("delivery {id} arrived without an attempt that says so"));
        }
        if accepted > receipts {
            return Err(format!("delivery {id} was accepted and did not arrive"));
        }
        Ok(())
    }
}

/// Every status event that waits, whichever run wrote it.
async fn all_told(store: &Store) -> Result<Vec<StatusEvent>, StoreError> {
    store.adopt_outbox().await?;
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let taken = store.take_outbox(after, 1_000).await?;
        after = taken.bundles.last().map(|bundle| bundle.id);
        told.extend(taken.bundles.into_iter().flat_map(|bundle| bundle.events));
        if taken.is_all {
            return Ok(told);
        }
    }
}
