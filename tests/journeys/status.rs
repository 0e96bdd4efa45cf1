//! What becomes of events and deliveries is heard on the status exchange.

use std::collections::{BTreeMap, BTreeSet};

use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay, Reply};
use crate::stage::{
    Heard, Proxy, Rabbit, Running, company, delayed, event, hooked, hurried, outside, postgres,
    settings, with_catalogue,
};

#[tokio::test]
async fn whatever_happens_is_heard_by_rabbitmq_sqlite() {
    hear("").await;
}

#[tokio::test]
async fn whatever_happens_is_heard_by_rabbitmq_postgres() {
    hear(&postgres("journey_status").await).await;
}

async fn hear(store: &str) {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let settings = settings(&format!("{}{store}", rabbit.settings()));
    let holding = |name: &str, text: String| match name {
        "complaint.resolved" => text.replace("on_unknown = \"retry\"", "on_unknown = \"hold\""),
        _ => hurried(name, text),
    };
    let loa = Running::start(&folder, &with_catalogue(&folder, &settings, holding)).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let mut listener = rabbit.listen("#").await;

    let mut missing: BTreeSet<_> = [
        "status.event.planned.order.delayed",
        "status.event.rejected.order.eaten",
        "status.event.repeated.order.delayed",
        "status.email.sent.order.delayed",
        "status.email.bounced.order.delayed",
        "status.email.failed.order.delayed",
        "status.email.waiting.order.delayed",
        "status.email.skipped.order.delayed",
        "status.email.cancelled.order.delayed",
        "status.email.expired.order.delayed",
        "status.email.held.complaint.resolved",
    ]
    .into();
    for event in eventful() {
        let properties = BasicProperties::default().with_correlation_id("corr-7".into());
        rabbit.publish(event["type"].as_str().unwrap(), &event.to_string(), properties).await;
    }
    let enough = |heard: &Heard| {
        missing.remove(heard.key.as_str());
        missing.is_empty()
    };
    let mut heard = listener.until(enough).await;
    loa.drain().await;
    let closing = event("order.eaten", "closing", json!({}));
    rabbit.publish_events(&[closing]).await;
    let last = listener.until(|heard| heard.body["event"]["id"] == json!("closing")).await;
    heard.extend(last);
    // What else happens here: the company moves in, and the closing event.
    heard.retain(|told| !told.key.ends_with(".changed") && told.body["event"]["id"] != "closing");

    assert_versions_rise(&loa, &heard).await;
    loa.closes().await;
    rabbit.remove().await;
}

#[tokio::test]
async fn of_a_message_that_cannot_be_read_its_publisher_hears_which_it_was_by_rabbitmq() {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings(&rabbit.settings())).await;
    loa.ready().await;
    let mut listener = rabbit.listen("status.event.rejected.#").await;

    let properties = BasicProperties::default()
        .with_message_id("m-13".into())
        .with_correlation_id("corr-7".into());
    rabbit.publish("order.delayed", "{\"order_id\":", properties).await;
    let heard = listener.until(|_| true).await.remove(0).body;

    let kept = loa.get("/v1/rejected").await;
    assert_eq!(heard["rejected"], kept["rejected"][0]["id"], "{heard}");
    assert_eq!(heard["reason"], "undecodable", "{heard}");
    let known = ["message_id", "routing_key", "correlation_id"].map(|key| heard[key].clone());
    assert_eq!(known, ["m-13", "order.delayed", "corr-7"], "{heard}");
    rabbit.remove().await;
}

/// Each version of a delivery is told once, and the last is what it is now.
async fn assert_versions_rise(loa: &Running, heard: &[Heard]) {
    let mut versions: BTreeMap<&str, BTreeMap<u64, &Value>> = BTreeMap::new();
    for heard in heard {
        assert_eq!(heard.correlation_id.as_deref(), Some("corr-7"), "{}", heard.key);
        assert!(!heard.body.to_string().contains("x.test"), "an address in {}", heard.body);
        let Some(delivery) = heard.body["delivery"].as_str() else { continue };
        let version = heard.body["version"].as_u64().unwrap();
        let before = versions.entry(delivery).or_default().insert(version, &heard.body["state"]);
        assert_eq!(before, None, "version {version} of {delivery} was told twice");
    }
    for (id, told) in versions {
        let now = &loa.get(&format!("/v1/deliveries/{id}")).await["delivery"];
        let (version, state) = told.last_key_value().unwrap();
        assert_eq!((&now["version"], &now["state"]), (&json!(version), *state));
    }
}

/// Events that bring about every state; the sandbox's addresses do as their names say.
fn eventful() -> Vec<Value> {
    let to = |id: &str, address: &str| {
        let mut data = delayed("an-cuong", id);
        data["recipients"] = json!([address]);
        event("order.delayed", id, data)
    };
    let resolved = json!({
        "complaint_id": "K-1", "partner_id": "an-cuong", "resolution": { "vi": "Đổi hàng" },
        "recipients": ["unknown.e@x.test"]
    });
    let over =
        json!({ "order_id": "DH-later", "partner_id": "an-cuong", "promised_at": "2030-01-01" });
    let mut later = to("later", "later@x.test");
    later["notbefore"] = json!("2035-01-01T00:00:00Z");
    let mut late = to("late", "late@x.test");
    late["time"] = json!("2020-01-01T00:00:00Z");
    vec![
        to("good", "good@x.test"),
        to("good", "good@x.test"),
        to("bounce", "bounce@x.test"),
        to("refuse", "refuse@x.test"),
        to("unknown", "unknown@x.test"),
        // Its buyer has only a phone.
        event("order.delayed", "phone", delayed("hoa-sen", "phone")),
        late,
        later,
        event("order.delay_resolved", "over", over),
        event("complaint.resolved", "resolved", resolved),
        event("order.eaten", "eaten", json!({})),
    ]
}

