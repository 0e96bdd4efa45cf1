//! New events, and which of their deliveries are written.

use std::collections::HashSet;

use super::{Accepted, NewDelivery, PlannedEvent};
use crate::model::delivery::Delivery;

/// A new event with what is written of it: each recipient of a step once on a channel.
///
/// The event is new in its transaction, so no row of it is there before; only its plan could name
/// somebody twice, and what is not written must be neither counted nor sent.
pub(in crate::store) struct Fresh<'a> {
    pub(in crate::store) planned: &'a PlannedEvent,
    pub(super) deliveries: Vec<&'a NewDelivery>,
}

impl<'a> Fresh<'a> {
    pub(super) fn of(planned: &'a PlannedEvent) -> Self {
        let mut seen = HashSet::new();
        let mut deliveries = Vec::with_capacity(planned.deliveries.len());
        for new in &planned.deliveries {
            let Delivery { step, recipient_key, channel, .. } = &new.delivery;
            if seen.insert((step, recipient_key, *channel)) {
                deliveries.push(new);
            }
        }
        Self { planned, deliveries }
    }

    pub(super) fn accepted(&self) -> Accepted {
        Accepted::Planned {
            event: self.planned.event.id,
            planned: self.deliveries.len() as u64,
            planning: !self.planned.pages.is_empty(),
            leased: Vec::new(),
        }
    }
}
