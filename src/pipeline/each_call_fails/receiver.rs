//! The provider of the story: counts what arrives, and has one setback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};

use crate::model::id::DeliveryId;
use crate::model::message::Envelope;
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::Provider;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setback {
    Later,
    Refused,
    Misconfigured,
    /// The connection breaks: the message arrived.
    UnknownArrived,
    /// The connection breaks: the message did not arrive.
    UnknownLost,
    /// The process dies: the message arrived.
    DiesArrived,
    /// The process dies: the message did not arrive.
    DiesLost,
}

impl Setback {
    pub(super) const ALL: [Self; 7] = [
        Self::Later,
        Self::Refused,
        Self::Misconfigured,
        Self::UnknownArrived,
        Self::UnknownLost,
        Self::DiesArrived,
        Self::DiesLost,
    ];
}

/// What has arrived, and what is to go wrong; clones share it.
#[derive(Clone, Default)]
pub(super) struct Receiver(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    count: u32,
    chosen: Option<(u32, Setback)>,
    has_failed: bool,
    /// Told when the process is to die.
    is_dying: bool,
    receipts: BTreeMap<DeliveryId, u32>,
}

impl Receiver {
    pub(super) fn choose(&self, nth: u32, setback: Setback) {
        self.lock().chosen = Some((nth, setback));
    }

    pub(super) fn calls(&self) -> u32 {
        self.lock().count
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Whether the process is to die now; asked once.
    pub(super) fn takes_death(&self) -> bool {
        std::mem::take(&mut self.lock().is_dying)
    }

    pub(super) fn receipts(&self, id: DeliveryId) -> u32 {
        self.lock().receipts.get(&id).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict of the next call; `None` if no answer ever comes.
    fn next(&self, id: DeliveryId) -> Option<Verdict> {
        let mut calls = self.lock();
        calls.count += 1;
        let nth = calls.count;
        let setback = calls.chosen.filter(|(chosen, _)| *chosen == nth).map(|(_, setback)| setback);
        calls.has_failed |= setback.is_some();
        let arrives =
            matches!(setback, None | Some(Setback::UnknownArrived | Setback::DiesArrived));
        if arrives {
            *calls.receipts.entry(id).or_default() += 1;
        }
        match setback {
            None => Some(Verdict::accepted()),
            Some(Setback::Later) => Some(Verdict::later()),
            Some(Setback::Refused) => Some(Verdict::Refused),
            Some(Setback::Misconfigured) => Some(Verdict::Misconfigured),
            Some(Setback::UnknownArrived | Setback::UnknownLost) => Some(Verdict::Unknown),
            Some(Setback::DiesArrived | Setback::DiesLost) => {
                calls.is_dying = true;
                None
            }
        }
    }
}

impl Provider for Receiver {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(verdict) = self.next(envelope.delivery) else { return pending().await };
            Outcome { verdict, answer: Answer::new(None, "said"), captured: None }
        }
        .boxed()
    }

    fn longest_call(&self) -> Duration {
        Duration::from_secs(1)
    }
}
