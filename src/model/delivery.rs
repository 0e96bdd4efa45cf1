//! One step of one event to one recipient on one channel, and the states it goes through.
//!
//! Every transition is decided by the functions re-exported here, which wait for nothing and ask
//! no clock.

mod intent;
mod settle;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::address::{Address, Channel};
use crate::model::catalogue::{Category, Lane};
use crate::model::id::{
    ContactId, DeliveryId, EventId, EventTypeName, LeaseToken, PartnerId, ProviderName, StepName,
};
use crate::model::window::Window;

pub use intent::Intent;
pub use settle::{GateFacts, Policy, Settlement, gate, late_acceptance_wins, settle};

/// Where a delivery stands; it is in exactly one state at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due at a time: now, later, or again. While a worker tries it, it also carries a lease.
    Waiting,
    /// An operator, a render fault or an unknown outcome holds it.
    Held,
    /// A gateway accepted it.
    Sent,
    /// A receipt says that it arrived.
    Delivered,
    /// The receiver's side refused it for good.
    Bounced,
    /// Our side or the gateway refused it for good.
    Failed,
    /// Decided against; the reason says why.
    Skipped,
    /// Too late.
    Expired,
    /// No longer wanted.
    Cancelled,
}

impl State {
    /// Every state, in the order in which people list them.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Held,
        Self::Sent,
        Self::Delivered,
        Self::Bounced,
        Self::Failed,
        Self::Skipped,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The state's word in tables, JSON and routing keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing but a receipt or an operator moves it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Held)
    }

    /// Whether a gateway has accepted the message.
    pub fn has_gone_out(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered)
    }

    /// Whether a fallback's next channel takes over from a delivery in this state at once.
    pub fn calls_fallback(self) -> bool {
        matches!(self, Self::Failed | Self::Bounced | Self::Skipped | Self::Expired)
    }
}

/// Why a delivery is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `waiting`: due at the event's own time, or later by the step's plan.
    Scheduled,
    /// `waiting`: moved by a window.
    Window,
    /// `waiting`: stands behind another channel of the same step.
    Fallback,
    /// `waiting`: to be tried again after an answer that allows it.
    Retry,
    /// `waiting`: to be tried again though nobody knows the last outcome.
    UnknownOutcomeRetry,
    /// `waiting`: its provider was found misconfigured and is on hold.
    ProviderHeld,
    /// `waiting`: released or retried by an operator.
    Released,
    /// `held`: by an operator.
    Operator,
    /// `held`: its template, layout or data does not render.
    RenderFault,
    /// `held`: an attempt has an outcome that nobody knows, and the type says hold.
    UnknownOutcome,
    /// `sent`: a gateway accepted it.
    Accepted,
    /// `delivered`, `bounced`: a receipt said so.
    Receipt,
    /// `bounced`: the address does not exist.
    BadAddress,
    /// `failed`: the gateway refused it for good.
    Refused,
    /// `failed`: tried as often as the type allows.
    OutOfAttempts,
    /// `skipped`: nobody in the audience.
    EmptyAudience,
    /// `skipped`: the event names a contact that is not known.
    UnknownContact,
    /// `skipped`: the recipient has no address on this channel.
    NoAddress,
    /// `skipped`: the address is suppressed.
    SuppressedAddress,
    /// `skipped`: no consent to marketing.
    NoConsent,
    /// `skipped`: the event is a test for another address.
    NotOnlyAddress,
    /// `expired`: later than the type's expiry.
    Expiry,
    /// `cancelled`: an event came that makes it unwanted.
    Overtaken,
    /// `cancelled`: the channel before it reached the recipient.
    FallbackNotNeeded,
    /// `cancelled`: the next channel took over.
    FallbackTookOver,
    /// `cancelled`: by an operator.
    CancelledByOperator,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 26] = [
        Self::Scheduled,
        Self::Window,
        Self::Fallback,
        Self::Retry,
        Self::UnknownOutcomeRetry,
        Self::ProviderHeld,
        Self::Released,
        Self::Operator,
        Self::RenderFault,
        Self::UnknownOutcome,
        Self::Accepted,
        Self::Receipt,
        Self::BadAddress,
        Self::Refused,
        Self::OutOfAttempts,
        Self::EmptyAudience,
        Self::UnknownContact,
        Self::NoAddress,
        Self::SuppressedAddress,
        Self::NoConsent,
        Self::NotOnlyAddress,
        Self::Expiry,
        Self::Overtaken,
        Self::FallbackNotNeeded,
        Self::FallbackTookOver,
        Self::CancelledByOperator,
    ];

    /// The reason's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Window => "window",
            Self::Fallback => "fallback",
            Self::Retry => "retry",
            Self::UnknownOutcomeRetry => "unknown_outcome_retry",
            Self::ProviderHeld => "provider_held",
            Self::Released => "released",
            Self::Operator => "operator",
            Self::RenderFault => "render_fault",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Accepted => "accepted",
            Self::Receipt => "receipt",
            Self::BadAddress => "bad_address",
            Self::Refused => "refused",
            Self::OutOfAttempts => "out_of_attempts",
            Self::EmptyAudience => "empty_audience",
            Self::UnknownContact => "unknown_contact",
            Self::NoAddress => "no_address",
            Self::SuppressedAddress => "suppressed_address",
            Self::NoConsent => "no_consent",
            Self::NotOnlyAddress => "not_only_address",
            Self::Expiry => "expiry",
            Self::Overtaken => "overtaken",
            Self::FallbackNotNeeded => "fallback_not_needed",
            Self::FallbackTookOver => "fallback_took_over",
            Self::CancelledByOperator => "cancelled_by_operator",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What a template may say of the recipient, kept with the delivery as it was when planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipientFacts {
    /// The recipient's name.
    pub name: Option<String>,
    /// What the recipient does at the partner.
    pub duty: Option<String>,
    /// The partner's name.
    pub partner_name: Option<String>,
    /// The partner's tier.
    pub tier: Option<String>,
    /// The partner's manager, for From name, Reply-To and signature.
    pub manager: Option<ManagerFacts>,
}

