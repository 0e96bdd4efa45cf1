//! Every provider's desk in this process, and the short way from planning to sending.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::catalogue::{Catalogue, OnUnknown};
use crate::model::delivery::{Delivery, GateFacts, Lease, State};
use crate::model::id::{DeliveryId, LeaseToken, ProviderName};
use crate::record;
use crate::send::{Desk, Slot};
use crate::store::{Acceptance, Accepted, Claimed, EventFacts};

use super::deliver::Deliverer;
use super::line::{Line, PATIENCE, Place};
use super::term::Term;

/// How long accepting waits for room in line, rather than let deliveries wait in the store.
const FOR_ROOM: Duration = Duration::from_millis(250);

/// One provider's desk, and what the dispatcher knows of its queue.
pub struct Station {
    /// The desk.
    pub desk: Arc<Desk>,
    line: Arc<Line>,
    wake: Notify,
    /// The last claim found less than it asked for, and nothing due was planned since.
    is_drained: AtomicBool,
    is_held: AtomicBool,
}

impl Station {
    /// A station of which nothing is known yet.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            line: Line::new(desk.settings().concurrency),
            desk,
            wake: Notify::new(),
            is_drained: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
        }
    }

    /// Remembers whether a claim emptied the queue.
    pub(crate) fn note_claim(&self, is_drained: bool) {
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

    /// Whether a delivery may be sent without being claimed: nothing waits, and nothing forbids a
    /// call.
    pub(crate) fn may_skip_queue(&self) -> bool {
        self.is_drained.load(Ordering::Relaxed)
            && !self.is_held()
            && self.desk.settings().rate.is_none()
            && self.desk.allowance() == usize::MAX
    }

    /// A slot for a delivery that is being planned, or a place in line if it `may_stand` there.
    pub(crate) fn reserve(&self, may_stand: bool) -> Option<Seat> {
        if !self.may_skip_queue() {
            return None;
        }
        match self.desk.take_slots(1).pop() {
            Some(slot) => Some(Seat::Slot(slot)),
            None if may_stand => self.line.stand().map(Seat::InLine),
            None => None,
        }
    }

    /// The slot of this seat; `None` if it does not come soon or before the soft stop, or if the
    /// provider must not be called any more.
    pub(crate) async fn seated(
        &self,
        seat: Seat,
        (clock, tasks): (&Clock, &Tasks),
    ) -> Option<Slot> {
        let _place = match seat {
            Seat::Slot(slot) => return Some(slot),
            Seat::InLine(place) => place,
        };
        let slot = tokio::select! {
            biased;
            slot = self.desk.wait_for_slot() => slot?,
            () = clock.sleep(PATIENCE) => return None,
            () = tasks.soft().cancelled() => return None,
        };
        (!self.is_held() && self.desk.allowance() == usize::MAX).then_some(slot)
    }

    /// Whether somebody waits for room in line.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.line.is_waited_for()
    }

    /// Notes how long a slot was taken that is free now.
    pub(crate) fn note_call(&self, took: Duration) {
        self.line.learn(took);
    }
}

/// What a delivery is sent from.
#[derive(Debug)]
pub enum Seat {
    /// A slot that is its own.
    Slot(Slot),
    /// A place in line for one.
    InLine(Place),
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
    /// Leased while planned, each with the seat that waits for it.
    leased: Vec<(Arc<Station>, (Claimed, Term), Seat)>,
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
    pub(crate) fn tasks(&self) -> &Tasks {
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

    /// Leases what is due now and finds a seat, so that it goes straight to its sender.
    ///
    /// Where the line is full it waits a little: it is soon worked off, and what finds no seat must
    /// be written to what waits and claimed from there. What is not tried again when nobody knows
    /// what became of it never stands there: of what is leased when a process is killed nobody
    /// knows whether its call had begun.
    pub(super) async fn reserve(
        &self,
        batch: &mut [Acceptance],
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Reservation {
        let may_stand = |delivery: &Delivery| {
            let policy = record::policy_for(catalogue, delivery);
            policy.on_unknown == OnUnknown::Retry && policy.retry.max_attempts > 1
        };
        let wanted = self.wanted(batch, may_stand, now);
        let mut turns = Vec::with_capacity(wanted.len());
        let wait = async {
            // In the order of their names, so that two batches do not wait in a circle.
            for (station, count) in wanted {
                turns.push(station.line.wait_for_room(count, || station.desk.free_slots()).await);
            }
        };
        // Whoever has no seat by then waits in the store.
        tokio::select! {
            biased;
            () = wait => {}
            () = self.deliverer.clock().sleep(FOR_ROOM) => {}
        }
        self.lease(batch, may_stand, now)
    }

    /// How many of `batch` want a seat at each station that gives some.
    fn wanted(
        &self,
        batch: &[Acceptance],
        may_stand: impl Fn(&Delivery) -> bool,
        now: Timestamp,
    ) -> Vec<(&Station, usize)> {
        let mut wanted: BTreeMap<&ProviderName, usize> = BTreeMap::new();
        for acceptance in batch {
            let Acceptance::Planned(planned) = acceptance else { continue };
            let rows = planned.deliveries.iter().filter(|row| row.unless.is_empty());
            let due = rows.map(|row| &row.delivery).filter(|delivery| is_due(delivery, now));
            let standing = due.filter(|delivery| may_stand(delivery));
            for provider in standing.filter_map(|delivery| delivery.provider.as_ref()) {
                *wanted.entry(provider).or_default() += 1;
            }
        }
        let station = |(name, count)| Some((self.stations.get(name)?.as_ref(), count));
        let found = wanted.into_iter().filter_map(station);
        found.filter(|(station, _)| station.may_skip_queue()).collect()
    }

    fn lease(
        &self,
        batch: &mut [Acceptance],
        may_stand: impl Fn(&Delivery) -> bool,
        now: Timestamp,
    ) -> Reservation {
        let (mut reservation, term) = (Reservation::default(), self.deliverer.term(self.lease));
        for acceptance in batch {
            let Acceptance::Planned(planned) = acceptance else { continue };
            let mut event = None;
            for row in &mut planned.deliveries {
                if !is_due(&row.delivery, now) {
                    continue;
                }
                let Some(station) = self.station_of(&row.delivery) else { continue };
                // What an earlier event may have made unwanted is looked at when it is claimed.
                let seat = match row.unless.is_empty() {
                    true => station.reserve(may_stand(&row.delivery)),
                    false => None,
                };
                let Some(seat) = seat else {
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
                reservation.leased.push((Arc::clone(station), (claimed, term), seat));
            }
        }
        reservation
    }

    /// Sends what was leased and is committed; wakes the dispatchers for the rest.
    pub(super) fn hand_over(&self, reservation: Reservation, accepted: &[Accepted]) {
        let committed: HashSet<&DeliveryId> = accepted.iter().flat_map(Accepted::leased).collect();
        for (station, (claimed, term), seat) in reservation.leased {
            if committed.contains(&claimed.delivery.id) {
                self.deliverer.start(station, (Arc::new(claimed), term), seat);
            }
        }
        reservation.to_wake.iter().for_each(|station| station.wake());
    }

    fn station_of(&self, delivery: &Delivery) -> Option<&Arc<Station>> {
        self.stations.get(delivery.provider.as_ref()?)
    }
}

fn is_due(delivery: &Delivery, now: Timestamp) -> bool {
    delivery.state == State::Waiting && delivery.due_at <= now
}
