//! What is urgent goes before what is waiting, however much that is.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Manner, Relay};
use crate::stage::{Running, company, event, mailed, outside, postgres, with_catalogue};

/// How many messages one event brings, and how many such events there are.
const BULK: (usize, usize) = (1000, 10);
/// How many messages go to the relay at once.
const SLOTS: usize = 8;

#[tokio::test]
async fn ten_thousand_waiting_messages_do_not_delay_an_urgent_one_sqlite() {
    play("").await;
}

#[tokio::test]
async fn ten_thousand_waiting_messages_do_not_delay_an_urgent_one_postgres() {
    play(&postgres("journey_lanes").await).await;
}

async fn play(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("", store));
    let in_bulk = |name: &str, text: String| match name {
        "complaint.resolved" => text.replace("lane = \"normal\"", "lane = \"bulk\""),
        _ => text,
    };
    let loa = Running::start(&folder, &with_catalogue(&folder, &settings, in_bulk)).await;
    loa.publish(&company()).await.unwrap();
    relay.usually(Manner::HoldsAfterTheDot);

    for number in 0..BULK.1 {
        loa.publish(&[resolved(number)]).await.unwrap();
    }
    relay.mails.wait_for(SLOTS).await;
    assert_eq!(loa.count("type=complaint.resolved&state=waiting").await, BULK.0 * BULK.1);
    loa.publish(&[mailed(1)]).await.unwrap();
    // One place comes free, and one message more arrives.
    relay.release(1);
    let mails = relay.mails.wait_for(SLOTS + 1).await;

    assert_eq!(mails[SLOTS].to, "mai@ancuong.test");
    loa.closes().await;
}

/// A complaint that very many people are told of.
fn resolved(number: usize) -> Value {
    let people: Vec<_> = (0..BULK.0).map(|n| format!("p{n}@of{number}.test")).collect();
    let data = json!({
        "complaint_id": format!("K-{number}"), "partner_id": "truc-lam",
        "resolution": { "vi": "Đổi hàng" }, "recipients": people
    });
    event("complaint.resolved", &format!("r-{number}"), data)
}