/// The manager in whose name a message goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagerFacts {
    /// The manager's name.
    pub name: String,
    /// The manager's email address.
    pub email: Option<String>,
    /// The manager's phone number.
    pub phone: Option<String>,
    /// What the manager's messages end with.
    pub signature: Option<String>,
}

/// A delivery as the store keeps it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id, stable over all attempts.
    pub id: DeliveryId,
    /// The event it was planned from.
    pub event: EventId,
    /// The event's type.
    pub event_type: EventTypeName,
    /// The step of the type's plan.
    pub step: StepName,
    /// The contact's id, else the id of an inline recipient, else the normalised address.
    pub recipient_key: String,
    /// The contact, when the directory knows one.
    pub contact: Option<ContactId>,
    /// The partner the event is about, or the contact's own.
    pub partner: Option<PartnerId>,
    /// The order or complaint number.
    pub business_key: Option<String>,
    /// The channel.
    pub channel: Channel,
    /// The provider that is to send it; none only for `skipped` rows.
    pub provider: Option<ProviderName>,
    /// The address; none for recipients without one.
    pub address: Option<Address>,
    /// Language of the message, before fallback.
    pub locale: String,
    /// IANA name of the recipient's zone.
    pub time_zone: String,
    /// What templates may say of the recipient.
    pub recipient: RecipientFacts,
    /// Folder of the template.
    pub template: String,
    /// Decides consent and unsubscribe.
    pub category: Category,
    /// What goes first.
    pub lane: Lane,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// A sentence beside the reason: which variable is missing, what the gateway said.
    pub detail: Option<String>,
    /// When it is to be tried.
    pub due_at: Timestamp,
    /// Never sent later than this.
    pub expires_at: Timestamp,
    /// The step's window when it was planned; what holds is that of the step as it is now, but the
    /// step may be gone.
    pub window: Option<Window>,
    /// Attempts begun and counted.
    pub attempts: u32,
    /// The delivery of the channel before this one, for a fallback.
    pub after: Option<DeliveryId>,
    /// Counts transitions; receivers of status events order by it.
    pub version: u32,
    /// The gateway's own id of the message.
    pub provider_message_id: Option<String>,
    /// Whether its message was captured instead of sent; only searches say so.
    pub is_captured: bool,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A worker's hold on one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Proves the claim.
    pub token: LeaseToken,
    /// How long it lasts unless renewed.
    pub lasts: Duration,
}
