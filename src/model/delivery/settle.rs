//! Where a delivery goes next: after an answer, at the gate, when an answer comes too late.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::catalogue::{Category, OnUnknown, RetryPolicy};
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::outcome::Verdict;

/// What the event type says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When to try again.
    pub retry: RetryPolicy,
    /// What to do about an unknown outcome.
    pub on_unknown: OnUnknown,
}

/// Where a claimed delivery goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The new state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// A sentence beside the reason.
    pub detail: Option<String>,
    /// When it is due again; its present due time for final states.
    pub due_at: Timestamp,
    /// Whether the attempt counts.
    pub counts: bool,
    /// Whether the address must not be used again.
    pub suppresses: bool,
    /// Whether the provider must be put on hold.
    pub holds_provider: bool,
    /// The gateway's own id of the message.
    pub provider_message_id: Option<String>,
}

impl Settlement {
    /// A move to `state` that costs no attempt: the gate, a window, a render fault.
    pub fn uncounted(state: State, reason: Reason, due_at: Timestamp) -> Self {
        Self {
            state,
            reason,
            detail: None,
            due_at,
            counts: false,
            suppresses: false,
            holds_provider: false,
            provider_message_id: None,
        }
    }

    /// The same with a sentence beside the reason.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Decides where a delivery goes after attempt number `attempt` came to `verdict`.
///
/// `random` in `[0, 1)` spreads retries. What would be due after its expiry is `expired` at once.
pub fn settle(
    delivery: &Delivery,
    attempt: u32,
    verdict: &Verdict,
    policy: Policy,
    (now, random): (Timestamp, f64),
) -> Settlement {
    let ended = |state, reason| Settlement {
        counts: true,
        ..Settlement::uncounted(state, reason, delivery.due_at)
    };
    let again = |reason, wait: Duration| {
        if attempt >= policy.retry.max_attempts {
            return ended(State::Failed, Reason::OutOfAttempts);
        }
        let due_at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        if due_at > delivery.expires_at {
            return ended(State::Expired, Reason::Expiry);
        }
        Settlement { due_at, ..ended(State::Waiting, reason) }
    };
    match verdict {
        Verdict::Accepted { message_id } => Settlement {
            provider_message_id: message_id.clone(),
            ..ended(State::Sent, Reason::Accepted)
        },
        Verdict::Refused => ended(State::Failed, Reason::Refused),
        Verdict::BadAddress => {
            Settlement { suppresses: true, ..ended(State::Bounced, Reason::BadAddress) }
        }
        Verdict::Later { after, .. } => {
            let wait = policy.retry.wait(attempt, random);
            again(Reason::Retry, after.map_or(wait, |after| after.max(wait)))
        }
        Verdict::Misconfigured => Settlement {
            holds_provider: true,
            ..Settlement::uncounted(State::Waiting, Reason::ProviderHeld, now)
        },
        Verdict::Unknown => match policy.on_unknown {
            OnUnknown::Hold => ended(State::Held, Reason::UnknownOutcome),
            OnUnknown::Retry => {
                again(Reason::UnknownOutcomeRetry, policy.retry.wait(attempt, random))
            }
        },
    }
}

/// What stands against sending a delivery at this moment, as a claim brings it from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateFacts {
    /// The address is suppressed.
    pub is_suppressed: bool,
    /// The address has no consent to marketing.
    pub lacks_consent: bool,
    /// An event came that makes the delivery unwanted.
    pub is_overtaken: bool,
    /// For a fallback: the state of the channel before it, or of one further back that has gone
    /// out.
    pub before: Option<State>,
}

/// Asks whether a claimed delivery may be sent now; `None` lets it pass.
pub fn gate(delivery: &Delivery, facts: &GateFacts, now: Timestamp) -> Option<Settlement> {
    let ends = |state, reason| Some(Settlement::uncounted(state, reason, delivery.due_at));
    if facts.is_overtaken {
        return ends(State::Cancelled, Reason::Overtaken);
    }
    if facts.before.is_some_and(State::has_gone_out) {
        return ends(State::Cancelled, Reason::FallbackNotNeeded);
    }
    if now > delivery.expires_at {
        return ends(State::Expired, Reason::Expiry);
    }
    if facts.is_suppressed {
        return ends(State::Skipped, Reason::SuppressedAddress);
    }
    if delivery.category == Category::Marketing && facts.lacks_consent {
        return ends(State::Skipped, Reason::NoConsent);
    }
    None
}

