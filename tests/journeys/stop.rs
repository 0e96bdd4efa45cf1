//! A stop finishes what is being sent, and loses nothing of the rest.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay, Reply};
use crate::stage::{Running, company, hooked, hurried, outside, postgres, with_catalogue};

/// How many messages go to the gateway at once.
const SLOTS: usize = 4;

#[tokio::test]
async fn a_stop_under_load_finishes_what_is_in_flight_and_loses_nothing_sqlite() {
    stop("").await;
}

#[tokio::test]
async fn a_stop_under_load_finishes_what_is_in_flight_and_loses_nothing_postgres() {
    stop(&postgres("journey_stop").await).await;
}

async fn stop(store: &str) {
    const EVENTS: usize = 60;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, (&format!("concurrency = {SLOTS}\n"), store));
    // Neither a renewal nor the end of the grace ends the wait: only that nothing is in flight.
    let usual = "lease = \"5s\"\ngrace = \"5s\"";
    assert!(settings.contains(usual));
    let settings = settings.replace(usual, "lease = \"3h\"\ngrace = \"1h\"");
    let loa = Running::start(&folder, &settings).await;
    loa.publish(&company()).await.unwrap();
    gateway.usually(Reply::Hold);

    let events: Vec<_> = (0..EVENTS).map(hooked).collect();
    loa.publish(&events[..EVENTS / 2]).await.unwrap();
    gateway.requests.wait_for(SLOTS).await;
    loa.signal("TERM");
    // A publisher goes on until nobody listens.
    while loa.publish(&events[..EVENTS / 2 + 5]).await.is_some() {}
    gateway.usually(Reply::ok());
    gateway.release(SLOTS);
    let ended = loa.ended().await;
    let asked_before_the_end = gateway.requests.count();
    let was_found = folder.path().join("data/server.json").exists();
    let loa = Running::start(&folder, &settings).await;
    loa.publish(&events).await.unwrap();
    loa.drain().await;

    assert!(ended.success(), "{ended}");
    let log = loa.log();
    assert!(log.contains("stopping: 4 deliveries in flight have up to 3600 s to end"), "{log}");
    assert!(log.contains("s: nothing was cut off"), "{log}");
    assert!(!was_found, "server.json names a Loa that has ended");
    assert_eq!(asked_before_the_end, SLOTS);
    let mut told = BTreeMap::new();
    for request in gateway.requests.all() {
        *told.entry(request.business_key().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(told.len(), EVENTS);
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    loa.closes().await;
}

#[tokio::test]
async fn a_stop_that_does_not_wait_records_what_was_begun_as_unknown_sqlite() {
    cut_short("").await;
}

#[tokio::test]
async fn a_stop_that_does_not_wait_records_what_was_begun_as_unknown_postgres() {
    cut_short(&postgres("journey_cut_short").await).await;
}

async fn cut_short(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("concurrency = 1\n", store));
    let settings = with_catalogue(&folder, &settings, hurried);
    let patient = settings.replace("grace = \"5s\"", "grace = \"1h\"");
    let hasty = settings.replace("grace = \"5s\"", "grace = \"100ms\"");
    gateway.script([Reply::Hold, Reply::Hold]);

    // A second signal ends the wait.
    let loa = Running::start(&folder, &patient).await;
    loa.publish(&company()).await.unwrap();
    loa.publish(&[hooked(1), hooked(2)]).await.unwrap();
    gateway.requests.wait_for(1).await;
    loa.signal("TERM");
    while loa.publish(&[hooked(1)]).await.is_some() {}
    loa.signal("TERM");
    let by_signal = loa.ended().await;
    // So does the end of the grace.
    let loa = Running::start(&folder, &hasty).await;
    gateway.requests.wait_for(2).await;
    loa.signal("TERM");
    let by_grace = loa.ended().await;
    let loa = Running::start(&folder, &hasty).await;
    loa.drain().await;

    assert!(by_signal.success() && by_grace.success(), "{by_signal} {by_grace}");
    let told =
        "0 of the deliveries in flight ended, 0 were given back, 1 were cut off while being sent";
    assert_eq!(loa.log().matches(told).count(), 2, "{}", loa.log());
    let mut classes: Vec<Value> = Vec::new();
    for order in ["DH-1", "DH-2"] {
        let story = loa.story(&format!("business_key={order}&provider=hook")).await;
        assert_eq!(story["delivery"]["state"], "sent", "{story}");
        classes.extend(story["attempts"].as_array().unwrap().iter().cloned());
    }
    let unknown: Vec<_> = classes.iter().filter(|try_| try_["class"] == "unknown").collect();
    assert_eq!(unknown.len(), 2, "{classes:?}");
    for attempt in unknown {
        assert_eq!(attempt["answer"], json!("cut off by a stop before its answer was recorded"));
    }
    assert_eq!(gateway.requests.count(), 4);
    loa.closes().await;
}
