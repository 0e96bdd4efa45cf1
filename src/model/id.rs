//! Names of things: random ones that sort by time, and the callers' own.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Uuid};

/// Keeps ids made within one millisecond in the order in which they were made.
static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A version 7 UUID (RFC 9562) for `now`, later than every one this process made before.
fn new_uuid(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    // A poisoned lock only means that another thread panicked between two ids; the order holds.
    let context = ORDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, sorting after all earlier ones of this process.
            pub fn new(now: Timestamp) -> Self {
                Self(new_uuid(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

uuid_id!(
    /// Loa's own id of an accepted event.
    EventId
);
uuid_id!(
    /// The id of one delivery; stable over all its attempts.
    DeliveryId
);
uuid_id!(
    /// The id of one rejected event.
    RejectedId
);
impl RejectedId {
    /// The lowest id that can be made at `moment`: where a look at all later ones begins.
    pub fn lowest_at(moment: Timestamp) -> Self {
        let millis = u64::try_from(moment.as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}

uuid_id!(
    /// Proves that a claim is still the one that was given out.
    LeaseToken
);
uuid_id!(
    /// One run of one process, from start to stop.
    RunId
);

text_id!(
    /// An entry of the catalogue, such as `order.delayed`.
    EventTypeName
);
text_id!(
    /// A step of an event type's plan, unique within the type.
    StepName
);
text_id!(
    /// The caller's own id of a contact.
    ContactId
);
text_id!(
    /// The caller's own id of a partner.
    PartnerId
);
text_id!(
    /// A team, such as `operators`.
    TeamName
);
text_id!(
    /// A saved filter over contacts and partners.
    SegmentName
);
text_id!(
    /// One configured way out of a channel, such as `relay`.
    ProviderName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_moment_sort_in_the_order_they_were_made() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();

        let ids: Vec<_> = (0..1000).map(|_| DeliveryId::new(now)).collect();

        assert!(ids.is_sorted());
    }

    #[test]
    fn the_lowest_id_of_a_moment_stands_between_those_before_and_its_own() {
        let (before, now) = (1_799_999_999_999, 1_800_000_000_000);
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let (earlier, later) = (RejectedId::new(at(before)), RejectedId::new(at(now)));

        let lowest = RejectedId::lowest_at(at(now));

        assert!(earlier < lowest && lowest <= later);
    }
}
