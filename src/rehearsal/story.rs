//! What happens in the demo: events of every type, some of them broken, and what must come of it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::delivery::{Reason, State};
use crate::model::event::RejectReason;

/// One thing that happens.
pub(super) struct Act {
    /// What to tell people.
    pub(super) says: &'static str,
    /// What is handed in.
    pub(super) bytes: Vec<u8>,
    /// How long the provider plays dead from now on.
    pub(super) outage: Option<Duration>,
}

/// What must have come about at the end.
pub(super) enum Expected {
    /// At least this many deliveries of a type in a state, for a reason.
    Deliveries(&'static str, State, Reason, u64),
    /// At least this many rejected events, for a reason.
    Rejected(RejectReason, usize),
    /// At least this many repeats.
    Repeats(i64),
}

/// How long the story goes on after its last act.
pub(super) const HORIZON: Duration = Duration::from_hours(6);

/// The acts, in order; `start` is when the story begins.
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
pub(super) fn acts(start: Timestamp) -> Vec<Act> {
    let day = |days: i64| {
        let date = start.to_zoned(jiff::tz::TimeZone::UTC).date();
        date.saturating_add(jiff::Span::new().days(days)).to_string()
    };
    let act = |says, bytes: String| Act { says, bytes: bytes.into_bytes(), outage: None };
    let delayed = |id: &str, order: &str, partner: &str| {
        event(
            "order.delayed",
            id,
            json!({
                "order_id": order, "partner_id": partner,
                "promised_at": day(3), "new_promised_at": day(7),
                "reason": { "vi": "Đèo Bảo Lộc sạt lở, xe phải đi vòng.",
                            "en": "A landslide closed the pass; the lorry takes another road." }
            }),
        )
    };
    let complaint = |id: &str, number: &str, partner: &str| {
        event(
            "complaint.opened",
            id,
            json!({
                "complaint_id": number, "partner_id": partner, "severity": "high",
                "subject": "12 thùng bị móp, rách bao bì"
            }),
        )
    };
    let texts = |headline: &str, text: &str| json!({ "headline": headline, "text": text, "link": "https://saomai.example/moi" });
    let content = json!({
        "vi": texts("Cà phê Moka Cầu Đất, vụ mới", "Rang vừa, hậu vị ngọt."),
        "en": texts("Moka from Cau Dat, new crop", "Medium roast, sweet finish.")
    });
    let invitation = json!({
        "vi": texts("Mời Quý đối tác đến gian hàng Sao Mai tại hội chợ cà phê",
                    "Mời Quý đối tác đến nếm thử hạt vụ mới và gặp chuyên gia rang."),
        "en": texts("Visit us at the coffee fair", "Taste the new crop and meet our roasters.")
    });
    let lines = json!([{ "name": "Cà phê Robusta 1 kg", "quantity": 24, "unit": "thùng",
                         "amount": 34_560_000 }]);
    let outage = Act {
        outage: Some(Duration::from_mins(5)),
        ..act(
            "An order ships while the gateway is down for five minutes",
            event(
                "order.shipped",
                "s-1",
                json!({
                    "order_id": "DH-1003", "partner_id": "northwind", "shipped_at": start.to_string(),
                    "carrier": "Viettel Post", "expected_at": day(2)
                }),
            ),
        )
    };
    let held_back = json!({
        "specversion": "1.0", "type": "order.delayed", "source": "shop", "id": "d-9",
        "time": start.to_string(), "notbefore": (start + Duration::from_hours(2)).to_string(),
        "data": { "order_id": "DH-1009", "partner_id": "phuc-long-tea",
                  "promised_at": day(3), "new_promised_at": day(7) }
    });
    vec![
        act(
            "Minh Phát's order is accepted",
            event(
                "order.accepted",
                "a-1",
                json!({
                    "order_id": "DH-1001", "partner_id": "minh-phat", "promised_at": day(10),
                    "currency": "VND", "total": 34_560_000, "lines": lines
                }),
            ),
        ),
        act("Minh Phát's order will be late", delayed("d-1", "DH-1001", "minh-phat")),
        act("The same event again", delayed("d-1", "DH-1001", "minh-phat")),
        act("An Khang's mail server refuses", delayed("d-2", "DH-1002", "an-khang")),
        act("Đại Việt's address does not exist", delayed("d-3", "DH-1003", "dai-viet")),
        act("Thành Công's mail server recovers", delayed("d-4", "DH-1004", "thanh-cong")),
        act("Tâm Đức's mail server asks for time", delayed("d-5", "DH-1005", "tam-duc")),
        act("Việt Tín's answer gets lost", delayed("d-6", "DH-1006", "viet-tin")),
        act("Biển Xanh is suppressed, and has no phone", delayed("d-7", "DH-1007", "bien-xanh")),
        act("A delay that waits for two hours …", held_back.to_string()),
        act(
            "… and is over before anybody was told",
            event(
                "order.delay_resolved",
                "r-9",
                json!({
                    "order_id": "DH-1009", "partner_id": "phuc-long-tea", "promised_at": day(3)
                }),
            ),
        ),
        act("Minh Phát complains; nobody answers", complaint("c-1", "KN-01", "minh-phat")),
        act("Hoa Sen complains …", complaint("c-2", "KN-02", "hoa-sen")),
        act(
            "… and is answered",
            event(
                "complaint.resolved",
                "cr-2",
                json!({
                    "complaint_id": "KN-02", "partner_id": "hoa-sen",
                    "resolution": { "vi": "Đã đổi hàng.", "en": "We replaced the goods." }
                }),
            ),
        ),
        act(
            "A new product for every buyer",
            event(
                "product.launched",
                "p-1",
                json!({
                    "product_id": "SM-MOKA", "segment": "buyers", "content": content
                }),
            ),
        ),
        act(
            "A promotion for friends of coffee",
            event(
                "promotion.announced",
                "m-1",
                json!({
                    "promotion_id": "TET", "segment": "coffee", "content": content
                }),
            ),
        ),
        act(
            "An invitation to the fair",
            event(
                "invitation.announced",
                "i-1",
                json!({
                    "invitation_id": "FAIR", "segment": "buyers", "kind": "fair",
                    "starts_at": (start + Duration::from_hours(480)).to_string(),
                    "venue": { "name": "SECC", "address": "799 Nguyễn Văn Linh, TP. Hồ Chí Minh" },
                    "content": invitation
                }),
            ),
        ),
        act(
            "A partner gets another manager",
            event(
                "partner.changed",
                "pc-1",
                json!({
                    "id": "viet-tin", "name": "Việt Tín Logistics", "tier": "standard",
                    "manager": "tran-quoc-bao", "locale": "vi", "changed_at": start.to_string()
                }),
            ),
        ),
        act(
            "A contact moves",
            event(
                "contact.changed",
                "cc-1",
                json!({
                    "id": "vo-van-hung", "name": "Võ Văn Hùng", "partner": "minh-phat",
                    "duty": "accountant", "locale": "vi", "changed_at": start.to_string(),
                    "addresses": [{ "channel": "email", "email": "hung@minhphat.example" }]
                }),
            ),
        ),
        outage,
        act("Bytes that are no event", "{\"specversion\": \"1.0\", ".to_owned()),
        act("A type nobody knows", event("order.eaten", "x-1", json!({}))),
        act("Data that does not fit", event("order.delayed", "x-2", json!({ "order_id": 7 }))),
        act("An id used for something else", delayed("d-1", "DH-9999", "minh-phat")),
    ]
}

/// What must have come about.
pub(super) fn expected() -> Vec<Expected> {
    use Expected::{Deliveries, Rejected, Repeats};
    vec![
        Deliveries("order.accepted", State::Sent, Reason::Accepted, 1),
        Deliveries("order.accepted", State::Waiting, Reason::Window, 1),
        Deliveries("order.delayed", State::Sent, Reason::Accepted, 6),
        Deliveries("order.delayed", State::Failed, Reason::Refused, 1),
        Deliveries("order.delayed", State::Bounced, Reason::BadAddress, 1),
        Deliveries("order.delayed", State::Skipped, Reason::SuppressedAddress, 1),
        Deliveries("order.delayed", State::Skipped, Reason::NoAddress, 1),
        Deliveries("order.delayed", State::Cancelled, Reason::FallbackNotNeeded, 1),
        Deliveries("order.delayed", State::Cancelled, Reason::Overtaken, 1),
        Deliveries("order.shipped", State::Sent, Reason::Accepted, 1),
        Deliveries("complaint.opened", State::Sent, Reason::Accepted, 5),
        Deliveries("complaint.opened", State::Cancelled, Reason::Overtaken, 1),
        Deliveries("complaint.resolved", State::Sent, Reason::Accepted, 1),
        Deliveries("product.launched", State::Sent, Reason::Accepted, 3),
        Deliveries("product.launched", State::Skipped, Reason::NoConsent, 1),
        Deliveries("promotion.announced", State::Sent, Reason::Accepted, 1),
        Deliveries("invitation.announced", State::Sent, Reason::Accepted, 1),
        Rejected(RejectReason::Undecodable, 1),
        Rejected(RejectReason::UnknownType, 1),
        Rejected(RejectReason::Schema, 1),
        Rejected(RejectReason::IdReused, 1),
        Repeats(1),
    ]
}

fn event(kind: &str, id: &str, data: Value) -> String {
    let mut event = json!({
        "specversion": "1.0", "type": kind, "source": "shop", "id": id,
    });
    event["data"] = data;
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_says_other_words_than_the_product() {
        let acts = acts(Timestamp::UNIX_EPOCH);
        let content = |kind: &str| {
            let events = acts.iter().filter_map(|act| serde_json::from_slice(&act.bytes).ok());
            let found = events.into_iter().find(|event: &Value| event["type"] == kind).unwrap();
            found["data"]["content"].clone()
        };
        let (invitation, product) = (content("invitation.announced"), content("product.launched"));
        for language in ["vi", "en"] {
            for part in ["headline", "text"] {
                assert_ne!(invitation[language][part], product[language][part]);
            }
        }
        assert!(invitation["vi"]["headline"].as_str().unwrap().contains("hội chợ"));
        assert!(invitation["en"]["headline"].as_str().unwrap().contains("fair"));
    }
}
