//! Knows the order of the steps, and nothing else does.
//!
//! *Accept*: intake, plan, store, then whoever handed the events in is told. *Deliver*: claim,
//! gate, render, send, record. Beside them run the sweep (lost leases, expiry, retention), the
//! planning of big audiences, the alarms, and the publishing of status events.

mod accept;
mod alarms;
mod consume;
mod deliver;
mod desks;
mod dispatch;
#[cfg(test)]
mod each_call_fails;
mod figures;
mod gate;
mod line;
mod pages;
mod pulse;
mod rehearse;
mod reread;
mod retention;
mod rulebook;
#[cfg(test)]
mod simulation;
mod sweep;
mod tell;
mod term;
mod trial;
mod untried;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tracing::warn;

use crate::broker::{Consumer, Publisher};
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::pipeline::figures::Figures;
use crate::send::Desk;
use crate::store::{Ages, Store, StoreError, waits};
use crate::telemetry::Metrics;

pub use accept::{Acceptor, Answer, OnReject};
pub use consume::{BATCHES_AT_ONCE, Batching};
pub use deliver::{CutOff, Deliverer};
pub use desks::{Desks, Seat, Station};
pub use rehearse::Rehearsal;
pub use reread::Reread;
pub use rulebook::Rulebook;
pub use trial::Trial;

/// How many held deliveries are released in one transaction.
const ROUND: usize = 500;
/// How many such transactions there are at most.
const MOST_ROUNDS: usize = 1000;
/// How long a stop waits for the store to take what it cut off.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a pipeline is made of.
pub struct Parts {
    /// The store.
    pub store: Store,
    /// What the steps decide by.
    pub rulebook: Arc<ArcSwap<Rulebook>>,
    /// One desk a provider.
    pub desks: Vec<Arc<Desk>>,
    /// The time.
    pub clock: Clock,
    /// Where everything runs.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// How long things are kept.
    pub ages: Ages,
    /// Whether Loa raises its own alarms as events.
    pub alarms: bool,
}

/// The running halves.
#[derive(Clone)]
pub struct Pipeline {
    acceptor: Acceptor,
    deliverer: Deliverer,
    desks: Arc<Desks>,
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    figures: Figures,
}

impl Pipeline {
    /// Starts everything in the background.
    pub fn start(parts: Parts) -> Self {
        let Parts { store, rulebook, clock, tasks, metrics, lease, .. } = &parts;
        let times = (clock.clone(), tasks.clone());
        let deliverer =
            Deliverer::new(store.clone(), Arc::clone(rulebook), times, Arc::clone(metrics));
        let stations = parts.desks.iter().map(|desk| Arc::new(Station::new(Arc::clone(desk))));
        let desks = Arc::new(Desks::new(stations.collect(), deliverer.clone(), *lease));
        let acceptor = Acceptor::new(
            store.clone(),
            Arc::clone(rulebook),
            Arc::clone(&desks),
            clock.clone(),
            Arc::clone(metrics),
        );
        for station in desks.stations() {
            let dispatcher = dispatch::Dispatcher {
                station: Arc::clone(station),
                deliverer: deliverer.clone(),
                store: store.clone(),
                clock: clock.clone(),
                metrics: Arc::clone(metrics),
                lease: *lease,
            };
            tasks.spawn(dispatcher.run());
        }
        let (store, clock, metrics) = (store.clone(), clock.clone(), Arc::clone(metrics));
        let figures = Figures {
            store: store.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            looks: Arc::default(),
        };
        let pipeline = Self { acceptor, deliverer, desks, store, clock, metrics, figures };
        pulse::start(&pipeline, &parts);
        sweep::start(&pipeline, &parts);
        retention::start(&parts);
        pages::start(&pipeline, &parts);
        pipeline
    }

    /// Takes events in from a broker.
    pub fn consume(&self, consumer: Consumer, batching: Batching, tasks: &Tasks) {
        consume::start(self.acceptor.clone(), consumer, batching, tasks);
    }

    /// Tells the world by a broker what becomes of events and deliveries.
    pub fn tell(&self, publisher: Publisher, metrics: &Arc<Metrics>, tasks: &Tasks) {
        tell::start(self.store.clone(), publisher, Arc::clone(metrics), tasks);
    }

    /// Every metric as text, those of the store as it counts now; as it counted last, if it does
    /// not answer.
    pub async fn metrics(&self) -> String {
        if let Err(error) = self.figures.show_with_others().await {
            waits::say("the figures of the store are not of now", &error);
        }
        self.metrics.text()
    }

    /// Takes arrivals in.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// Every provider's desk in this process.
    pub fn desks(&self) -> &Arc<Desks> {
        &self.desks
    }

    /// How many claims this process holds.
    pub fn in_flight(&self) -> usize {
        self.deliverer.in_flight()
    }

    /// Returns once nothing can be done before the clock moves on: the next moment at which
    /// something is due, or a provider's pause is over, if there is one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn run_until_idle(&self) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let now = self.clock.now();
            let backlog = self.store.backlog().await?;
            let agenda = self.store.agenda().await?;
            let next = agenda.next_due;
            // What is claimed is not due any more, and this process may not know yet that it has
            // it.
            if backlog.pages == 0 && agenda.claimed == 0 && self.in_flight() == 0 {
                let stations = self.desks.stations();
                let pauses = stations
                    .flat_map(|station| [station.desk.opens_at(), station.desk.rate_allows_at()])
                    .flatten();
                let pause = pauses.filter(|opens| *opens > now).min();
                match next {
                    Some(due) if due > now => return Ok(Some(due)),
                    None => return Ok(None),
                    Some(_) if pause.is_some() => return Ok(pause),
                    Some(_) => {}
                }
            }
            self.desks.wake_all();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Releases what a fault of a template held, so that the templates of now are tried; returns
    /// how many.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn release_render_held(&self) -> Result<usize, StoreError> {
        let mut released = 0;
        // What is still at fault is held again meanwhile, so that there may be no end to it.
        for _ in 0..MOST_ROUNDS {
            let count = self.store.release_render_held(ROUND).await?;
            released += count;
            if count < ROUND {
                break;
            }
        }
        if released > 0 {
            self.desks.wake_all();
        }
        Ok(released)
    }

    /// Lets a manual clock go on as real time does, from where it stands.
    pub fn follow_the_clock(&self, tasks: &Tasks) {
        const TICK: Duration = Duration::from_millis(100);
        let (clock, soft) = (self.clock.clone(), tasks.soft().clone());
        tasks.spawn(async move {
            while !soft.is_cancelled() {
                tokio::time::sleep(TICK).await;
                clock.advance(TICK);
            }
        });
    }

    /// Records what a hard stop left in flight, and says what that was; call it when all tasks have
    /// ended.
    pub async fn record_what_is_left(&self) -> CutOff {
        let left = self.deliverer.cut_off();
        let cut_off = CutOff::of(&left);
        // A store that is away must not keep the process from ending: the leases end by themselves.
        let record = tokio::time::timeout(LAST_WORDS, self.deliverer.record_cut_off(left));
        if record.await.is_err() {
            warn!("the store did not take what the stop cut off; the leases of it will end");
        }
        cut_off
    }
}
