//! Turns an outcome into the delivery's next state, and writes outcomes in batches.

use jiff::Timestamp;

use crate::model::catalogue::{Catalogue, OnUnknown, RetryPolicy};
use crate::model::delivery::{Delivery, Policy};

/// What holds for deliveries of a type that the catalogue no longer has.
const ORPHAN_POLICY: Policy = Policy {
    retry: RetryPolicy {
        first: std::time::Duration::from_secs(30),
        cap: std::time::Duration::from_mins(30),
        max_attempts: 10,
    },
    on_unknown: OnUnknown::Hold,
};

/// What the catalogue says about trying a delivery again.
pub fn policy_for(catalogue: &Catalogue, delivery: &Delivery) -> Policy {
    match catalogue.types.get(&delivery.event_type) {
        Some(event_type) => Policy { retry: event_type.retry, on_unknown: event_type.on_unknown },
        None => ORPHAN_POLICY,
    }
}

/// When a delivery's step may next go out, if its window is closed at `now`.
pub fn window_opens(
    catalogue: &Catalogue,
    delivery: &Delivery,
    now: Timestamp,
) -> Option<Timestamp> {
    let event_type = catalogue.types.get(&delivery.event_type)?;
    let step = event_type.steps.iter().find(|step| step.name == delivery.step)?;
    let zone = jiff::tz::TimeZone::get(&delivery.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let opens = step.window.as_ref()?.next_open(now, &zone);
    (opens > now).then_some(opens)
}
