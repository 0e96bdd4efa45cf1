//! The way with nothing stored: decode, validate, plan, render, send.
//!
//! It calls the same steps as the pipeline and forgets what came of them: the fastest that a sender
//! with this decoder, these templates and these providers could be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jiff::Timestamp;

use super::BenchError;
use crate::app::{self, App};
use crate::broker::Consumer;
use crate::clock::Clock;
use crate::intake::{BatchLimits, next_batch};
use crate::lifecycle::Tasks;
use crate::model::audience::{AudienceQuery, InlineRecipient, Recipients, Resolution, Stranger};
use crate::model::delivery::Delivery;
use crate::model::event::{Arrival, Event};
use crate::model::id::ProviderName;
use crate::model::message::Envelope;
use crate::model::outcome::Verdict;
use crate::pipeline::{Batching, Rulebook};
use crate::plan::{self, Planned, Question};
use crate::send::{Desk, Slot};
use crate::store::EventFacts;

/// As the pipeline's own bound of one transaction.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Sends what it is given and keeps nothing.
#[derive(Clone)]
pub(super) struct Unstored {
    inner: Arc<Inner>,
}

struct Inner {
    rulebook: Arc<Rulebook>,
    desks: BTreeMap<ProviderName, Arc<Desk>>,
    clock: Clock,
    tasks: Tasks,
    in_flight: AtomicUsize,
    refused: AtomicU64,
}

impl Unstored {
    /// With desks of its own, set up like those of `app`.
    pub(super) fn new(app: &App) -> Self {
        let desks = app::desks(&app.config, &app.surroundings).into_iter();
        let inner = Inner {
            rulebook: app.rulebook.load_full(),
            desks: desks.map(|desk| (desk.name().clone(), desk)).collect(),
            clock: app.clock.clone(),
            tasks: app.tasks.clone(),
            in_flight: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Messages that were planned and are not sent yet.
    pub(super) fn in_flight(&self) -> usize {
        self.inner.in_flight.load(Ordering::SeqCst)
    }

    /// Whether everything was taken so far.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        match self.inner.refused.load(Ordering::SeqCst) {
            0 => Ok(()),
            count => Err(BenchError::Broken(format!("{count} messages were not taken"))),
        }
    }

    /// Plans `arrivals` and begins to send; returns when the last of them has a slot.
    pub(super) async fn take(&self, arrivals: Vec<Arrival>) -> Result<(), BenchError> {
        for arrival in arrivals {
            let (facts, deliveries) = self.inner.plan(&arrival)?;
            let facts = Arc::new(facts);
            for delivery in deliveries {
                let desk = delivery.provider.as_ref().and_then(|name| self.inner.desks.get(name));
                let Some(desk) = desk.map(Arc::clone) else {
                    return Err(BenchError::Broken("a delivery has no provider".to_owned()));
                };
                let Some(slot) = desk.wait_for_slot().await else { return Ok(()) };
                self.inner.in_flight.fetch_add(1, Ordering::SeqCst);
                let (inner, facts) = (Arc::clone(&self.inner), Arc::clone(&facts));
                self.inner.tasks.spawn(async move {
                    inner.deliver(&desk, &facts, &delivery, slot).await;
                    inner.in_flight.fetch_sub(1, Ordering::SeqCst);
                });
            }
        }
        Ok(())
    }

    /// Takes what a queue brings, in batches as the pipeline does.
    pub(super) fn consume(&self, mut consumer: Consumer, batching: Batching, tasks: &Tasks) {
        let unstored = self.clone();
        tasks.spawn(async move {
            let settler = consumer.settler();
            let limits =
                BatchLimits { most: batching.size, most_bytes: MOST_BYTES, wait: batching.wait };
            while let Some(batch) = next_batch(&mut consumer, limits, || true).await {
                let (arrivals, links): (Vec<_>, Vec<_>) =
                    batch.into_iter().map(|one| (one.arrival, one.link)).unzip();
                if unstored.take(arrivals).await.is_err() {
                    unstored.inner.refused.fetch_add(1, Ordering::SeqCst);
                }
                settler.settle(links);
            }
        });
    }
}

impl Inner {
    fn plan(&self, arrival: &Arrival) -> Result<(EventFacts, Vec<Delivery>), BenchError> {
        let (event, planned) = plan_one(&self.rulebook, arrival, self.clock.now())?;
        let deliveries = planned.into_iter().map(|planned| planned.delivery).collect();
        Ok((EventFacts::of(&event), deliveries))
    }

    async fn deliver(&self, desk: &Desk, facts: &EventFacts, delivery: &Delivery, mut slot: Slot) {
        let now = self.clock.now();
        let rendered = self.rulebook.render(delivery, facts, desk.dialect(), now);
        let (Ok(rendered), Some(to)) = (rendered, delivery.address.clone()) else {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return;
        };
        let envelope = Envelope {
            delivery: delivery.id,
            attempt: 1,
            event_type: delivery.event_type.clone(),
            at: now,
            business_key: delivery.business_key.clone(),
            to,
            to_name: delivery.recipient.name.clone(),
            data: Arc::clone(&facts.data),
            message: rendered.message,
        };
        let outcome = desk.send(&envelope, &mut slot).await;
        drop(slot);
        if !matches!(outcome.verdict, Verdict::Accepted { .. }) {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Decodes and plans one arrival by a directory that knows nobody.
pub(super) fn plan_one(
    rulebook: &Rulebook,
    arrival: &Arrival,
    now: Timestamp,
) -> Result<(Event, Vec<Planned>), BenchError> {
    let broken = |what: &dyn std::fmt::Display| BenchError::Broken(format!("not planned: {what}"));
    let event = rulebook.decoder.decode(arrival, now).map_err(|why| broken(&why))?;
    let event_type = rulebook.event_type(&event).ok_or_else(|| broken(&"its type is unknown"))?;
    let rules = &rulebook.rules;
    let questions = plan::questions(&event, event_type, rules).map_err(|why| broken(&why))?;
    let answers: Vec<_> = questions.into_iter().filter_map(answered_by_nobody).collect();
    let plan = plan::plan(&event, event_type, &answers, rules, now).map_err(|why| broken(&why))?;
    Ok((event, plan.deliveries))
}

/// A directory that knows nobody: every inline recipient is a stranger.
fn answered_by_nobody(question: Question) -> Option<(Question, Resolution)> {
    let AudienceQuery::Inline(people) = &question.query else { return None };
    let stranger = |recipient: &InlineRecipient| Stranger {
        recipient: recipient.clone(),
        suppressed: Vec::new(),
        consents: Vec::new(),
    };
    let recipients =
        Recipients { strangers: people.iter().map(stranger).collect(), ..Recipients::default() };
    Some((question, Resolution::Recipients(recipients)))
}
