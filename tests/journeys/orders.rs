//! What is planned for later and unwanted by then, in whichever order the events arrive.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::receiver::{Gateway, Relay};
use crate::stage::{Clocked, company, event, outside, postgres};

#[tokio::test]
async fn what_waits_for_its_time_is_dropped_by_the_event_it_waits_for_sqlite() {
    play("").await;
}

#[tokio::test]
async fn what_waits_for_its_time_is_dropped_by_the_event_it_waits_for_postgres() {
    play(&postgres("journey_orders").await).await;
}

async fn play(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = Clocked::start(&outside(&relay, &gateway, ("", store))).await;
    loa.publish(&company()).await.unwrap();
    let first = loa.now();
    let then = first.checked_add(Duration::from_mins(1)).unwrap();
    loa.pass(Duration::from_mins(2)).await;

    // Three of each: one that nothing comes after, and the other two in both orders.
    loa.publish(&[opened("K-1", first), accepted("DH-1", first)]).await.unwrap();
    loa.publish(&[opened("K-2", first), accepted("DH-2", first)]).await.unwrap();
    loa.rest().await;
    loa.publish(&[resolved("K-2", then), shipped("DH-2", then)]).await.unwrap();
    loa.publish(&[resolved("K-3", then), shipped("DH-3", then)]).await.unwrap();
    loa.rest().await;
    loa.publish(&[opened("K-3", first), accepted("DH-3", first)]).await.unwrap();
    loa.pass(Duration::from_hours(3)).await;
    assert_eq!(loa.count("step=escalate&state=sent").await, 0);
    loa.pass(Duration::from_hours(24 * 5)).await;

    for (step, told, dropped) in
        [("escalate", "K-1", ["K-2", "K-3"]), ("remind_manager", "DH-1", ["DH-2", "DH-3"])]
    {
        let sent = loa.deliveries(&format!("step={step}&state=sent")).await;
        let keys: Vec<_> = sent.iter().map(|sent| sent["business_key"].as_str().unwrap()).collect();
        let rows = loa.deliveries(&format!("step={step}&business_key={told}")).await;
        assert_eq!(keys, [told], "{step} {rows:#?}");
        for key in dropped {
            let rows = loa.deliveries(&format!("step={step}&business_key={key}")).await;
            assert!(!rows.is_empty());
            for row in rows.iter().filter(|row| row["state"] != "skipped") {
                assert_eq!(
                    (&row["state"], &row["reason"]),
                    (&json!("cancelled"), &json!("overtaken"))
                );
            }
        }
    }
    let requests = gateway.requests.all();
    let texts: Vec<_> = requests.iter().filter(|request| request.path == "/texts").collect();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].body["to"], "+84909999999");
    assert_eq!(loa.closes().await["events"]["rejected"], 0);
}

fn at(time: Timestamp, mut event: Value) -> Value {
    event["time"] = json!(time.to_string());
    event
}

fn opened(key: &str, time: Timestamp) -> Value {
    let data = json!({ "complaint_id": key, "partner_id": "truc-lam", "subject": "Móp" });
    at(time, event("complaint.opened", &format!("o-{key}"), data))
}

fn resolved(key: &str, time: Timestamp) -> Value {
    let data = json!({
        "complaint_id": key, "partner_id": "truc-lam", "resolution": { "vi": "Đổi hàng" }
    });
    at(time, event("complaint.resolved", &format!("r-{key}"), data))
}

fn accepted(key: &str, time: Timestamp) -> Value {
    let data = json!({
        "order_id": key, "partner_id": "truc-lam", "promised_at": "2026-11-27", "currency": "VND",
        "total": 48_600_000,
        "lines": [{ "name": "Cà phê", "quantity": 2, "unit": "thùng" }]
    });
    at(time, event("order.accepted", &format!("a-{key}"), data))
}

fn shipped(key: &str, time: Timestamp) -> Value {
    let data = json!({
        "order_id": key, "partner_id": "truc-lam", "shipped_at": "2026-11-23T02:00:00Z",
        "carrier": "Viettel Post"
    });
    at(time, event("order.shipped", &format!("s-{key}"), data))
}
