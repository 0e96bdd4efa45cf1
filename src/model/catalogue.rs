//! What each event type means: its schema and its plan. Filled by `config`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::address::Channel;
use crate::model::id::{EventTypeName, ProviderName, SegmentName, StepName, TeamName};
use crate::model::window::Window;

/// Decides consent, windows, caps and unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// About the recipient's own business; needs no consent.
    Transactional,
    /// Advertising; needs consent, carries an unsubscribe link.
    Marketing,
}

impl Category {
    /// The category's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
        }
    }
}

/// What goes first when there is more than can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Before everything else.
    Urgent,
    /// The ordinary lane.
    Normal,
    /// Campaigns: only what the others leave.
    Bulk,
}

impl Lane {
    /// Every lane, first things first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// The lane's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// The lane's number in tables: smaller goes first.
    pub fn rank(self) -> i64 {
        match self {
            Self::Urgent => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    /// The lane of a number, the bulk lane for one that no lane has.
    pub fn from_rank(rank: i64) -> Self {
        match rank {
            0 => Self::Urgent,
            1 => Self::Normal,
            _ => Self::Bulk,
        }
    }
}

/// An entry of the catalogue.
#[derive(Clone, Debug)]
pub struct EventType {
    /// Its name: the CloudEvents `type` and the AMQP routing key.
    pub name: EventTypeName,
    /// One sentence for people.
    pub description: String,
    /// Consent, windows and unsubscribe follow from it.
    pub category: Category,
    /// What goes first.
    pub lane: Lane,
    /// JSON Schema (2020-12) of `data`.
    pub schema: Value,
    /// Where in `data` the order or complaint number stands (JSON pointer).
    pub business_key: Option<String>,
    /// Where in `data` the partner's id stands (JSON pointer).
    pub partner: Option<String>,
    /// Pointers into `data` that make up the id of events that come without one.
    pub id_from: Vec<String>,
    /// How messages of a publisher that knows nothing of Loa become this type.
    pub mapping: Option<Mapping>,
    /// What the event changes in the directory, in the accepting transaction.
    pub effect: Option<Effect>,
    /// Who is told, when and how.
    pub steps: Vec<Step>,
    /// Nothing of it is sent later than this after its time.
    pub expiry: Duration,
    /// When a delivery is tried again.
    pub retry: RetryPolicy,
    /// What happens after an attempt whose outcome nobody knows.
    pub on_unknown: OnUnknown,
}

/// Turns foreign messages into events of a type, matched by routing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The routing key that stands for this type.
    pub routing_key: String,
    /// Where in the body the id stands.
    pub id: Option<String>,
    /// Where in the body the time stands.
    pub time: Option<String>,
    /// Where in the body the data stands; none means the whole body.
    pub data: Option<String>,
}

/// A change of the client base that an event brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `data` is a partner.
    ChangesPartner,
    /// `data` is a contact.
    ChangesContact,
}

/// One line of an event type's plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique within the type.
    pub name: StepName,
    /// Who: the recipients of all entries together, each person once.
    pub to: Vec<Audience>,
    /// On which channels, in order of preference.
    pub channels: Vec<Channel>,
    /// How the channels of one recipient relate.
    pub strategy: Strategy,
    /// The template's folder; the event type's own name unless the step names another.
    pub template: String,
    /// When messages may go out, in the recipient's zone.
    pub window: Option<Window>,
    /// When the step is due.
    pub due: StepTime,
    /// Types of events that make the step unwanted, by the same business key.
    pub unless: Vec<EventTypeName>,
    /// Providers to use instead of the channel's first one.
    pub providers: BTreeMap<Channel, ProviderName>,
    /// Whether the message goes out in the name of the partner's manager.
    pub from_manager: bool,
}

/// Whom a step tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Audience {
    /// Those the event names or describes in `/recipients` of its data.
    Recipients,
    /// The partner's contacts, of these duties if any are given.
    Partner {
        /// Duties such as `buyer`; empty means everyone there.
        duties: Vec<String>,
    },
    /// The partner's manager.
    Manager,
    /// The superior of the partner's manager.
    Superior,
    /// The members of a team.
    Team(TeamName),
    /// The contacts of a saved segment.
    Segment(SegmentName),
    /// The contacts of the segment whose name stands at this pointer in `data`.
    SegmentAt(String),
}

impl fmt::Display for Audience {
    /// Writes the audience as the catalogue writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipients => f.write_str("recipients"),
            Self::Partner { duties } if duties.is_empty() => f.write_str("partner"),
            Self::Partner { duties } => write!(f, "partner:{}", duties.join(",")),
            Self::Manager => f.write_str("manager"),
            Self::Superior => f.write_str("superior"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::Segment(name) => write!(f, "segment:{name}"),
            Self::SegmentAt(pointer) => write!(f, "segment:{pointer}"),
        }
    }
}

/// How the channels of one step relate for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every channel.
    All,
    /// The next one when the one before failed, or was not sent within this time.
    Fallback {
        /// How long the one before has.
        after: Duration,
    },
}

/// When a step is due, before windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepTime {
    /// At the event's own time (or `notbefore`).
    Now,
    /// This long after it: an escalation.
    After(Duration),
    /// Relative to a time in the data: "two days before `/promised_at`".
    Relative {
        /// JSON pointer to an RFC 3339 time or a date.
        pointer: String,
        /// How far from it.
        by: Duration,
        /// Whether before (else after).
        before: bool,
    },
}

/// When a delivery is tried again after an answer that allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait before the second try; it doubles with each further one.
    pub first: Duration,
    /// The longest wait at all.
    pub cap: Duration,
    /// How many tries in all.
    pub max_attempts: u32,
}

impl RetryPolicy {
    /// The wait after try number `attempt` (from 1), with full jitter; `random` is in `[0, 1)`.
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.cap);
        ceiling.mul_f64(random.clamp(0.0, 1.0)).max(Duration::from_millis(100))
    }
}

/// What happens after an attempt whose outcome nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Try again: the message may arrive twice.
    Retry,
    /// Hold it until an operator decides.
    Hold,
}

/// Every event type by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The types.
    pub types: BTreeMap<EventTypeName, EventType>,
}

impl Catalogue {
    /// The type called `name`.
    pub fn find(&self, name: &str) -> Option<&EventType> {
        self.types.get(&EventTypeName::from(name))
    }

    /// The type that a foreign message with this routing key stands for.
    pub fn find_mapped(&self, routing_key: &str) -> Option<&EventType> {
        self.types.values().find(|event_type| {
            event_type.mapping.as_ref().is_some_and(|mapping| mapping.routing_key == routing_key)
        })
    }

    /// The steps (of any type) that an event of type `name` makes unwanted.
    pub fn cancelled_by(&self, name: &EventTypeName) -> Vec<(EventTypeName, StepName)> {
        let steps = self.types.values().flat_map(|t| t.steps.iter().map(move |s| (t, s)));
        steps
            .filter(|(_, step)| step.unless.contains(name))
            .map(|(event_type, step)| (event_type.name.clone(), step.name.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let policy = RetryPolicy {
            first: Duration::from_secs(10),
            cap: Duration::from_mins(1),
            max_attempts: 9,
        };

        let waits: Vec<_> = (1..=5).map(|attempt| policy.wait(attempt, 1.0).as_secs()).collect();

        assert_eq!(waits, [10, 20, 40, 60, 60]);
    }
}
