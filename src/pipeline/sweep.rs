//! Looks after what nobody claims: lost leases, expiry, holds, the ledger's figures.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::pipeline::alarms::Alarms;
use crate::pipeline::deliver::Deliverer;
use crate::pipeline::desks::Desks;
use crate::pipeline::figures::Figures;
use crate::pipeline::{Parts, Pipeline};
use crate::store::waits::{self, Waits};
use crate::store::{Store, StoreError};
use crate::telemetry::{BreakerState, Metrics};

/// How often leases, expiry and holds are looked at.
const BEAT: Duration = Duration::from_secs(1);
/// After how many beats slower things are done: counters folded, figures shown, alarms raised.
const SLOW_BEATS: u32 = 30;
/// The most rows of one sweep of one sort.
const LIMIT: usize = 500;

/// Starts the sweep and the renewal of leases.
pub(super) fn start(pipeline: &Pipeline, parts: &Parts) {
    let sweep = Sweep {
        store: parts.store.clone(),
        deliverer: pipeline.deliverer.clone(),
        desks: Arc::clone(&pipeline.desks),
        clock: parts.clock.clone(),
        tasks: parts.tasks.clone(),
        metrics: Arc::clone(&parts.metrics),
        figures: pipeline.figures.clone(),
        lease: parts.lease,
        alarms: parts.alarms.then(|| {
            Alarms::new(parts.store.clone(), pipeline.acceptor.clone(), parts.clock.clone())
        }),
    };
    parts.tasks.spawn_last(renew(sweep.store.clone(), sweep.deliverer.clone(), parts.lease));
    parts.tasks.spawn(sweep.run());
}

/// Renews every lease of this process long before it ends, also while a stop waits for what is in
/// flight.
async fn renew(store: Store, deliverer: Deliverer, lease: Duration) {
    let tasks = deliverer.tasks().clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(lease / 3) => {}
            () = tasks.last().cancelled() => return,
        }
        // What is over is renewed too, if nobody has taken it over: its call may be under way.
        let (claims, live) = (deliverer.leases(), deliverer.live_leases());
        if claims.is_empty() {
            continue;
        }
        let term = deliverer.term(lease);
        match store.renew(claims, lease).await {
            Ok(()) => deliverer.renewed(&live, term),
            Err(error) => waits::say("leases are renewed later", &error),
        }
    }
}

struct Sweep {
    store: Store,
    deliverer: Deliverer,
    desks: Arc<Desks>,
    clock: Clock,
    tasks: Tasks,
    metrics: Arc<Metrics>,
    figures: Figures,
    lease: Duration,
    alarms: Option<Alarms>,
}

impl Sweep {
    async fn run(self) {
        let mut waits = Waits::default();
        for beat in 0.. {
            match self.once(beat % SLOW_BEATS == 0).await {
                Ok(()) => waits.over(),
                Err(error) => waits.say("the sweep waits", &error),
            }
            tokio::select! {
                () = self.tasks.soft().cancelled() => return,
                () = self.clock.sleep(BEAT) => {}
            }
        }
    }

    async fn once(&self, is_slow: bool) -> Result<(), StoreError> {
        self.take_over_lost_leases().await?;
        self.store.expire(LIMIT).await?;
        self.heed_holds().await?;
        if is_slow {
            self.store.fold_counters().await?;
            self.heed_figures().await?;
        }
        Ok(())
    }

    /// A lease that ended leaves an attempt whose outcome nobody knows.
    async fn take_over_lost_leases(&self) -> Result<(), StoreError> {
        let ours = self.deliverer.leases();
        let lost = self.store.claim_expired(LIMIT, self.lease, ours).await?;
        if lost.is_empty() {
            return Ok(());
        }
        let count = lost.len();
        info!("took over {count} deliveries whose worker was lost; their outcome is unknown");
        let outcome = Outcome {
            verdict: Verdict::Unknown,
            answer: Answer::new(None, "the worker was lost before it recorded an answer"),
            captured: None,
        };
        let finishes = lost
            .iter()
            .map(|claimed| self.deliverer.settle_unknown(claimed, outcome.clone()))
            .collect();
        self.store.finish(finishes).await?;
        self.desks.wake_all();
        Ok(())
    }

    async fn heed_holds(&self) -> Result<(), StoreError> {
        let holds = self.store.provider_holds().await?;
        for station in self.desks.stations() {
            let name = station.desk.name();
            let hold = holds.iter().find(|hold| hold.provider == *name);
            station.set_held(hold.is_some());
            self.metrics.show_held(name.as_str(), hold.is_some());
            let breaker = match station.desk.breaker_state() {
                crate::send::breaker::BreakerState::Closed => BreakerState::Closed,
                crate::send::breaker::BreakerState::Open => BreakerState::Open,
                crate::send::breaker::BreakerState::HalfOpen => BreakerState::HalfOpen,
            };
            self.metrics.show_breaker(name.as_str(), breaker);
        }
        if let Some(alarms) = &self.alarms {
            for hold in holds {
                alarms.provider_held(&hold).await?;
            }
        }
        Ok(())
    }

    /// Brings the metrics up to date, and raises an alarm for what they say is wrong.
    async fn heed_figures(&self) -> Result<(), StoreError> {
        let (backlog, ledger) = self.figures.show().await?;
        let Some(alarms) = &self.alarms else { return Ok(()) };
        alarms.events_rejected().await?;
        if backlog.overdue > 0 {
            alarms.queue_late(&backlog).await?;
        }
        if !ledger.closes {
            alarms.ledger_open(&ledger).await?;
        }
        Ok(())
    }
}
