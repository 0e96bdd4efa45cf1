//! Turns an outcome into the delivery's next state, and writes outcomes in batches.

mod late;
mod recorder;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::address::Channel;
use crate::model::catalogue::{Catalogue, Category, OnUnknown, RetryPolicy};
use crate::model::delivery::{Delivery, Policy, Settlement, State, settle};
use crate::model::mask::masked;
use crate::model::outcome::{Attempt, Outcome};
use crate::model::window::Window;
use crate::store::{Claimed, Finish};

pub use recorder::Recorder;

/// What holds for deliveries of a type that the catalogue no longer has.
const ORPHAN_POLICY: Policy = Policy {
    retry: RetryPolicy {
        first: Duration::from_secs(30),
        cap: Duration::from_mins(30),
        max_attempts: 10,
    },
    on_unknown: OnUnknown::Hold,
};

/// What a try came to, and when it began and ended.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What the provider made of it.
    pub outcome: Outcome,
    /// When the try began.
    pub started_at: Timestamp,
    /// When the answer came or the wait ended.
    pub finished_at: Timestamp,
    /// The template version that was rendered.
    pub template_version: Option<String>,
}

/// Decides what a try makes of a claimed delivery; `random` in `[0, 1)` spreads retries.
pub fn outcome(claimed: &Arc<Claimed>, tried: Tried, catalogue: &Catalogue, random: f64) -> Finish {
    let delivery = &claimed.delivery;
    let Tried { outcome, started_at, finished_at, template_version } = tried;
    let policy = policy_for(catalogue, delivery);
    let time = (finished_at, random);
    let mut settlement = settle(delivery, claimed.attempt, &outcome.verdict, policy, time);
    if settlement.state != State::Sent && !outcome.answer.text.is_empty() {
        // What is said of a provider stands beside all that waits for it, whoever that is for.
        settlement.detail = Some(match settlement.holds_provider {
            true => masked(&outcome.answer.text),
            false => outcome.answer.text.clone(),
        });
    }
    let attempt = delivery.provider.clone().map(|provider| Attempt {
        delivery: delivery.id,
        number: claimed.attempt,
        provider,
        started_at,
        finished_at,
        class: outcome.verdict.class(),
        answer: outcome.answer,
        template_version,
    });
    let captured = outcome.captured;
    Finish { claimed: Arc::clone(claimed), attempt, settlement, captured }
}

/// Gives a claimed delivery back without a try.
pub fn without_try(claimed: &Arc<Claimed>, settlement: Settlement) -> Finish {
    Finish { claimed: Arc::clone(claimed), attempt: None, settlement, captured: None }
}

/// What the catalogue says about trying a delivery again.
pub fn policy_for(catalogue: &Catalogue, delivery: &Delivery) -> Policy {
    #[cfg(test)]
    if crate::sabotage::is(crate::sabotage::Sabotage::RetriesWhatIsHeld)
        && let Some(event_type) = catalogue.types.get(&delivery.event_type)
    {
        return Policy { retry: event_type.retry, on_unknown: OnUnknown::Retry };
    }
    match catalogue.types.get(&delivery.event_type) {
        Some(event_type) => Policy { retry: event_type.retry, on_unknown: event_type.on_unknown },
        None => ORPHAN_POLICY,
    }
}

/// When a delivery may next go out, if a window is closed at `now`: its step's, or for marketing by
/// SMS also the one that the law sets (`sms_hours`).
///
/// A step that the catalogue no longer has keeps the window that it had when it was planned.
pub fn window_opens(
    catalogue: &Catalogue,
    sms_hours: Option<&Window>,
    delivery: &Delivery,
    now: Timestamp,
) -> Option<Timestamp> {
    let event_type = catalogue.types.get(&delivery.event_type);
    let step = event_type.and_then(|t| t.steps.iter().find(|step| step.name == delivery.step));
    let is_marketing_sms =
        delivery.category == Category::Marketing && delivery.channel == Channel::Sms;
    let zone = jiff::tz::TimeZone::get(&delivery.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let own = step.map_or(&delivery.window, |step| &step.window).as_ref();
    let windows = [own, sms_hours.filter(|_| is_marketing_sms)];
    let opens = windows.into_iter().flatten().map(|window| window.next_open(now, &zone)).max()?;
    (opens > now).then_some(opens)
}

#[cfg(test)]
mod tests;
