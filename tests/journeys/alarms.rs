//! Loa tells the operators what is wrong with itself: once an hour for each cause, and for certain.

use std::time::Duration;

use serde_json::{Value, json};

use crate::receiver::{Gateway, Relay, Reply};
use crate::stage::{Clocked, company, event, hooked, on_postgres, outside, own_database, postgres};

#[tokio::test]
async fn operators_are_told_of_each_cause_once_an_hour_sqlite() {
    play("").await;
}

#[tokio::test]
async fn operators_are_told_of_each_cause_once_an_hour_postgres() {
    play(&postgres("journey_alarms").await).await;
}

/// A Loa that raises alarms, and one operator with a chat of his own.
async fn start(gateway: &Gateway, relay: &Relay, store: &str) -> Clocked {
    let settings = outside(relay, gateway, ("", store));
    let loa = Clocked::start(&settings.replace("alarms = false", "alarms = true")).await;
    let chat = json!({ "channel": "chat", "provider": "team-chat" });
    let operator = json!({ "id": "oanh", "name": "Oanh", "addresses": [chat],
                           "teams": ["operators"], "changed_at": "2026-01-01T00:00:00Z" });
    loa.publish(&company()).await.unwrap();
    loa.publish(&[event("contact.changed", "c-oanh", operator)]).await.unwrap();
    loa
}

async fn play(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&gateway, &relay, store).await;

    one_reason_does_not_hide_another(&loa).await;
    a_queue_stands_still(&loa, &gateway).await;
    a_provider_is_held(&loa, &gateway).await;

    loa.pass(Duration::from_hours(1)).await;
    until_told(&loa, "loa.provider_held", 2).await;
    let told = gateway.requests.all();
    let told = told.iter().filter(|request| request.path == "/slack").count();
    assert_eq!(told, loa.count("type=loa.provider_held&channel=chat&state=sent").await + 3);
    loa.closes().await;
}

/// Lets the sweep come round until the operator was told this often of `kind`.
async fn until_told(loa: &Clocked, kind: &str, times: usize) {
    let query = format!("type={kind}&channel=chat&state=sent");
    for _ in 0..600 {
        if loa.count(&query).await == times {
            return;
        }
        loa.pass(Duration::from_secs(1)).await;
    }
    panic!("told {} times of {kind}, not {times}", loa.count(&query).await);
}

async fn causes(loa: &Clocked, kind: &str) -> Vec<Value> {
    let found = loa.deliveries(&format!("type={kind}&channel=chat")).await;
    let mut causes: Vec<_> = found.iter().map(|found| found["business_key"].clone()).collect();
    causes.sort_by_key(Value::to_string);
    causes
}

async fn one_reason_does_not_hide_another(loa: &Clocked) {
    loa.publish(&[event("order.delayed", "bad", json!({ "order_id": 1 }))]).await.unwrap();
    let flood: Vec<_> = (0..60).map(|n| event("order.eaten", &n.to_string(), json!({}))).collect();
    loa.publish(&flood).await.unwrap();

    until_told(loa, "loa.event_rejected", 2).await;

    assert_eq!(causes(loa, "loa.event_rejected").await, [json!("schema"), json!("unknown_type")]);
}

async fn a_queue_stands_still(loa: &Clocked, gateway: &Gateway) {
    gateway.script([Reply::too_many("900")]);
    loa.publish(&[hooked(1)]).await.unwrap();
    loa.rest().await;
    loa.publish(&[hooked(2)]).await.unwrap();

    loa.pass(Duration::from_mins(6)).await;
    until_told(loa, "loa.queue_late", 1).await;

    assert_eq!(causes(loa, "loa.queue_late").await, [json!("urgent")]);
    loa.pass(Duration::from_mins(15)).await;
    assert_eq!(loa.count("provider=hook&state=sent").await, 2);
}

/// What waits for it is not told of a second time as a queue that stands still.
async fn a_provider_is_held(loa: &Clocked, gateway: &Gateway) {
    gateway.script([Reply::status(401)]);
    loa.publish(&[hooked(3)]).await.unwrap();
    until_told(loa, "loa.provider_held", 1).await;

    assert_eq!(causes(loa, "loa.provider_held").await, [json!("hook")]);
    let told = gateway.requests.all().into_iter().filter(|request| request.path == "/slack");
    let told: String = told.map(|request| request.body.to_string()).collect();
    assert!(told.contains("its gateway refuses the credentials (401)"), "{told}");
    loa.pass(Duration::from_mins(10)).await;
    until_told(loa, "loa.queue_late", 1).await;
}

#[tokio::test]
async fn an_alarm_that_the_store_did_not_take_is_raised_when_it_does() {
    let name = "journey_alarms_later";
    let url = own_database(name).await;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&gateway, &relay, &format!("[store]\nurl = \"{url}\"\n")).await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql \
                  AS 'BEGIN RAISE EXCEPTION ''no alarms''; END'; \
                  CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW \
                  WHEN (NEW.event_type LIKE 'loa.%') EXECUTE FUNCTION refuse()";
    on_postgres(&url, refuse).await;
    gateway.script([Reply::status(401)]);
    loa.publish(&[hooked(1)]).await.unwrap();
    for _ in 0..5 {
        loa.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(loa.count("type=loa.provider_held").await, 0);

    on_postgres(&url, "DROP TRIGGER refuse ON event").await;

    until_told(&loa, "loa.provider_held", 1).await;
}

#[tokio::test]
async fn a_ledger_that_does_not_close_raises_an_alarm() {
    let name = "journey_alarms_ledger";
    let url = own_database(name).await;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&gateway, &relay, &format!("[store]\nurl = \"{url}\"\n")).await;
    loa.publish(&[hooked(1)]).await.unwrap();
    loa.rest().await;

    on_postgres(&url, "UPDATE counter SET value = value + 1 WHERE name = 'delivery.planned'").await;

    until_told(&loa, "loa.ledger_open", 1).await;
    assert_eq!(causes(&loa, "loa.ledger_open").await, [json!("deliveries")]);
}

#[tokio::test]
async fn an_alarm_that_another_process_raised_too_is_no_repeat() {
    let name = "journey_alarms_two";
    let url = own_database(name).await;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let store = format!("[store]\nurl = \"{url}\"\n");
    let loa = start(&gateway, &relay, &store).await;
    let other = start(&gateway, &relay, &store).await;
    let repeats = async || loa.get("/v1/ledger").await["ledger"]["events"]["repeats"].clone();
    let before = repeats().await;
    gateway.script([Reply::status(401)]);
    loa.publish(&[hooked(1)]).await.unwrap();
    loa.rest().await;

    for _ in 0..5 {
        loa.pass(Duration::from_secs(1)).await;
        other.pass(Duration::from_secs(1)).await;
    }

    assert_eq!(loa.count("type=loa.provider_held&channel=chat").await, 1);
    assert_eq!(repeats().await, before);
    let again = loa.get("/v1/events?repeated=true&type=loa.provider_held").await;
    assert_eq!(again["events"], json!([]), "{again}");
}
