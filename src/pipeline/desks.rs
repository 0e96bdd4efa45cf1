//! Every provider's desk in this process, and the short way from planning to sending.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::lifecycle::Tasks;
use crate::model::delivery::{Delivery, GateFacts, Lease, State};
use crate::model::id::{DeliveryId, LeaseToken, ProviderName};
use crate::send::{Desk, Slot};
use crate::store::{Acceptance, Accepted, Claimed, EventFacts};

use super::deliver::Deliverer;
use super::term::Term;

/// One provider's desk, and what the dispatcher knows of its queue.
pub struct Station {
    /// The desk.
    pub desk: Arc<Desk>,
    wake: Notify,
    /// The last claim found less than it asked for, and nothing due was planned since.
    is_drained: AtomicBool,
    is_held: AtomicBool,
}

impl Station {
    /// A station of which nothing is known yet.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            wake: Notify::new(),
            is_drained: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
        }
    }

    /// Remembers whether a claim emptied the queue.
    pub(super) fn note_claim(&self, is_drained: bool) {
        self.is_drained.store(is_drained, Ordering::Relaxed);
    }

    /// Whether the provider is on hold.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Puts the provider on hold, or ends that, as the store says.
    pub(super) fn set_held(&self, held: bool) {
        if self.is_held.swap(held, Ordering::Relaxed) && !held {
            self.wake.notify_one();
        }
    }

    /// Returns when something due was planned for the provider.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Says that there may be something to claim.
    pub(super) fn wake(&self) {
        self.is_drained.store(false, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// A slot for a delivery that is being planned, if it may be sent without being claimed.
    fn reserve(&self) -> Option<Slot> {
        let may_skip_queue = self.is_drained.load(Ordering::Relaxed)
            && !self.is_held()
            && self.desk.settings().rate.is_none()
            && self.desk.allowance() == usize::MAX;
        if !may_skip_queue {
            return None;
        }
        self.desk.take_slots(1).pop()
    }
}

/// All stations by provider.
pub struct Desks {
    stations: BTreeMap<ProviderName, Arc<Station>>,
    deliverer: Deliverer,
    lease: Duration,
}

/// What is to happen once a batch is committed.
#[derive(Default)]
pub(super) struct Reservation {
    /// Leased while planned, each with the slot that waits for it.
    leased: Vec<(Arc<Station>, (Claimed, Term), Slot)>,
    /// Stations with something new to claim.
    to_wake: Vec<Arc<Station>>,
}

impl Reservation {
    fn wake_later(&mut self, station: &Arc<Station>) {
        station.is_drained.store(false, Ordering::Relaxed);
        if !self.to_wake.iter().any(|known| Arc::ptr_eq(known, station)) {
            self.to_wake.push(Arc::clone(station));
        }
    }
}

impl Desks {
    /// The desks of this process; leases last `lease`.
    pub fn new(stations: Vec<Arc<Station>>, deliverer: Deliverer, lease: Duration) -> Self {
        let named = |station: Arc<Station>| (station.desk.name().clone(), station);
        Self { stations: stations.into_iter().map(named).collect(), deliverer, lease }
    }

    /// Every station.
    pub fn stations(&self) -> impl Iterator<Item = &Arc<Station>> {
        self.stations.values()
    }

    /// The tasks that deliveries run in.
    pub(super) fn tasks(&self) -> &Tasks {
        self.deliverer.tasks()
    }

    /// The station of a provider.
    pub fn find(&self, provider: &ProviderName) -> Option<&Arc<Station>> {
        self.stations.get(provider)
    }

    /// Heeds a hold, or its end, at once; other processes see it at their next look at the store.
    pub fn heed_hold(&self, provider: &ProviderName, held: bool) {
        if let Some(station) = self.stations.get(provider) {
            station.set_held(held);
            station.wake();
        }
    }

    /// Wakes every dispatcher, after something made deliveries due that no planning did.
    pub fn wake_all(&self) {
        self.stations.values().for_each(|station| station.wake());
    }

    /// Leases what is due now and finds a free slot, so that it goes straight to its sender.
    pub(super) fn reserve(&self, batch: &mut [Acceptance], now: Timestamp) -> Reservation {
        let (mut reservation, term) = (Reservation::default(), self.deliverer.term(self.lease));
        for acceptance in batch {
            let Acceptance::Planned(planned) = acceptance else { continue };
            let mut event = None;
            for row in &mut planned.deliveries {
                if row.delivery.state != State::Waiting || row.delivery.due_at > now {
                    continue;
                }
                let Some(station) = self.station_of(&row.delivery) else { continue };
                // What an earlier event may have made unwanted is looked at when it is claimed.
                let slot = if row.unless.is_empty() { station.reserve() } else { None };
                let Some(slot) = slot else {
                    reservation.wake_later(station);
                    continue;
                };
                let token = LeaseToken::new(now);
                row.lease = Some(Lease { token, lasts: self.lease });
                let event = event.get_or_insert_with(|| Arc::new(EventFacts::of(&planned.event)));
                let claimed = Claimed {
                    delivery: Delivery { attempts: 1, ..row.delivery.clone() },
                    token,
                    attempt: 1,
                    event: Arc::clone(event),
                    gate: GateFacts::default(),
                };
                reservation.leased.push((Arc::clone(station), (claimed, term), slot));
            }
        }
        reservation
    }

    /// Sends what was leased and is committed; wakes the dispatchers for the rest.
    pub(super) fn hand_over(&self, reservation: Reservation, accepted: &[Accepted]) {
        let committed: HashSet<&DeliveryId> = accepted.iter().flat_map(Accepted::leased).collect();
        for (station, (claimed, term), slot) in reservation.leased {
            if committed.contains(&claimed.delivery.id) {
                self.deliverer.start(station, (Arc::new(claimed), term), slot);
            }
        }
        reservation.to_wake.iter().for_each(|station| station.wake());
    }

    fn station_of(&self, delivery: &Delivery) -> Option<&Arc<Station>> {
        self.stations.get(delivery.provider.as_ref()?)
    }
}