#[tokio::test]
async fn status_events_outlive_a_cut_and_a_restart_by_rabbitmq_sqlite() {
    outlive("").await;
}

#[tokio::test]
async fn status_events_outlive_a_cut_and_a_restart_by_rabbitmq_postgres() {
    outlive(&postgres("journey_outbox").await).await;
}

async fn outlive(store: &str) {
    const EVENTS: usize = 20;
    let (rabbit, proxy) = (Rabbit::corner().await, Proxy::open_way().await);
    let folder = TempDir::new().unwrap();
    let settings = settings(&format!("{}{store}", rabbit.settings_through(&proxy.url)));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let mut listener = rabbit.listen("status.email.sent.#").await;

    proxy.close();
    let events: Vec<_> = (0..EVENTS).map(|number| order(&number.to_string())).collect();
    loa.publish(&events).await.unwrap();
    loa.drain().await;
    loa.kill();
    proxy.open();
    let loa = Running::start(&folder, &settings).await;
    let mut told = BTreeSet::new();
    let enough = |heard: &Heard| {
        told.insert(heard.body["business_key"].to_string());
        told.len() == EVENTS
    };
    listener.until(enough).await;

    loa.closes().await;
    rabbit.remove().await;
}

#[tokio::test]
async fn two_processes_tell_each_status_event_once_by_rabbitmq_postgres() {
    const EVENTS: usize = 60;
    let rabbit = Rabbit::corner().await;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let settings =
        settings(&format!("{}{}", rabbit.settings(), postgres("journey_told_once").await));
    let one = Running::start(&folders[0], &settings).await;
    let other = Running::start(&folders[1], &settings).await;
    one.ready().await;
    other.ready().await;
    one.publish(&company()).await.unwrap();
    let mut listener = rabbit.listen("#").await;

    for number in 0..EVENTS {
        let by = if number % 2 == 0 { &one } else { &other };
        by.publish(&[order(&number.to_string())]).await.unwrap();
    }
    one.drain().await;
    // Each process tells its own in their order, so that its last one ends them.
    one.publish(&[order("last of one")]).await.unwrap();
    other.publish(&[order("last of other")]).await.unwrap();
    let mut last = BTreeSet::from(["last of one", "last of other"]);
    let both = |heard: &Heard| {
        // Whoever sends may tell of that before the one who planned tells that it did.
        if heard.key == "status.event.planned.order.delayed" {
            last.remove(heard.body["event"]["id"].as_str().unwrap_or_default());
        }
        last.is_empty()
    };
    let heard = listener.until(both).await;

    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for heard in &heard {
        *times.entry(format!("{} {}", heard.key, heard.body)).or_default() += 1;
    }
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:#?}");
    let of = |key: &str| heard.iter().filter(|heard| heard.key == key).count();
    assert!(of("status.event.planned.order.delayed") >= EVENTS + 2);
    assert!(of("status.email.sent.order.delayed") >= EVENTS);
    rabbit.remove().await;
}

#[tokio::test]
async fn what_a_killed_process_has_not_told_another_one_tells_by_rabbitmq_postgres() {
    const EVENTS: usize = 20;
    let (rabbit, proxy) = (Rabbit::corner().await, Proxy::open_way().await);
    let store = postgres("journey_heir").await;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let through = settings(&format!("{}{store}", rabbit.settings_through(&proxy.url)));
    let one = Running::start(&folders[0], &through).await;
    one.ready().await;
    one.publish(&company()).await.unwrap();
    let direct = settings(&format!("{}{store}", rabbit.settings()));
    let heir = Running::start(&folders[1], &direct).await;
    heir.ready().await;
    let mut listener = rabbit.listen("status.event.planned.order.delayed").await;

    proxy.close();
    let events: Vec<_> = (0..EVENTS).map(|number| order(&number.to_string())).collect();
    one.publish(&events).await.unwrap();
    one.kill();
    let mut told = BTreeSet::new();
    let enough = |heard: &Heard| {
        told.insert(heard.body["event"]["id"].to_string());
        told.len() == EVENTS
    };
    listener.until(enough).await;

    rabbit.remove().await;
}

#[tokio::test]
async fn what_a_stop_finishes_is_told_of_before_it_ends_by_rabbitmq_sqlite() {
    stop_and_tell("").await;
}

#[tokio::test]
async fn what_a_stop_finishes_is_told_of_before_it_ends_by_rabbitmq_postgres() {
    stop_and_tell(&postgres("journey_last_words").await).await;
}

async fn stop_and_tell(store: &str) {
    const SLOTS: usize = 4;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let (rabbit, folder) = (Rabbit::corner().await, TempDir::new().unwrap());
    let more = format!("{store}{}", rabbit.settings());
    let hook = format!("concurrency = {SLOTS}\n");
    let loa = Running::start(&folder, &outside(&relay, &gateway, (&hook, &more))).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let mut listener = rabbit.listen("status.chat.sent.#").await;
    gateway.usually(Reply::Hold);

    loa.publish(&(0..SLOTS).map(hooked).collect::<Vec<_>>()).await.unwrap();
    gateway.requests.wait_for(SLOTS).await;
    loa.signal("TERM");
    while loa.publish(&[hooked(0)]).await.is_some() {}
    gateway.release(SLOTS);
    let ended = loa.ended().await;

    assert!(ended.success(), "{ended}");
    let mut told = BTreeSet::new();
    let all = |heard: &Heard| {
        told.insert(heard.body["business_key"].to_string());
        told.len() == SLOTS
    };
    listener.until(all).await;
    rabbit.remove().await;
}

fn order(number: &str) -> Value {
    event("order.delayed", number, delayed("an-cuong", number))
}