/// Whether an acceptance that comes after its lease was lost still wins over `state`.
///
/// The person has the message, so it beats every state that no receipt has set.
pub fn late_acceptance_wins(state: State, reason: Reason) -> bool {
    match state {
        State::Sent | State::Delivered => false,
        State::Bounced => reason != Reason::Receipt,
        State::Waiting
        | State::Held
        | State::Failed
        | State::Skipped
        | State::Expired
        | State::Cancelled => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::address::Channel;
    use crate::model::catalogue::Lane;
    use crate::model::delivery::RecipientFacts;
    use crate::model::id::{DeliveryId, EventId};
    use crate::model::outcome::Obstacle;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivery(expires: i64) -> Delivery {
        Delivery {
            id: DeliveryId::new(at(0)),
            event: EventId::new(at(0)),
            event_type: "order.delayed".into(),
            step: "tell".into(),
            recipient_key: "an".into(),
            contact: None,
            partner: None,
            business_key: None,
            channel: Channel::Email,
            provider: Some("relay".into()),
            address: None,
            locale: "vi".into(),
            time_zone: "UTC".into(),
            recipient: RecipientFacts::default(),
            template: "order.delayed".into(),
            category: Category::Marketing,
            lane: Lane::Normal,
            state: State::Waiting,
            reason: Reason::Scheduled,
            detail: None,
            due_at: at(0),
            expires_at: at(expires),
            window: None,
            attempts: 1,
            after: None,
            version: 1,
            provider_message_id: None,
            is_captured: false,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn policy(on_unknown: OnUnknown) -> Policy {
        let retry = RetryPolicy {
            first: Duration::from_secs(10),
            cap: Duration::from_mins(10),
            max_attempts: 3,
        };
        Policy { retry, on_unknown }
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::accepted()),
            Just(Verdict::Refused),
            Just(Verdict::BadAddress),
            Just(Verdict::Misconfigured),
            Just(Verdict::Unknown),
            proptest::option::of(0_u64..100_000).prop_map(|after| {
                let after = after.map(Duration::from_secs);
                Verdict::Later { after, obstacle: Obstacle::Call }
            }),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_due_after_its_expiry_or_before_now(
            verdict in verdicts(),
            attempt in 1_u32..6,
            now in 0_i64..2000,
            random in 0.0..1.0_f64,
            hold in any::<bool>(),
        ) {
            let policy = policy(if hold { OnUnknown::Hold } else { OnUnknown::Retry });
            let settled = settle(&delivery(1000), attempt, &verdict, policy, (at(now), random));

            if settled.state == State::Waiting && settled.counts {
                prop_assert!(settled.due_at >= at(now));
                prop_assert!(settled.due_at <= at(1000));
                prop_assert!(attempt < policy.retry.max_attempts);
            }
            prop_assert!(settled.suppresses == (verdict == Verdict::BadAddress));
            prop_assert!(settled.counts != (verdict == Verdict::Misconfigured));
        }
    }

    #[test]
    fn the_providers_own_time_is_waited_for() {
        let after = Some(Duration::from_mins(5));
        let verdict = Verdict::Later { after, obstacle: Obstacle::Call };

        let settled = settle(&delivery(1000), 1, &verdict, policy(OnUnknown::Retry), (at(0), 0.5));

        assert_eq!((settled.state, settled.due_at), (State::Waiting, at(300)));
    }

    #[test]
    fn an_unknown_outcome_is_held_where_the_type_says_so() {
        let policy = policy(OnUnknown::Hold);

        let settled = settle(&delivery(1000), 1, &Verdict::Unknown, policy, (at(0), 0.5));

        assert_eq!((settled.state, settled.reason), (State::Held, Reason::UnknownOutcome));
    }

    #[test]
    fn the_gate_asks_in_order_of_what_people_want_to_know_first() {
        let facts = GateFacts {
            is_suppressed: true,
            lacks_consent: true,
            is_overtaken: true,
            before: Some(State::Sent),
        };
        let reason = |facts: &GateFacts, now| gate(&delivery(10), facts, at(now)).map(|s| s.reason);

        assert_eq!(reason(&facts, 11), Some(Reason::Overtaken));
        let facts = GateFacts { is_overtaken: false, ..facts };
        assert_eq!(reason(&facts, 11), Some(Reason::FallbackNotNeeded));
        let facts = GateFacts { before: Some(State::Failed), ..facts };
        assert_eq!(reason(&facts, 11), Some(Reason::Expiry));
        assert_eq!(reason(&facts, 10), Some(Reason::SuppressedAddress));
        let facts = GateFacts { is_suppressed: false, ..facts };
        assert_eq!(reason(&facts, 10), Some(Reason::NoConsent));
        let facts = GateFacts { lacks_consent: false, ..facts };
        assert_eq!(reason(&facts, 10), None);
    }

    #[test]
    fn a_late_acceptance_beats_all_but_a_receipt() {
        assert!(late_acceptance_wins(State::Cancelled, Reason::Overtaken));
        assert!(late_acceptance_wins(State::Bounced, Reason::BadAddress));
        assert!(!late_acceptance_wins(State::Bounced, Reason::Receipt));
        assert!(!late_acceptance_wins(State::Delivered, Reason::Receipt));
    }
}
