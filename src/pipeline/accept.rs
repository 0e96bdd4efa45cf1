//! The accepting half: arrivals become events, events become rows, rows are committed.
//!
//! Whoever hands arrivals in may tell its transport "done" once [`Acceptor::accept`] returns `Ok`:
//! everything is then either planned, known as a repeat, or kept as a rejected event.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::Either;
use jiff::Timestamp;
use tokio::sync::{RwLock, oneshot};
use tokio::time::Instant;
use tracing::{Level, debug};

use crate::clock::Clock;
use crate::model::audience::{PAGE_SIZE, Resolution};
use crate::model::event::{Arrival, Event, EventKey, RejectReason, RejectedEvent, Rejection};
use crate::model::id::{EventId, RejectedId};
use crate::pipeline::desks::Desks;
use crate::pipeline::rulebook::Rulebook;
use crate::plan::{self, Plan, Question};
use crate::store::{Acceptance, Accepted, NewDelivery, NewPage, PlannedEvent, Store, StoreError};
use crate::telemetry::{EventResult, Metrics, trace_id};

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
    /// Held while a group is planned and committed: alone by one that changes the directory.
    directory: Arc<RwLock<()>>,
}

/// An arrival on its way through the accepting half.
pub(super) struct Draft {
    arrival: Arrival,
    result: Result<Event, Box<Rejection>>,
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
    /// When the store cannot be reached or is full. Nothing of the group that failed is accepted,
    /// and the same arrivals may be handed in again: what was accepted is then a repeat.
    pub async fn accept(
        &self,
        arrivals: Vec<Arrival>,
        on_reject: OnReject,
    ) -> Result<Vec<Answer>, StoreError> {
        let (acceptor, (sender, answers)) = (self.clone(), oneshot::channel());
        // Not in the caller's own: one that hangs up between the commit and the senders would take
        // with it what was leased in the commit.
        self.desks.tasks().spawn(async move {
            let accept = AssertUnwindSafe(acceptor.accept_all(arrivals, on_reject)).catch_unwind();
            let broke_down = |_| Err(StoreError::Broken("accepting broke down".to_owned()));
            // A caller that is gone hears nothing; the transport brings the events again.
            drop(sender.send(accept.await.unwrap_or_else(broke_down)));
        });
        let stopped = |_| Err(StoreError::Unreachable("Loa is stopping".to_owned()));
        answers.await.unwrap_or_else(stopped)
    }

    async fn accept_all(
        &self,
        arrivals: Vec<Arrival>,
        on_reject: OnReject,
    ) -> Result<Vec<Answer>, StoreError> {
        let rulebook = self.rulebook.load_full();
        let drafts = self.decode(arrivals, &rulebook);
        if on_reject == OnReject::Answer {
            return self.accept_group(drafts, on_reject, &rulebook).await;
        }
        let mut answers = Vec::with_capacity(drafts.len());
        for group in split_after_changes(drafts, &rulebook) {
            answers.extend(self.accept_group(group, on_reject, &rulebook).await?);
        }
        Ok(answers)
    }

