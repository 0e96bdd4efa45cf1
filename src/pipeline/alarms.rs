//! Loa's own alarms: events like any other, once an hour at most per cause.
//!
//! Id, time and data come from cause and hour alone, so that two processes raise one alarm. The
//! cause of a hold is the provider and why: held for another reason within the hour, it is told of
//! again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tracing::warn;

use crate::clock::Clock;
use crate::intake::encode::{Outgoing, STRUCTURED, structured};
use crate::model::event::{Arrival, EventKey, Properties, Transport};
use crate::model::ledger::Ledger;
use crate::pipeline::accept::{Acceptor, Answer, OnReject};
use crate::store::{Backlog, ProviderHold, Store, StoreError};

/// Where alarms come from, as the publisher of any event would say.
const SOURCE: &str = "loa";
/// How far back the first look at rejected events goes: a process that was killed had no time for
/// it.
const FIRST_LOOK: Duration = Duration::from_hours(1);
/// How far two looks overlap: longer than it takes to keep a rejected event.
const OVERLAP: Duration = Duration::from_mins(1);

/// Raises alarms.
pub(super) struct Alarms {
    store: Store,
    acceptor: Acceptor,
    clock: Clock,
    raised: Mutex<Raised>,
    /// When rejected events were looked at last.
    looked: Mutex<Timestamp>,
}

/// What this process has raised in one hour, so that it asks the store once for each cause.
#[derive(Default)]
struct Raised {
    hour: Timestamp,
    ids: HashSet<String>,
}

impl Raised {
    fn holds(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Notes what was raised in `hour`, and forgets the hours before.
    fn note(&mut self, hour: Timestamp, id: String) {
        if self.hour != hour {
            *self = Self { hour, ids: HashSet::new() };
        }
        self.ids.insert(id);
    }
}

impl Alarms {
    pub(super) fn new(store: Store, acceptor: Acceptor, clock: Clock) -> Self {
        let looked = Mutex::new(clock.now() - FIRST_LOOK + OVERLAP);
        Self { store, acceptor, clock, raised: Mutex::default(), looked }
    }

    /// A provider is on hold.
    pub(super) async fn provider_held(&self, hold: &ProviderHold) -> Result<(), StoreError> {
        let (cause, reason) = (hold.provider.as_str(), hold.reason.as_str());
        let told_apart = format!(":{}", short_digest(reason));
        self.raise("loa.provider_held", cause, &told_apart, json!({ "reason": reason })).await
    }

    /// Looks whether events were rejected since the last look; Loa's own alarms raise none.
    pub(super) async fn events_rejected(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let since = *self.looked.lock().unwrap_or_else(PoisonError::into_inner) - OVERLAP;
        for reason in self.store.reasons_since(since).await? {
            self.raise("loa.event_rejected", reason.as_str(), "", json!({})).await?;
        }
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Deliveries are due for five minutes and nobody takes them.
    pub(super) async fn queue_late(&self, backlog: &Backlog) -> Result<(), StoreError> {
        let oldest = backlog.oldest_due.iter().min_by_key(|(_, due)| **due);
        let lane = oldest.map_or("normal", |(lane, _)| lane.as_str()).to_owned();
        self.raise("loa.queue_late", &lane, "", json!({})).await
    }

    /// The ledger does not close.
    pub(super) async fn ledger_open(&self, ledger: &Ledger) -> Result<(), StoreError> {
        let cause = if ledger.events.closes { "deliveries" } else { "events" };
        self.raise("loa.ledger_open", cause, "", json!({})).await
    }

    /// Raises the alarm of a cause, once an hour; `told_apart` from others of the same name, if
    /// need be.
    async fn raise(
        &self,
        kind: &str,
        cause: &str,
        told_apart: &str,
        mut data: Value,
    ) -> Result<(), StoreError> {
        let seconds = self.clock.now().as_second();
        let hour = Timestamp::from_second(seconds - seconds.rem_euclid(3600))
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let id = format!("{kind}:{cause}{told_apart}:{hour}");
        if self.raised.lock().unwrap_or_else(PoisonError::into_inner).holds(&id) {
            return Ok(());
        }
        (data["cause"], data["hour"]) = (json!(cause), json!(hour.to_string()));
        let outgoing = Outgoing {
            event_type: kind.to_owned(),
            key: Some(EventKey { source: SOURCE.to_owned(), id: id.clone() }),
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
        // A rejected alarm raises none: it is kept like any rejected event.
        let answers = self.acceptor.accept(vec![arrival], OnReject::Keep).await?;
        // Another process, or this one before it was started anew, has raised it in this hour.
        if !matches!(answers.as_slice(), [Answer::Repeat { .. }]) {
            warn!(event.kind = kind, "raised the alarm {kind} for {cause}");
        }
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).note(hour, id);
        Ok(())
    }
}

/// A few letters by which texts are told apart.
fn short_digest(text: &str) -> String {
    let bytes = digest(&SHA256, text.as_bytes());
    bytes.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_raised_in_an_hour_is_forgotten_in_the_next() {
        let (one, next) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_hours(1));
        let mut raised = Raised::default();

        raised.note(one, "a".to_owned());
        raised.note(one, "b".to_owned());
        assert!(raised.holds("a") && raised.holds("b"));
        raised.note(next, "c".to_owned());

        assert!(raised.holds("c") && !raised.holds("a"));
    }
}
