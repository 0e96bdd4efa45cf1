//! One claimed delivery from the gate to its record: gate, render, send, record.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use jiff::Timestamp;
use tracing::{Instrument, Span, debug, error, info_span, warn};

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::delivery::{Delivery, Reason, Settlement, State};
use crate::model::id::{DeliveryId, LeaseToken};
use crate::model::message::{Envelope, Message};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::pipeline::desks::{Seat, Station};
use crate::pipeline::gate::ask_gate;
use crate::pipeline::rulebook::Rulebook;
use crate::pipeline::term::Term;
use crate::pipeline::untried::{broken_down, given_back};
use crate::record::{self, Recorder, Tried};
use crate::render::Rendered;
use crate::send::Slot;
use crate::store::waits;
use crate::store::{Claimed, Finish, Store, TakenOver};
use crate::telemetry::{Metrics, trace_id};

/// Delivers what is claimed, each delivery in a task of its own.
#[derive(Clone)]
pub struct Deliverer {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    recorder: Recorder,
    rulebook: Arc<ArcSwap<Rulebook>>,
    clock: Clock,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    in_flight: Mutex<HashMap<Lease, InFlight>>,
}

/// What tells one claim of a delivery from a later one.
type Lease = (DeliveryId, LeaseToken);

/// A claim that this process holds.
struct InFlight {
    claimed: Arc<Claimed>,
    term: Term,
    /// When the provider was asked; `None` before that.
    began_at: Option<Timestamp>,
}

impl Deliverer {
    /// A deliverer with nothing in flight.
    pub fn new(
        store: Store,
        rulebook: Arc<ArcSwap<Rulebook>>,
        (clock, tasks): (Clock, Tasks),
        metrics: Arc<Metrics>,
    ) -> Self {
        let recorder = Recorder::new(store.clone(), Arc::clone(&metrics), store.writers());
        let in_flight = Mutex::default();
        let inner = Inner { store, recorder, rulebook, clock, tasks, metrics, in_flight };
        Self { inner: Arc::new(inner) }
    }

    /// The tasks that deliveries run in.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// The time that deliveries go by.
    pub(super) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// How many claims this process holds.
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight().len()
    }

    /// The claims that this process works on.
    pub(super) fn leases(&self) -> Vec<(DeliveryId, LeaseToken)> {
        self.inner.in_flight().keys().copied().collect()
    }

    /// Those of them whose leases are not over.
    pub(super) fn live_leases(&self) -> Vec<(DeliveryId, LeaseToken)> {
        let in_flight = self.inner.in_flight();
        let live = in_flight.iter().filter(|(_, entry)| !entry.term.is_over(&self.inner.clock));
        live.map(|(lease, _)| *lease).collect()
    }

    /// The term of claims that the store is asked for now.
    pub(crate) fn term(&self, lease: Duration) -> Term {
        Term::of(lease, &self.inner.clock)
    }

    /// Notes that the store has renewed `claims`; one that was over before may have been lost.
    pub(super) fn renewed(&self, claims: &[(DeliveryId, LeaseToken)], term: Term) {
        let mut in_flight = self.inner.in_flight();
        for claim in claims {
            if let Some(entry) = in_flight.get_mut(claim) {
                entry.term = term;
            }
        }
    }

    /// Delivers one claimed delivery in the background, unless `term` is over before it goes out.
    pub(crate) fn start(
        &self,
        station: Arc<Station>,
        (claimed, term): (Arc<Claimed>, Term),
        seat: Seat,
    ) {
        let inner = Arc::clone(&self.inner);
        let entry = InFlight { claimed: Arc::clone(&claimed), term, began_at: None };
        inner.in_flight().insert(lease(&claimed), entry);
        let span = span_of(&claimed);
        let deliver = async move {
            let deliver = inner.deliver(&station, &claimed, seat);
            // A panic must not take the end of the claim with it: it would be renewed for ever.
            if AssertUnwindSafe(deliver).catch_unwind().await.is_err() {
                inner.break_down(&station, &claimed).await;
            }
            inner.in_flight().remove(&lease(&claimed));
        };
        self.inner.tasks.spawn(deliver.instrument(span));
    }

    /// The record of a delivery whose worker was lost.
    pub(super) fn settle_unknown(&self, claimed: &Arc<Claimed>, outcome: Outcome) -> Finish {
        let now = self.inner.clock.now();
        let tried = Tried { outcome, started_at: now, finished_at: now, template_version: None };
        let rulebook = self.inner.rulebook.load();
        record::outcome(claimed, tried, &rulebook.catalogue, fastrand::f64())
    }

    /// What a hard stop left: what was begun has an outcome that nobody knows, and the rest is
    /// given back.
    pub(super) fn cut_off(&self) -> Vec<Finish> {
        let left: Vec<InFlight> = self.inner.in_flight().drain().map(|(_, one)| one).collect();
        left.into_iter().map(|one| self.inner.cut_off(one)).collect()
    }

    /// Records what a hard stop left.
    pub(super) async fn record_cut_off(&self, finishes: Vec<Finish>) {
        let count = finishes.len();
        if count > 0 && self.inner.store.finish(finishes).await.is_err() {
            warn!("could not record {count} deliveries cut off by the stop; their leases will end");
        }
    }
}

