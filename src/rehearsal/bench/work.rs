//! What is published: one event, one recipient, one message.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use crate::intake::encode::{Outgoing, structured};
use crate::model::address::Channel;
use crate::model::event::{Arrival, EventKey, Properties, Transport};
use crate::rehearsal::number_behind;

/// What stands before an event's number in the addresses and order numbers that sinks look for.
pub(super) const MARK: &str = "bench-";

/// An event type of the benchmark as the text of its file.
pub(super) fn event_type(channel: Channel) -> String {
    include_str!("event_type.toml").replace("CHANNEL", channel.as_str())
}

/// The event type of `channel` under another name, in another lane.
pub(super) fn named_event_type(channel: Channel, name: &str, lane: &str) -> String {
    event_type(channel)
        .replace(&format!("\"bench.{channel}\""), &format!("\"{name}\""))
        .replace("lane = \"normal\"", &format!("lane = \"{lane}\""))
}

/// Where the events of one measurement stand among all that a run publishes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// What the messages go by.
    pub(super) channel: Channel,
    /// The number of the first event.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u64,
    /// Nothing is due before this.
    pub(super) not_before: Option<Timestamp>,
}

impl Work {
    /// The event number `index` of this work.
    pub(super) fn event(&self, index: u64) -> Bytes {
        let name = format!("bench.{}", self.channel);
        event(&name, self.channel, self.first + index, self.not_before)
    }

    /// The events as they arrive by HTTP.
    pub(super) fn arrivals(&self, now: Timestamp) -> Vec<Arrival> {
        (0..self.count).map(|index| arrival(self.event(index), now)).collect()
    }
}

/// The event of type `name` with this number, in the words of a shop.
pub(super) fn event(
    name: &str,
    channel: Channel,
    number: u64,
    not_before: Option<Timestamp>,
) -> Bytes {
    let recipient = match channel {
        Channel::Email => {
            json!({ "name": "Trần Thị Bích", "email": format!("{MARK}{number}@sink.example") })
        }
        Channel::Chat | Channel::Sms => json!({ "name": "Trần Thị Bích", "chat": "chat" }),
    };
    let data = json!({
        "order_id": format!("{MARK}{number}"), "partner_id": "minh-phat",
        "shipped_at": "2026-12-03T14:20:00+07:00", "expected_at": "2026-12-05",
        "carrier": "Viettel Post", "packages": 24,
        "lines": [
            { "name": "Cà phê Robusta rang xay 1 kg", "quantity": 20, "unit": "thùng" },
            { "name": "Cà phê Arabica Cầu Đất 500 g", "quantity": 4, "unit": "thùng" },
        ],
        "recipients": [recipient],
    });
    let event = Outgoing {
        event_type: name.to_owned(),
        key: Some(EventKey { source: "loa/bench".to_owned(), id: format!("{name}-{number}") }),
        not_before,
        data,
        ..Outgoing::default()
    };
    Bytes::from(structured(&event))
}

/// Bytes as they arrive by HTTP.
pub(super) fn arrival(bytes: Bytes, at: Timestamp) -> Arrival {
    Arrival { bytes, properties: Properties::default(), transport: Transport::Http, at }
}

/// The number behind the first [`MARK`] in what a sink was sent.
pub(super) fn number_in(bytes: &[u8]) -> Option<u64> {
    number_behind(MARK, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_carries_its_number_to_where_a_sink_finds_it() {
        for channel in [Channel::Chat, Channel::Email] {
            let work = Work { channel, first: 1_000, count: 10, not_before: None };

            assert_eq!(number_in(&work.event(7)), Some(1_007));
        }
        assert_eq!(number_in(b"RCPT TO:<bench-12@sink.example>\r\n"), Some(12));
        assert_eq!(number_in(b"nothing"), None);
    }
}
