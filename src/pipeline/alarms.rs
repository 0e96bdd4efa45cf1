//! Loa's own alarms: events like any other, once an hour at most per cause.
//!
//! Id, time and data come from cause and hour alone, so that two processes raise one alarm.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use crate::clock::Clock;
use crate::intake::encode::{Outgoing, STRUCTURED, structured};
use crate::model::event::{Arrival, EventKey, Properties, RejectedEvent, Transport};
use crate::model::ledger::Ledger;
use crate::pipeline::accept::{Acceptor, OnReject};
use crate::store::{Backlog, ProviderHold, StoreError};

/// Where alarms come from, as the publisher of any event would say.
const SOURCE: &str = "loa";

/// Raises alarms.
pub(super) struct Alarms {
    acceptor: Acceptor,
    clock: Clock,
    /// What this process has raised, so that it asks the store once per hour and cause.
    raised: Mutex<HashSet<String>>,
}

impl Alarms {
    pub(super) fn new(acceptor: Acceptor, clock: Clock) -> Self {
        Self { acceptor, clock, raised: Mutex::default() }
    }

    /// A provider is on hold.
    pub(super) async fn provider_held(&self, hold: &ProviderHold) -> Result<(), StoreError> {
        let cause = hold.provider.to_string();
        self.raise("loa.provider_held", &cause).await
    }

    /// Events were rejected; Loa's own alarms raise none.
    pub(super) async fn events_rejected(
        &self,
        rejected: &[RejectedEvent],
    ) -> Result<(), StoreError> {
        for event in rejected {
            let event_type = event.rejection.event_type.as_deref().unwrap_or_default();
            if !event_type.starts_with("loa.") {
                self.raise("loa.event_rejected", event.rejection.reason.as_str()).await?;
            }
        }
        Ok(())
    }

    /// Deliveries are due for five minutes and nobody takes them.
    pub(super) async fn queue_late(&self, backlog: &Backlog) -> Result<(), StoreError> {
        let oldest = backlog.oldest_due.iter().min_by_key(|(_, due)| **due);
        let lane = oldest.map_or("normal", |(lane, _)| lane.as_str()).to_owned();
        self.raise("loa.queue_late", &lane).await
    }

    /// The ledger does not close.
    pub(super) async fn ledger_open(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let cause = if ledger.events.closes { "deliveries" } else { "events" };
        self.raise("loa.ledger_open", cause).await
    }

    async fn raise(&self, kind: &str, cause: &str) -> Result<(), StoreError> {
        let seconds = self.clock.now().as_second();
        let hour = Timestamp::from_second(seconds - seconds.rem_euclid(3600))
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let id = format!("{kind}:{cause}:{hour}");
        if !self.raised.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) {
            return Ok(());
        }
        let data = json!({ "cause": cause, "hour": hour.to_string() });
        let outgoing = Outgoing {
            event_type: kind.to_owned(),
            key: Some(EventKey { source: SOURCE.to_owned(), id }),
            time: Some(hour),
            data,
            ..Outgoing::default()
        };
        let properties =
            Properties { content_type: Some(STRUCTURED.to_owned()), ..Properties::default() };
        let arrival = Arrival {
            bytes: Bytes::from(structured(&outgoing)),
            properties,
            transport: Transport::Alarm,
            at: self.clock.now(),
        };
        warn!(event.kind = kind, "raised the alarm {kind} for {cause}");
        // A rejected alarm raises none: it is kept like any rejected event.
        self.acceptor.accept(vec![arrival], OnReject::Keep).await?;
        Ok(())
    }
}
