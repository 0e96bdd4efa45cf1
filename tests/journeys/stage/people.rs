//! Who there is, and what happens to them: events as publishers write them.

use serde_json::{Value, json};

/// Long ago, as far as anyone here is concerned.
const ONCE: &str = "2026-01-01T00:00:00Z";

/// A CloudEvents event.
pub(crate) fn event(kind: &str, id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "type": kind, "source": "shop", "id": id, "data": data })
}

/// A partner with one contact who has an email address.
pub(crate) fn partner() -> [Value; 2] {
    let data =
        json!({ "id": "minh-phat", "name": "Minh Phát", "locale": "vi", "changed_at": ONCE });
    [
        event("partner.changed", "p-1", data),
        with(
            contact(
                "lan",
                Some("minh-phat"),
                json!({ "channel": "email", "email": "lan@minhphat.test" }),
            ),
            "name",
            json!("Nguyễn Thị Lan"),
        ),
    ]
}

/// Three partners, each with a manager who reads another chat, and a buyer: two of the buyers read
/// email (the last agreed to marketing), the second has only a phone. A fourth has a manager alone,
/// whose superior has a phone.
pub(crate) fn company() -> Vec<Value> {
    let looked_after = |id: &str, manager: &str| {
        let data = json!({ "id": id, "name": id, "manager": manager, "changed_at": ONCE });
        event("partner.changed", id, data)
    };
    let chat = |provider: &str| json!({ "channel": "chat", "provider": provider });
    let phone = json!({ "channel": "sms", "phone": "+84901234567" });
    let email = |email: &str| json!({ "channel": "email", "email": email });
    let agreed = json!([{ "address": email("mai@ancuong.test"), "granted": true, "at": ONCE,
                          "source": "contract" }]);
    vec![
        looked_after("minh-phat", "bao"),
        looked_after("hoa-sen", "chi"),
        looked_after("an-cuong", "dung"),
        looked_after("truc-lam", "chi"),
        contact("bao", None, chat("team-chat")),
        with(contact("chi", None, chat("hook")), "superior", json!("giang")),
        contact("giang", None, json!({ "channel": "sms", "phone": "+84909999999" })),
        contact("dung", None, chat("sandbox")),
        contact("lan", Some("minh-phat"), email("lan@minhphat.test")),
        contact("tam", Some("hoa-sen"), phone),
        with(contact("mai", Some("an-cuong"), email("mai@ancuong.test")), "consents", agreed),
    ]
}

fn with(mut event: Value, key: &str, value: Value) -> Value {
    event["data"][key] = value;
    event
}

/// A person with one address; whoever works for a partner buys there.
fn contact(id: &str, partner: Option<&str>, address: Value) -> Value {
    let duty = partner.map(|_| "buyer");
    event(
        "contact.changed",
        &format!("c-{id}"),
        json!({
            "id": id, "name": id, "partner": partner, "duty": duty, "addresses": [address],
            "changed_at": ONCE
        }),
    )
}

/// A delay of order number `number`, of the first partner.
pub(crate) fn delay(number: usize) -> Value {
    let number = number.to_string();
    event("order.delayed", &format!("d-{number}"), delayed("minh-phat", &number))
}

/// What is said of a late order.
pub(crate) fn delayed(partner: &str, order: &str) -> Value {
    json!({
        "order_id": format!("DH-{order}"), "partner_id": partner,
        "promised_at": "2030-01-01", "new_promised_at": "2030-01-05"
    })
}

/// Tells the manager of a partner by the webhook, and nobody else.
pub(crate) fn hooked(number: usize) -> Value {
    let number = number.to_string();
    event("order.delayed", &format!("h-{number}"), delayed("truc-lam", &number))
}

/// Tells the buyer of a partner by email, and its manager by a chat that is not looked at here.
pub(crate) fn mailed(number: usize) -> Value {
    let number = number.to_string();
    event("order.delayed", &format!("m-{number}"), delayed("an-cuong", &number))
}
