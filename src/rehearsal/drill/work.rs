//! What is published, and what has to come of it.

use serde_json::{Value, json};

use crate::intake::encode::{Outgoing, structured};
use crate::model::event::EventKey;
use crate::rehearsal::number_behind;

/// What stands before an event's number in its order number, which every message holds.
const MARK: &str = "drill-";
/// The source of all events.
const SOURCE: &str = "loa/drill";

/// A sort of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// By email, webhook and SMS, all at once; tried again if nobody knows what came of it.
    All,
    /// By a gateway that takes no id of ours; tried again.
    Team,
    /// By webhook; held if nobody knows what came of it.
    Hold,
}

impl Sort {
    /// Every sort.
    pub(super) const ALL: [Self; 3] = [Self::All, Self::Team, Self::Hold];

    /// The sort of the event of this number.
    pub(super) fn of(number: u64) -> Self {
        match number % 4 {
            0 => Self::Hold,
            1 => Self::Team,
            _ => Self::All,
        }
    }

    /// The name of its event type.
    pub(super) fn event_type(self) -> &'static str {
        match self {
            Self::All => "drill.all",
            Self::Team => "drill.team",
            Self::Hold => "drill.hold",
        }
    }

    /// The providers that each event of this sort goes out by, in order of their names.
    pub(super) fn providers(self) -> &'static [&'static str] {
        match self {
            Self::All => &["hook", "mail", "sms"],
            Self::Team => &["team"],
            Self::Hold => &["hook"],
        }
    }

    /// Its event type as the text of a file.
    pub(super) fn file(self) -> String {
        let (channels, lane, on_unknown) = match self {
            Self::All => ("\"email\", \"chat\", \"sms\"", "normal", "retry"),
            Self::Team => ("\"chat\"", "bulk", "retry"),
            Self::Hold => ("\"chat\"", "urgent", "hold"),
        };
        include_str!("event_type.toml")
            .replace("drill.NAME", self.event_type())
            .replace("LANE", lane)
            .replace("ON_UNKNOWN", on_unknown)
            .replace("CHANNELS", channels)
    }

    fn recipient(self, number: u64) -> Value {
        let name = "Trần Thị Bích";
        match self {
            Self::All => json!({
                "name": name, "chat": "hook",
                "email": format!("{MARK}{number}@receiver.example"),
                "phone": format!("+8490{:07}", number % 10_000_000),
            }),
            Self::Team => json!({ "name": name, "chat": "team" }),
            Self::Hold => json!({ "name": name, "chat": "hook" }),
        }
    }
}

/// How many deliveries come of the events up to this number.
pub(super) fn deliveries_of(events: u64) -> u64 {
    (0..events).map(|number| Sort::of(number).providers().len() as u64).sum()
}

/// The event of this number, byte for byte the same whenever it is asked for.
pub(super) fn event(number: u64) -> Vec<u8> {
    let sort = Sort::of(number);
    let data = json!({
        "order_id": business_key(number), "partner_id": "minh-phat",
        "shipped_at": "2026-12-03T14:20:00+07:00", "expected_at": "2026-12-05",
        "carrier": "Viettel Post", "packages": 24,
        "recipients": [sort.recipient(number)],
    });
    let event = Outgoing {
        event_type: sort.event_type().to_owned(),
        key: Some(EventKey { source: SOURCE.to_owned(), id: number.to_string() }),
        data,
        ..Outgoing::default()
    };
    structured(&event).into_bytes()
}

/// The order number of the event of this number.
pub(super) fn business_key(number: u64) -> String {
    format!("{MARK}{number}")
}

/// The number in an order number.
pub(super) fn number_of(business_key: &str) -> Option<u64> {
    business_key.strip_prefix(MARK)?.parse().ok()
}

/// The number behind the first order number in a message.
pub(super) fn number_in(bytes: &[u8]) -> Option<u64> {
    number_behind(MARK, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_whenever_it_is_asked_for_and_carries_its_number() {
        for number in 0..8 {
            assert_eq!(event(number), event(number));
            assert_eq!(number_in(&event(number)), Some(number));
            assert_eq!(number_of(&business_key(number)), Some(number));
        }
        assert_eq!(deliveries_of(4), 8);
    }
}
