//! The accepting half: arrivals become events, events become rows, rows are committed.
//!
//! Whoever hands arrivals in may tell its transport "done" once [`Acceptor::accept`] returns `Ok`:
//! everything is then either planned, known as a repeat, or kept as a rejected event.

mod planning;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::Either;
use jiff::Timestamp;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, oneshot};
use tokio::time::Instant;
use tracing::{Level, debug, error};

use crate::clock::Clock;
use crate::model::event::{
    Arrival, Event, EventKey, RejectReason, RejectedEvent, Rejection, Transport,
};
use crate::model::id::{EventId, RejectedId};
use crate::pipeline::desks::Desks;
use crate::pipeline::rulebook::Rulebook;
use crate::plan;
use crate::store::{Acceptance, Accepted, Store, StoreError};
use crate::telemetry::{EventResult, Metrics, trace_id};
use planning::{Draft, ask, changes_directory, split_after_changes};

/// What becomes of arrivals that cannot be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReject {
    /// They are kept as rejected events, each arrival by itself.
    Keep,
    /// The caller is told and nothing of the whole batch is kept.
    Answer,
}

/// What became of one arrival.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is committed.
    Planned {
        /// Loa's own id.
        event: EventId,
        /// The publisher's key.
        key: EventKey,
        /// How many deliveries were planned, decisions against included.
        deliveries: u64,
        /// Whether a big audience is still being planned.
        planning: bool,
    },
    /// The same event came before.
    Repeat {
        /// The event as it came first.
        event: EventId,
        /// The publisher's key.
        key: EventKey,
    },
    /// It could not be planned.
    Rejected {
        /// The rejected event's id; none if it was not kept.
        id: Option<RejectedId>,
        /// Why.
        rejection: Rejection,
    },
}

/// Takes arrivals in.
#[derive(Clone)]
pub struct Acceptor {
    store: Store,
    rulebook: Arc<ArcSwap<Rulebook>>,
    desks: Arc<Desks>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Held while a batch is planned and committed: alone by one that changes the directory.
    directory: Arc<RwLock<()>>,
}

/// Arrivals whose turn it is.
struct Entered {
    drafts: Vec<Draft>,
    rulebook: Arc<Rulebook>,
    /// Held until they are committed: alone by those that change the directory.
    _turn: Either<OwnedRwLockWriteGuard<()>, OwnedRwLockReadGuard<()>>,
}

fn broke_down() -> StoreError {
    StoreError::Broken("accepting broke down".to_owned())
}

