//! What every transition writes beside its row: counters, and the status event.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;

use crate::model::address::Channel;
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::event::EventKey;
use crate::model::id::{
    DeliveryId, EventId, EventTypeName, ProviderName, RejectedId, RunId, StepName,
};
use crate::store::bundle::OpenBundles;
use crate::store::engine::{Tx, Write};
use crate::store::outbox::INSERT_BUNDLE;
use crate::store::{Store, StoreError};

/// How many rows of counters one process writes to, so that its transactions seldom wait: with
/// eight, of six at once two nearly always met, and one waited for the other's commit.
const SLOTS: u8 = 32;

/// What became of an arrival, as it is counted and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventFate {
    Planned,
    Planning,
    Rejected,
    Repeated,
}

impl EventFate {
    /// The counter's name.
    pub(super) fn counter(self) -> &'static str {
        match self {
            Self::Planned => "event.planned",
            Self::Planning => "event.planning",
            Self::Rejected => "event.rejected",
            Self::Repeated => "event.repeats",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Planned | Self::Planning => "planned",
            Self::Rejected => "rejected",
            Self::Repeated => "repeated",
        }
    }
}

/// The counter of a delivery's state.
pub(super) fn state_counter(state: State) -> &'static str {
    match state {
        State::Waiting => "delivery.waiting",
        State::Held => "delivery.held",
        State::Sent => "delivery.sent",
        State::Delivered => "delivery.delivered",
        State::Bounced => "delivery.bounced",
        State::Failed => "delivery.failed",
        State::Skipped => "delivery.skipped",
        State::Expired => "delivery.expired",
        State::Cancelled => "delivery.cancelled",
    }
}

/// A delivery as a status event tells of it.
pub(super) struct Told<'a> {
    pub(super) id: DeliveryId,
    pub(super) event: EventId,
    pub(super) event_type: &'a EventTypeName,
    pub(super) step: &'a StepName,
    pub(super) channel: Channel,
    pub(super) provider: Option<&'a str>,
    pub(super) business_key: Option<&'a str>,
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) version: u32,
    pub(super) attempts: u32,
    pub(super) code: Option<&'a str>,
}

impl<'a> Told<'a> {
    pub(super) fn of(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.event,
            event_type: &delivery.event_type,
            step: &delivery.step,
            channel: delivery.channel,
            provider: delivery.provider.as_ref().map(ProviderName::as_str),
            business_key: delivery.business_key.as_deref(),
            state: delivery.state,
            reason: delivery.reason,
            version: delivery.version,
            attempts: delivery.attempts,
            code: None,
        }
    }
}

/// What a status event says of a delivery.
#[derive(Serialize)]
struct DeliveryBody<'a> {
    delivery: DeliveryId,
    event: EventName<'a>,
    #[serde(rename = "type")]
    event_type: &'a EventTypeName,
    step: &'a StepName,
    channel: &'a str,
    provider: Option<&'a str>,
    state: &'a str,
    reason: Reason,
    version: u32,
    attempts: u32,
    code: Option<&'a str>,
    business_key: Option<&'a str>,
    at: Timestamp,
}

/// What a status event calls an event.
#[derive(Serialize)]
struct EventName<'a> {
    id: Option<&'a str>,
    source: Option<&'a str>,
    loa_id: EventId,
}

/// What a status event says of what became of an event.
#[derive(Serialize)]
struct EventBody<'a> {
    event: PublishersName<'a>,
    #[serde(rename = "type")]
    event_type: &'a str,
    result: &'static str,
    at: Timestamp,
    #[serde(flatten)]
    details: &'a EventDetails<'a>,
}

/// What a publisher calls its event.
#[derive(Serialize)]
struct PublishersName<'a> {
    id: Option<&'a str>,
    source: Option<&'a str>,
}

/// What is said of an event beside its fate.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum EventDetails<'a> {
    /// It is planned, or a big audience of it still is.
    Planned { loa_id: EventId, deliveries: u64, planning: bool, business_key: Option<&'a str> },
    /// It was accepted before.
    Repeated { loa_id: EventId },
    /// It cannot be planned.
    Rejected {
        rejected: RejectedId,
        reason: &'a str,
        pointer: Option<&'a str>,
        message: &'a str,
        /// By these its publisher knows it again, even where nothing of it could be read.
        message_id: Option<&'a str>,
        routing_key: Option<&'a str>,
        correlation_id: Option<&'a str>,
    },
}

/// The changes of one transaction, written at its end.
pub(super) struct Changes {
    counts: BTreeMap<String, BTreeMap<&'static str, i64>>,
    outbox: OpenBundles,
    telling: Option<Arc<Notify>>,
    run: RunId,
    now: Timestamp,
}