impl Inner {
    fn in_flight(&self) -> std::sync::MutexGuard<'_, HashMap<Lease, InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deliver(&self, station: &Station, claimed: &Arc<Claimed>, seat: Seat) {
        let Some(mut slot) = station.seated(seat, (&self.clock, &self.tasks)).await else {
            let finish = record::without_try(claimed, given_back(&claimed.delivery));
            self.finish(station, &claimed.delivery, finish).await;
            station.wake();
            return;
        };
        let rulebook = self.rulebook.load_full();
        let began = self.clock.monotonic();
        let finish = match self.prepare(station, claimed, &rulebook).await {
            Ok(message) => self.send((station, &mut slot), claimed, message, &rulebook).await,
            Err(settlement) => record::without_try(claimed, settlement),
        };
        if finish.settlement.holds_provider {
            // Before the slot is free, so that no further call begins.
            station.set_held(true);
        }
        drop(slot);
        station.note_call(self.clock.monotonic().saturating_sub(began));
        if station.desk.allowance() != usize::MAX {
            // The breaker counts calls; now that this one is over it may let the next begin.
            station.wake();
        }
        self.finish(station, &claimed.delivery, finish).await;
    }

    /// Records a delivery that a fault of Loa itself broke off.
    async fn break_down(&self, station: &Station, claimed: &Arc<Claimed>) {
        let id = claimed.delivery.id;
        error!(delivery.id = %id, "a fault of Loa itself broke off delivery {id}");
        let entry = self.in_flight().remove(&lease(claimed));
        let began_at = entry.and_then(|one| one.began_at);
        let finish = match began_at {
            Some(began_at) => self.unknown(claimed, began_at, "Loa broke down during the call"),
            None => broken_down(claimed),
        };
        self.finish(station, &claimed.delivery, finish).await;
    }

    /// Asks the gate, the window and the renderer; `Err` says where it goes instead.
    async fn prepare(
        &self,
        station: &Station,
        claimed: &Claimed,
        rulebook: &Rulebook,
    ) -> Result<(Envelope, Option<String>), Settlement> {
        let delivery = &claimed.delivery;
        ask_gate(claimed, rulebook, self.clock.now())?;
        let (message, version) = self.render(station, claimed, rulebook).await?;
        let Some(to) = delivery.address.clone() else {
            let (state, reason) = (State::Skipped, Reason::NoAddress);
            return Err(Settlement::uncounted(state, reason, delivery.due_at));
        };
        if !self.still_holds(claimed) {
            return Err(given_back(delivery));
        }
        self.take_over(claimed).await?;
        if self.tasks.is_stopping() {
            return Err(given_back(delivery));
        }
        // The store may have taken long: what was in time at the claim may be too late now.
        ask_gate(claimed, rulebook, self.clock.now())?;
        let envelope = Envelope {
            delivery: delivery.id,
            attempt: claimed.attempt,
            event_type: delivery.event_type.clone(),
            at: self.clock.now(),
            business_key: delivery.business_key.clone(),
            to,
            to_name: delivery.recipient.name.clone(),
            data: Arc::clone(&claimed.event.data),
            message,
        };
        Ok((envelope, version))
    }

    async fn send(
        &self,
        (station, slot): (&Station, &mut Slot),
        claimed: &Arc<Claimed>,
        (envelope, template_version): (Envelope, Option<String>),
        rulebook: &Rulebook,
    ) -> Finish {
        let started_at = envelope.at;
        if !self.begin(claimed, started_at) {
            let id = claimed.delivery.id;
            warn!(delivery.id = %id, "gave delivery {id} up: its lease was over before its call began");
            return record::without_try(claimed, given_back(&claimed.delivery));
        }
        let outcome = station.desk.send(&envelope, slot).await;
        let finished_at = self.clock.now();
        let took = finished_at.duration_since(started_at).unsigned_abs();
        let class = outcome.verdict.class().as_str();
        self.metrics.count_attempt(station.desk.name().as_str(), class, took);
        let tried = Tried { outcome, started_at, finished_at, template_version };
        record::outcome(claimed, tried, &rulebook.catalogue, fastrand::f64())
    }

    /// Whether the claim is still this process's, as far as it can know.
    fn still_holds(&self, claimed: &Claimed) -> bool {
        let in_flight = self.in_flight();
        in_flight.get(&lease(claimed)).is_some_and(|entry| !entry.term.is_over(&self.clock))
    }

    /// Notes that the call begins, unless the claim is not this process's any more.
    fn begin(&self, claimed: &Claimed, at: Timestamp) -> bool {
        let mut in_flight = self.in_flight();
        let entry = in_flight.get_mut(&lease(claimed));
        let Some(entry) = entry.filter(|entry| !entry.term.is_over(&self.clock)) else {
            return false;
        };
        entry.began_at = Some(at);
        true
    }

    /// Renders late, so that a mended template repairs what is waiting.
    async fn render(
        &self,
        station: &Station,
        claimed: &Claimed,
        rulebook: &Rulebook,
    ) -> Result<(Message, Option<String>), Settlement> {
        let delivery = &claimed.delivery;
        let rendered = rulebook
            .render(delivery, &claimed.event, station.desk.dialect(), self.clock.now())
            .map_err(|fault| {
                let id = delivery.id;
                warn!(delivery.id = %id, "held delivery {id}: its message does not render");
                Settlement::uncounted(State::Held, Reason::RenderFault, delivery.due_at)
                    .with_detail(fault.to_string())
            })?;
        self.keep_version(&rendered, rulebook).await;
        Ok((rendered.message, Some(rendered.template_version)))
    }

    /// Keeps the source of a template version once, so that what was sent can be shown again.
    async fn keep_version(&self, rendered: &Rendered, rulebook: &Rulebook) {
        let version = &rendered.template_version;
        if !rulebook.is_new_version(version) {
            return;
        }
        let Some(source) = rulebook.templates.source(version) else { return };
        let kept = self.store.keep_template_version(version.clone(), source.to_owned()).await;
        match kept {
            Ok(()) => rulebook.remember_version(version),
            Err(error) => {
                waits::say(&format!("template version {version} is kept later"), &error);
            }
        }
    }

    /// A fallback whose time has come replaces the channels before it, unless one of them was sent
    /// meanwhile. Without the store's word nothing is sent: both might be.
    async fn take_over(&self, claimed: &Claimed) -> Result<(), Settlement> {
        let delivery = &claimed.delivery;
        let Some(before) = delivery.after else { return Ok(()) };
        let id = delivery.id;
        match self.store.take_over_from(before, lease(claimed)).await {
            Ok(TakenOver::Done) => Ok(()),
            Ok(TakenOver::Lost) => {
                warn!(delivery.id = %id, "gave delivery {id} up: another one has claimed it");
                Err(given_back(delivery))
            }
            Ok(TakenOver::NotNeeded) => {
                let (state, reason) = (State::Cancelled, Reason::FallbackNotNeeded);
                Err(Settlement::uncounted(state, reason, delivery.due_at))
            }
            Err(error) => {
                let what = format!("delivery {id} waits for what became of the channel before it");
                waits::say(&what, &error);
                Err(given_back(delivery))
            }
        }
    }

    async fn finish(&self, station: &Station, delivery: &Delivery, finish: Finish) {
        let holds_provider = finish.settlement.holds_provider;
        let finished = self.recorder.record(finish).await;
        if holds_provider {
            let provider = station.desk.name();
            station.set_held(true);
            error!(%provider, "put provider {provider} on hold: it is misconfigured");
        }
        let (id, state, reason) = (delivery.id, finished.state.as_str(), finished.reason.as_str());
        debug!(delivery.id = %id, delivery.state = state, reason, "delivery {id} is {state} ({reason})");
    }

    /// The record of a delivery that a hard stop cut off.
    fn cut_off(&self, one: InFlight) -> Finish {
        let InFlight { claimed, began_at, .. } = one;
        match began_at {
            Some(began_at) => {
                let text = "cut off by a stop before its answer was recorded";
                self.unknown(&claimed, began_at, text)
            }
            None => record::without_try(&claimed, given_back(&claimed.delivery)),
        }
    }

    /// The record of a call whose end nobody knows.
    fn unknown(&self, claimed: &Arc<Claimed>, started_at: Timestamp, text: &str) -> Finish {
        let answer = Answer::new(None, text);
        let outcome = Outcome { verdict: Verdict::Unknown, answer, captured: None };
        let finished_at = self.clock.now();
        let tried = Tried { outcome, started_at, finished_at, template_version: None };
        let rulebook = self.rulebook.load();
        record::outcome(claimed, tried, &rulebook.catalogue, fastrand::f64())
    }
}

/// What a hard stop cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// Deliveries that a provider had been asked for: nobody knows what came of them.
    pub unknown: usize,
    /// Deliveries that no provider had been asked for.
    pub given_back: usize,
}

impl CutOff {
    pub(super) fn of(left: &[Finish]) -> Self {
        let unknown = left.iter().filter(|finish| finish.attempt.is_some()).count();
        Self { unknown, given_back: left.len() - unknown }
    }
}

fn lease(claimed: &Claimed) -> Lease {
    (claimed.delivery.id, claimed.token)
}

/// The span of a traced event's delivery: what is logged in it names the trace.
fn span_of(claimed: &Claimed) -> Span {
    let trace = claimed.event.traceparent.as_deref().and_then(trace_id);
    let Some(trace) = trace else { return Span::none() };
    info_span!("delivery", delivery.id = %claimed.delivery.id, trace.id = trace)
}