impl Acceptor {
    /// An acceptor that plans by what `rulebook` holds at the time.
    pub fn new(
        store: Store,
        rulebook: Arc<ArcSwap<Rulebook>>,
        desks: Arc<Desks>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, rulebook, desks, clock, metrics, directory: Arc::default() }
    }

    /// Takes `arrivals` in and answers for each of them, in their order.
    ///
    /// # Errors
    /// When the store does not take them. Some of the first of them may be accepted even then, and
    /// the same arrivals may be handed in again: what was accepted is then a repeat.
    pub async fn accept(
        &self,
        arrivals: Vec<Arrival>,
        on_reject: OnReject,
    ) -> Result<Vec<Answer>, StoreError> {
        let entered = self.enter(arrivals).await?;
        let acceptor = self.clone();
        self.run_in_own_task(async move { acceptor.accept_all(entered, on_reject).await }).await?
    }

    /// Takes in what the store takes, beginning with the first; what cannot be planned is kept as
    /// rejected events.
    ///
    /// Returns how many of `arrivals` are done, and why there were no more.
    pub(super) async fn accept_front(&self, arrivals: Vec<Arrival>) -> (usize, Option<StoreError>) {
        let entered = match self.enter(arrivals).await {
            Ok(entered) => entered,
            Err(error) => return (0, Some(error)),
        };
        let acceptor = self.clone();
        let accept = async move {
            let mut answers = Vec::with_capacity(entered.drafts.len());
            let failure = acceptor.accept_in_groups(entered, &mut answers).await.err();
            (answers.len(), failure)
        };
        self.run_in_own_task(accept).await.unwrap_or_else(|error| (0, Some(error)))
    }

    /// Decodes `arrivals` and waits for their turn to be planned and committed.
    ///
    /// What is planned after a change of the directory sees it: batches go side by side, but one
    /// with a change waits for those before it, and those behind it wait for all of that one. Turns
    /// come in the order in which callers ask.
    async fn enter(&self, arrivals: Vec<Arrival>) -> Result<Entered, StoreError> {
        let rulebook = self.rulebook.load_full();
        let decode = AssertUnwindSafe(|| self.decode(arrivals, &rulebook));
        let drafts = catch_unwind(decode).map_err(|_| broke_down())?;
        let directory = Arc::clone(&self.directory);
        let turn = match changes_directory(&drafts, &rulebook) {
            true => Either::Left(directory.write_owned().await),
            false => Either::Right(directory.read_owned().await),
        };
        Ok(Entered { drafts, rulebook, _turn: turn })
    }

    /// Runs `work` in a task of its own, not in the caller's: one that hangs up between the commit
    /// and the senders would take with it what was leased in the commit.
    async fn run_in_own_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, done) = oneshot::channel();
        self.desks.tasks().spawn(async move {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            // A caller that is gone hears nothing; the transport brings the events again.
            drop(sender.send(done.map_err(|_| broke_down())));
        });
        let stopped = |_| Err(StoreError::Unreachable("Loa is stopping".to_owned()));
        done.await.unwrap_or_else(stopped)
    }

    async fn accept_all(
        &self,
        entered: Entered,
        on_reject: OnReject,
    ) -> Result<Vec<Answer>, StoreError> {
        if on_reject == OnReject::Answer {
            return self.accept_whole(entered).await;
        }
        let mut answers = Vec::with_capacity(entered.drafts.len());
        self.accept_in_groups(entered, &mut answers).await?;
        Ok(answers)
    }

    /// Keeps an arrival that the store does not take as a rejected event with the store's words.
    ///
    /// # Errors
    /// When the store does not take that either.
    pub(super) async fn reject(
        &self,
        arrival: Arrival,
        error: &StoreError,
    ) -> Result<(), StoreError> {
        let rulebook = self.rulebook.load_full();
        let unkept = |event: Event| -> Result<Event, Box<Rejection>> {
            let message = format!("it cannot be kept: {error}");
            Err(plan::rejection(&event, RejectReason::Unplannable, None, message))
        };
        for Draft { arrival, result } in self.decode(vec![arrival], &rulebook) {
            let Err(rejection) = result.and_then(unkept) else { continue };
            let (id, rejection) = (RejectedId::new(self.clock.now()), *rejection);
            error!(error = %error, "rejected event {id}, which the store does not take: {error}");
            let rejected = RejectedEvent { id, arrival, rejection };
            self.commit(vec![Acceptance::Rejected(Box::new(rejected))], OnReject::Keep).await?;
        }
        Ok(())
    }

    /// Whether the store takes what has nothing to do with events.
    pub(super) async fn does_store_write(&self) -> bool {
        self.store.beat().await.is_ok()
    }

    /// What the steps decide by, as it is now.
    pub fn rulebook(&self) -> Arc<Rulebook> {
        self.rulebook.load_full()
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Commits group by group, and adds the answers of each to `answers`.
    async fn accept_in_groups(
        &self,
        entered: Entered,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let Entered { drafts, rulebook, _turn } = entered;
        for group in split_after_changes(drafts, &rulebook) {
            let mut asked = ask(group, &rulebook);
            while !asked.is_empty() {
                let batch = self.plan_front(&mut asked, &rulebook).await?;
                answers.extend(self.commit(batch, OnReject::Keep).await?);
            }
        }
        Ok(())
    }

    /// Commits all of `arrivals` or, if one of them cannot be planned, none.
    async fn accept_whole(&self, entered: Entered) -> Result<Vec<Answer>, StoreError> {
        let Entered { drafts, rulebook, _turn } = entered;
        let batch = self.plan(drafts, &rulebook).await?;
        self.commit(batch, OnReject::Answer).await
    }

    /// Commits what was planned, and hands over what may go straight to a sender.
    async fn commit(
        &self,
        mut batch: Vec<Acceptance>,
        on_reject: OnReject,
    ) -> Result<Vec<Answer>, StoreError> {
        let keys: Vec<_> = batch.iter().map(key_of).collect();
        let traces: Vec<_> = batch.iter().map(trace_of).collect();
        let are_alarms = batch.iter().all(is_alarm);
        let rulebook = self.rulebook();
        let now = self.clock.now();
        let reserved = self.desks.reserve(&mut batch, &rulebook.catalogue, now).await;
        let began = Instant::now();
        #[cfg(test)]
        if crate::sabotage::is(crate::sabotage::Sabotage::AcknowledgesBeforeTheCommit) {
            return Ok(self.accept_later(batch, keys));
        }
        let accepted = match on_reject {
            OnReject::Keep => self.store.accept(batch).await?,
            OnReject::Answer => self.store.accept_all_or_nothing(batch).await?,
        };
        self.metrics.count_batch("accept", accepted.len() as u64, began.elapsed());
        self.desks.hand_over(reserved, &accepted);
        let answers: Vec<_> =
            keys.into_iter().zip(accepted).map(|(key, accepted)| answer(key, accepted)).collect();
        self.count(&answers, are_alarms);
        answers.iter().zip(&traces).for_each(|(answer, trace)| tell(answer, trace.as_deref()));
        Ok(answers)
    }

    /// Says that all is planned, and commits it some time later, if there is a later.
    #[cfg(test)]
    fn accept_later(&self, batch: Vec<Acceptance>, keys: Vec<Option<EventKey>>) -> Vec<Answer> {
        let store = self.store.clone();
        // Some soon, so that messages go out while others are not committed yet.
        let wait = std::time::Duration::from_millis(fastrand::u64(..1_000));
        crate::lifecycle::Tasks::new().spawn(async move {
            tokio::time::sleep(wait).await;
            drop(store.accept(batch).await);
        });
        let event = EventId::new(self.clock.now());
        let planned = Accepted::Planned { event, planned: 0, planning: false, leased: Vec::new() };
        keys.into_iter().map(|key| answer(key, planned.clone())).collect()
    }

    fn count(&self, answers: &[Answer], are_alarms: bool) {
        // Of an array that is refused nothing is kept: neither what could be planned nor what came
        // before.
        let is_refused = |answer: &Answer| matches!(answer, Answer::Rejected { id: None, .. });
        let is_kept = !answers.iter().any(is_refused);
        for answer in answers {
            match answer {
                Answer::Planned { .. } | Answer::Repeat { .. } if !is_kept => {}
                Answer::Planned { deliveries, planning, .. } => {
                    let result = match planning {
                        true => EventResult::Planning,
                        false => EventResult::Planned,
                    };
                    self.metrics.count_events(result, 1);
                    self.metrics.count_planned(*deliveries);
                }
                // An alarm that was raised before is none that a publisher sent twice.
                Answer::Repeat { .. } if are_alarms => {}
                Answer::Repeat { .. } => self.metrics.count_events(EventResult::Repeated, 1),
                Answer::Rejected { id, rejection } => {
                    let result = match id {
                        Some(_) => EventResult::Rejected,
                        None => EventResult::Refused,
                    };
                    self.metrics.count_events(result, 1);
                    self.metrics.count_rejected(rejection.reason.as_str());
                }
            }
        }
    }
}

