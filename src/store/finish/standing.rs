//! Where deliveries stand while answers about them are entered.

use std::collections::{HashMap, HashSet};

use crate::model::delivery::{Delivery, Intent, Reason, State};
use crate::model::event::EventKey;
use crate::model::id::{DeliveryId, LeaseToken};
use crate::store::StoreError;
use crate::store::claim::Claimed;
use crate::store::engine::Tx;
use crate::store::finish::Finish;
use crate::store::rows::{DeliveryRow, NamedEvents, named_events};
use crate::store::waiting::{Claim, Claims, lock_deliveries_behind_claims};

pub(super) fn is_of(claim: &Claim, finish: &Finish) -> bool {
    claim.token == finish.claimed.token
}

/// Where a delivery stands while a batch of answers is entered; it meets each as the one before
/// left it.
pub(super) struct Standing<'a> {
    pub(super) delivery: &'a Delivery,
    /// What status events say of its event.
    pub(super) event: Option<(&'a EventKey, Option<&'a str>)>,
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) attempts: u32,
    pub(super) version: u32,
    pub(super) token: Option<LeaseToken>,
    pub(super) intent: Option<Intent>,
}

impl<'a> Standing<'a> {
    pub(super) fn of(claimed: &'a Claimed, claim: &Claim) -> Self {
        let correlation = claimed.event.correlation_id.as_deref();
        Self::new(&claimed.delivery, Some((&claimed.event.key, correlation)), Some(claim))
    }

    fn new(
        delivery: &'a Delivery,
        event: Option<(&'a EventKey, Option<&'a str>)>,
        claim: Option<&Claim>,
    ) -> Self {
        let Delivery { state, reason, attempts, version, .. } = *delivery;
        let (token, intent) = (claim.map(|claim| claim.token), claim.and_then(|one| one.intent));
        Self { delivery, event, state, reason, attempts, version, token, intent }
    }
}

/// Deliveries whose claim was lost before their answer came: they stand as the store says.
pub(super) struct Others {
    rows: Vec<DeliveryRow>,
    claims: Claims,
    events: NamedEvents,
}

impl Others {
    pub(super) async fn find(
        tx: &mut Tx<'_>,
        claims: &Claims,
        finishes: &[Finish],
        tells: bool,
    ) -> Result<Self, StoreError> {
        let is_claimed =
            |finish: &&Finish| claims.get(&finish.id()).is_some_and(|claim| is_of(claim, finish));
        let lost: HashSet<DeliveryId> =
            finishes.iter().filter(|finish| !is_claimed(finish)).map(Finish::id).collect();
        if lost.is_empty() {
            return Ok(Self { rows: Vec::new(), claims: Claims::new(), events: HashMap::new() });
        }
        let (rows, claims) = lock_deliveries_behind_claims(tx, lost).await?;
        let events = named_events(tx, &rows, tells).await?;
        Ok(Self { rows, claims, events })
    }

    pub(super) fn standings(&self) -> HashMap<DeliveryId, Standing<'_>> {
        let mut standings = HashMap::new();
        for DeliveryRow { delivery, .. } in &self.rows {
            let named = self.events.get(&delivery.event);
            let event = named.map(|named| (&named.key, named.correlation.as_deref()));
            let claim = self.claims.get(&delivery.id);
            standings.insert(delivery.id, Standing::new(delivery, event, claim));
        }
        standings
    }
}