impl Changes {
    pub(super) fn new(store: &Store, now: Timestamp) -> Self {
        let telling = store.outbox.then(|| Arc::clone(&store.telling));
        let (counts, outbox) = (BTreeMap::new(), OpenBundles::default());
        Self { counts, outbox, telling, run: store.run, now }
    }

    /// The time of the transaction.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether status events are wanted at all.
    pub(super) fn tells(&self) -> bool {
        self.telling.is_some()
    }

    pub(super) fn count(&mut self, event_type: &str, name: &'static str, by: i64) {
        if let Some(counts) = self.counts.get_mut(event_type) {
            *counts.entry(name).or_default() += by;
            return;
        }
        self.counts.insert(event_type.to_owned(), BTreeMap::from([(name, by)]));
    }

    /// Counts a delivery that was just planned.
    pub(super) fn planned(&mut self, delivery: &Delivery) {
        self.count(delivery.event_type.as_str(), "delivery.planned", 1);
        self.count(delivery.event_type.as_str(), state_counter(delivery.state), 1);
    }

    /// Counts a move from one state to another.
    pub(super) fn moved(&mut self, event_type: &EventTypeName, from: State, to: State) {
        if from != to {
            self.count(event_type.as_str(), state_counter(from), -1);
            self.count(event_type.as_str(), state_counter(to), 1);
        }
    }

    /// Tells the world of a delivery's state.
    pub(super) fn tell(
        &mut self,
        told: &Told<'_>,
        key: Option<&EventKey>,
        correlation: Option<&str>,
    ) {
        if !self.tells() {
            return;
        }
        let (channel, state) = (told.channel.as_str(), told.state.as_str());
        let routing_key = format!("status.{channel}.{state}.{}", told.event_type);
        let body = DeliveryBody {
            delivery: told.id,
            event: EventName {
                id: key.map(|key| key.id.as_str()),
                source: key.map(|key| key.source.as_str()),
                loa_id: told.event,
            },
            event_type: told.event_type,
            step: told.step,
            channel,
            provider: told.provider,
            state,
            reason: told.reason,
            version: told.version,
            attempts: told.attempts,
            code: told.code,
            business_key: told.business_key,
            at: self.now,
        };
        self.push(&routing_key, correlation, &body);
    }

    /// Tells the publisher what became of an event.
    pub(super) fn tell_event(
        &mut self,
        fate: EventFate,
        event_type: &str,
        (key, correlation): (Option<&EventKey>, Option<&str>),
        details: &EventDetails<'_>,
    ) {
        if !self.tells() {
            return;
        }
        let routing_key = format!("status.event.{}.{event_type}", fate.word());
        let body = EventBody {
            event: PublishersName {
                id: key.map(|key| key.id.as_str()),
                source: key.map(|key| key.source.as_str()),
            },
            event_type,
            result: fate.word(),
            at: self.now,
            details,
        };
        self.push(&routing_key, correlation, &body);
    }

    fn push(&mut self, routing_key: &str, correlation: Option<&str>, body: &impl Serialize) {
        let id = DeliveryId::new(self.now).0;
        self.outbox.push(id, routing_key, correlation, body);
    }

    /// Counters and status events; the last writes of a transaction.
    pub(super) fn into_writes(self) -> [Write; 2] {
        let (run, now) = (self.run, self.now);
        if let Some(telling) = self.telling.filter(|_| !self.outbox.is_empty()) {
            telling.notify_one();
        }
        let bundles = self.outbox.into_bundles().map(|(text, count)| {
            let id = DeliveryId::new(now).0;
            vec![run.0.into(), id.into(), now.into(), count.into(), text.into()]
        });
        // In the order of their keys, so that two transactions never wait for each other.
        let counts = self.counts.into_iter().flat_map(|(event_type, counts)| {
            let counts = counts.into_iter().filter(|(_, by)| *by != 0);
            counts.map(move |(name, by)| (event_type.clone(), name, by))
        });
        let slot = format!("{run}-{}", fastrand::u8(..SLOTS));
        let counts = counts.map(|(event_type, name, by)| {
            vec![slot.as_str().into(), event_type.into(), name.into(), by.into()]
        });
        let counter = "INSERT INTO counter (slot, event_type, name, value) \
                       VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (slot, event_type, name) \
                       DO UPDATE SET value = counter.value + excluded.value";
        [
            Write::insert(INSERT_BUNDLE, bundles.collect()).apart(),
            Write::insert(counter, counts.collect()).apart(),
        ]
    }

    /// Writes them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn write(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.write_all(&self.into_writes()).await
    }
}