fn key_of(acceptance: &Acceptance) -> Option<EventKey> {
    match acceptance {
        Acceptance::Planned(planned) => Some(planned.event.key.clone()),
        Acceptance::Rejected(_) => None,
    }
}

fn is_alarm(acceptance: &Acceptance) -> bool {
    match acceptance {
        Acceptance::Planned(planned) => planned.event.transport == Transport::Alarm,
        Acceptance::Rejected(_) => false,
    }
}

/// The trace id that the publisher gave the event; not looked for unless it will be logged.
fn trace_of(acceptance: &Acceptance) -> Option<String> {
    match acceptance {
        Acceptance::Planned(planned) if tracing::enabled!(Level::DEBUG) => {
            trace_id(planned.event.traceparent.as_deref()?).map(str::to_owned)
        }
        Acceptance::Planned(_) | Acceptance::Rejected(_) => None,
    }
}

/// Logs what became of an arrival. The reason's words alone: its sentence may quote the data.
fn tell(answer: &Answer, trace: Option<&str>) {
    match answer {
        Answer::Planned { event, deliveries, .. } => {
            debug!(event.id = %event, trace.id = trace, "planned {deliveries} deliveries of event {event}");
        }
        Answer::Repeat { event, .. } => {
            debug!(event.id = %event, trace.id = trace, "event {event} came again");
        }
        Answer::Rejected { rejection, .. } => {
            let reason = rejection.reason.as_str();
            debug!(reason, trace.id = trace, "rejected an event: {reason}");
        }
    }
}

fn answer(key: Option<EventKey>, accepted: Accepted) -> Answer {
    let key = key.unwrap_or(EventKey { source: String::new(), id: String::new() });
    match accepted {
        Accepted::Planned { event, planned, planning, .. } => {
            Answer::Planned { event, key, deliveries: planned, planning }
        }
        Accepted::Repeat { event } => Answer::Repeat { event, key },
        Accepted::Rejected { id, rejection } => Answer::Rejected { id, rejection },
    }
}