    /// What the steps decide by, as it is now.
    pub fn rulebook(&self) -> Arc<Rulebook> {
        self.rulebook.load_full()
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn decode(&self, arrivals: Vec<Arrival>, rulebook: &Rulebook) -> Vec<Draft> {
        let now = self.clock.now();
        let decode = |arrival: Arrival| {
            let result = rulebook.decoder.decode(&arrival, now);
            Draft { arrival, result }
        };
        arrivals.into_iter().map(decode).collect()
    }

    async fn accept_group(
        &self,
        drafts: Vec<Draft>,
        on_reject: OnReject,
        rulebook: &Rulebook,
    ) -> Result<Vec<Answer>, StoreError> {
        // What is planned after a change of the directory sees it: groups go side by side, but a
        // change waits for those before it, and those behind it wait for the change.
        let is_change = drafts.iter().any(|draft| changes_directory(draft, rulebook));
        let _turn = match is_change {
            true => Either::Left(self.directory.write().await),
            false => Either::Right(self.directory.read().await),
        };
        let mut batch = self.plan(drafts, rulebook).await?;
        let keys: Vec<_> = batch.iter().map(key_of).collect();
        let traces: Vec<_> = batch.iter().map(trace_of).collect();
        let reserved = self.desks.reserve(&mut batch, self.clock.now());
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
        self.count(&answers);
        answers.iter().zip(&traces).for_each(|(answer, trace)| tell(answer, trace.as_deref()));
        Ok(answers)
    }

    /// Says that all is planned, and commits it some time later, if there is a later.
    #[cfg(test)]
    fn accept_later(&self, batch: Vec<Acceptance>, keys: Vec<Option<EventKey>>) -> Vec<Answer> {
        let store = self.store.clone();
        let wait = std::time::Duration::from_millis(300);
        crate::lifecycle::Tasks::new().spawn(async move {
            tokio::time::sleep(wait).await;
            drop(store.accept(batch).await);
        });
        let event = EventId::new(self.clock.now());
        let planned = Accepted::Planned { event, planned: 0, planning: false };
        keys.into_iter().map(|key| answer(key, planned.clone())).collect()
    }

    /// Asks the directory once for all events, then plans each.
    pub(super) async fn plan(
        &self,
        drafts: Vec<Draft>,
        rulebook: &Rulebook,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let drafts: Vec<(Draft, Vec<Question>)> =
            drafts.into_iter().map(|draft| with_questions(draft, rulebook)).collect();
        let queries = drafts.iter().flat_map(|(_, questions)| questions);
        let queries: Vec<_> = queries.map(|question| question.query.clone()).collect();
        let mut answers = match queries.is_empty() {
            true => Vec::new(),
            false => self.store.resolve(queries, None, PAGE_SIZE).await?,
        }
        .into_iter();
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(drafts.len());
        for (draft, questions) in drafts {
            let answered: Vec<_> = questions.into_iter().zip(answers.by_ref()).collect();
            batch.push(plan_one(draft, &answered, rulebook, now));
        }
        Ok(batch)
    }

    fn count(&self, answers: &[Answer]) {
        for answer in answers {
            match answer {
                Answer::Planned { deliveries, planning, .. } => {
                    let result = match planning {
                        true => EventResult::Planning,
                        false => EventResult::Planned,
                    };
                    self.metrics.count_events(result, 1);
                    self.metrics.count_planned(*deliveries);
                }
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

fn changes_directory(draft: &Draft, rulebook: &Rulebook) -> bool {
    match &draft.result {
        Ok(event) => rulebook.event_type(event).is_some_and(|found| found.effect.is_some()),
        Err(_) => false,
    }
}

/// Cuts a batch behind each event that changes the directory, so that later ones see the change.
fn split_after_changes(drafts: Vec<Draft>, rulebook: &Rulebook) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut was_change = None;
    for draft in drafts {
        let is_change = changes_directory(&draft, rulebook);
        match groups.last_mut() {
            Some(group) if is_change || was_change != Some(true) => group.push(draft),
            _ => groups.push(vec![draft]),
        }
        was_change = Some(is_change);
    }
    groups
}

/// What must be asked of the directory for `draft`; a draft that cannot be asked for is rejected.
fn with_questions(draft: Draft, rulebook: &Rulebook) -> (Draft, Vec<Question>) {
    let Draft { arrival, result } = draft;
    let asked = result.and_then(|event| {
        let event_type = rulebook.event_type(&event).ok_or_else(|| gone(&event))?;
        let questions = plan::questions(&event, event_type, &rulebook.rules)?;
        Ok((event, questions))
    });
    match asked {
        Ok((event, questions)) => (Draft { arrival, result: Ok(event) }, questions),
        Err(rejection) => (Draft { arrival, result: Err(rejection) }, Vec::new()),
    }
}

fn plan_one(
    draft: Draft,
    answers: &[(Question, Resolution)],
    rulebook: &Rulebook,
    now: Timestamp,
) -> Acceptance {
    let Draft { arrival, result } = draft;
    let planned = result.and_then(|event| {
        let event_type = rulebook.event_type(&event).ok_or_else(|| gone(&event))?;
        let plan = plan::plan(&event, event_type, answers, &rulebook.rules, now)?;
        let change = plan::change(&event, event_type, &rulebook.rules)?;
        Ok((event, plan, change))
    });
    match planned {
        Ok((event, plan, change)) => {
            let cancels = rulebook.catalogue.cancelled_by(&event.event_type);
            let Plan { deliveries, pages } = plan;
            let new_delivery = |planned: plan::Planned| NewDelivery {
                delivery: planned.delivery,
                unless: planned.unless,
                lease: None,
            };
            Acceptance::Planned(Box::new(PlannedEvent {
                arrival,
                event,
                deliveries: deliveries.into_iter().map(new_delivery).collect(),
                cancels,
                change,
                pages: pages
                    .into_iter()
                    .map(|page| NewPage { step: page.step, query: page.query })
                    .collect(),
            }))
        }
        Err(rejection) => Acceptance::Rejected(Box::new(RejectedEvent {
            id: RejectedId::new(now),
            arrival,
            rejection: *rejection,
        })),
    }
}

/// An event whose type left the catalogue between decoding and planning.
fn gone(event: &Event) -> Box<Rejection> {
    Box::new(Rejection {
        reason: RejectReason::UnknownType,
        place: Some("/type".to_owned()),
        message: format!("`{}` is no type of the catalogue any more", event.event_type),
        event_type: Some(event.event_type.to_string()),
        key: Some(event.key.clone()),
    })
}

fn key_of(acceptance: &Acceptance) -> Option<EventKey> {
    match acceptance {
        Acceptance::Planned(planned) => Some(planned.event.key.clone()),
        Acceptance::Rejected(_) => None,
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
        Accepted::Planned { event, planned, planning } => {
            Answer::Planned { event, key, deliveries: planned, planning }
        }
        Accepted::Repeat { event } => Answer::Repeat { event, key },
        Accepted::Rejected { id, rejection } => Answer::Rejected { id, rejection },
    }
}
