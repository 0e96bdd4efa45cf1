//! A store as it is after months: one event of each sort, copied many times.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::BenchError;
use super::ground::refuse_store_in_use;
use super::unstored::plan_one;
use super::work::{self, arrival};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::address::Channel;
use crate::model::delivery::{Reason, State};
use crate::model::id::{EventId, ProviderName, RunId};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::pipeline::Rulebook;
use crate::plan::Planned;
use crate::record::{self, Tried};
use crate::store::{Acceptance, Claimed, Finish, NewDelivery, PlannedEvent, Spread, Store};

/// How long claims of the benchmark last.
pub(super) const LEASE: Duration = Duration::from_mins(10);
/// Over how long a time the copies seem to have come.
const SPREAD: SignedDuration = SignedDuration::from_hours(24 * 60);

/// A store without an app on it, and what plans for it.
pub(super) struct Seed {
    pub(super) store: Store,
    pub(super) rulebook: Rulebook,
    pub(super) clock: Clock,
    made: u64,
}

/// One that has ended well, one that has failed, one that waits for later.
#[derive(Clone, Copy)]
pub(super) struct Originals([EventId; 3]);

impl Seed {
    /// Opens the store, which must be empty.
    pub(super) async fn open(config: &Config) -> Result<Self, BenchError> {
        refuse_store_in_use(config).await?;
        let clock = Clock::system();
        let run = RunId::new(clock.now());
        let store = Store::open(app::store_settings(config), clock.clone(), run).await?;
        let broken = || BenchError::Broken(config.places.faults.to_string());
        let rulebook = app::rulebook(config).ok_or_else(broken)?;
        Ok(Self { store, rulebook, clock, made: 0 })
    }

    /// An event of type `name` with its plan, as the accepting half makes it.
    pub(super) fn planned(
        &mut self,
        name: &str,
        channel: Channel,
        not_before: Option<Timestamp>,
    ) -> Result<PlannedEvent, BenchError> {
        let now = self.clock.now();
        let arrival = arrival(work::event(name, channel, self.made, not_before), now);
        self.made += 1;
        let (event, planned) = plan_one(&self.rulebook, &arrival, now)?;
        let new = |planned: Planned| NewDelivery {
            delivery: planned.delivery,
            unless: planned.unless,
            lease: None,
        };
        let deliveries = planned.into_iter().map(new).collect();
        let (cancels, change, pages) = (Vec::new(), None, Vec::new());
        Ok(PlannedEvent { arrival, event, deliveries, cancels, change, pages })
    }

    /// A batch of events of one type that are due now.
    pub(super) fn batch(
        &mut self,
        name: &str,
        channel: Channel,
        count: usize,
    ) -> Result<Vec<Acceptance>, BenchError> {
        (0..count)
            .map(|_| Ok(Acceptance::Planned(Box::new(self.planned(name, channel, None)?))))
            .collect()
    }

    /// Makes the events that are copied.
    pub(super) async fn originals(
        &mut self,
        name: &str,
        channel: Channel,
    ) -> Result<Originals, BenchError> {
        let later = self.clock.now().checked_add(SignedDuration::from_hours(12)).ok();
        let mut ids = Vec::new();
        for not_before in [None, None, later] {
            let planned = self.planned(name, channel, not_before)?;
            ids.push(planned.event.id);
            self.store.accept(vec![Acceptance::Planned(Box::new(planned))]).await?;
        }
        let (Some(&sent), Some(&failed), Some(&later)) = (ids.first(), ids.get(1), ids.get(2))
        else {
            return Err(BenchError::Broken("no events were planned".to_owned()));
        };
        let provider = ProviderName::from(channel.as_str());
        let claims = self.store.claim(&provider, 2, LEASE).await?;
        let mut finishes: Vec<Finish> = claims.iter().map(|claim| self.sent(claim)).collect();
        for (claim, finish) in claims.iter().zip(&mut finishes) {
            if claim.delivery.event == failed {
                let settlement = &mut finish.settlement;
                (settlement.state, settlement.reason) = (State::Failed, Reason::Refused);
            }
        }
        self.store.finish(finishes).await?;
        Ok(Originals([sent, failed, later]))
    }

    /// Fills the store so that it holds copies number `from` to `to`: of a hundred, one has failed,
    /// one waits for later, and the others are sent.
    pub(super) async fn fill(
        &self,
        originals: Originals,
        (from, to): (u64, u64),
    ) -> Result<(), BenchError> {
        let Originals([sent, failed, later]) = originals;
        let spread = self.spread(to);
        let few = (to - from) / 100;
        let (failed_to, later_to) = (from + few, from + 2 * few);
        self.store.copy_event(failed, from..failed_to, spread).await?;
        self.store.copy_event(later, failed_to..later_to, spread).await?;
        self.store.copy_event(sent, later_to..to, spread).await?;
        self.store.analyze().await?;
        Ok(())
    }

    /// The last of `count` copies seems to have been made just now.
    pub(super) fn spread(&self, count: u64) -> Spread {
        let from = self.clock.now().saturating_sub(SPREAD).unwrap_or(Timestamp::MIN);
        let gap = SPREAD.unsigned_abs() / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        Spread { from, gap }
    }

    /// The end of a claim as if its provider had accepted.
    pub(super) fn sent(&self, claim: &Arc<Claimed>) -> Finish {
        let now = self.clock.now();
        let outcome = Outcome {
            verdict: Verdict::accepted(),
            answer: Answer::new(Some("250".to_owned()), "2.0.0 taken"),
            captured: None,
        };
        let template_version = Some("bench".to_owned());
        let tried = Tried { outcome, started_at: now, finished_at: now, template_version };
        record::outcome(claim, tried, &self.rulebook.catalogue, 0.5)
    }
}
