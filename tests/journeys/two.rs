//! Two processes on one PostgreSQL share the work and the rates, and never do anything twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::receiver::{Gateway, Relay, Reply};
use crate::stage::{Running, company, hooked, hurried, outside, postgres, with_catalogue};

/// How many events are published where each is to be sent once.
const EVENTS: usize = 200;
/// How many calls at once each process makes where one of them is killed.
const AT_ONCE: usize = 4;

/// Two processes that are told of the same company.
async fn start(folders: &[TempDir; 2], settings: &str) -> (Running, Running) {
    let one = Running::start(&folders[0], settings).await;
    let other = Running::start(&folders[1], settings).await;
    one.publish(&company()).await.unwrap();
    (one, other)
}

/// How often each delivery was handed to the gateway.
fn calls(gateway: &Gateway) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for request in gateway.requests.all() {
        *calls.entry(request.delivery().to_owned()).or_default() += 1;
    }
    calls
}

#[tokio::test]
async fn two_processes_on_one_postgres_never_send_a_delivery_twice() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let settings = outside(&relay, &gateway, ("", &postgres("journey_two").await));
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (one, other) = start(&folders, &settings).await;

    for first in (0..EVENTS).step_by(20) {
        let events: Vec<_> = (first..first + 20).map(hooked).collect();
        // The same events by both, as two publishers that do not know of each other would.
        let (here, there) = tokio::join!(one.publish(&events), other.publish(&events));
        here.unwrap();
        there.unwrap();
    }
    let ledger = one.drain().await;

    assert_eq!(ledger["ledger"]["closes"], true, "{ledger}");
    assert_eq!(ledger["audit"], json!([]));
    assert_eq!(ledger["ledger"]["events"]["repeats"], json!(EVENTS));
    let calls = calls(&gateway);
    assert_eq!(calls.len(), EVENTS);
    assert!(calls.values().all(|count| *count == 1), "{calls:?}");
    assert_eq!(one.count("provider=hook&state=sent").await, EVENTS);
}

#[tokio::test]
async fn what_one_of_two_was_sending_when_it_was_killed_is_sent_again_and_nothing_else() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let hook = format!("concurrency = {AT_ONCE}\ntimeout = \"30s\"\n");
    let store = postgres("journey_two_killed").await;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let settings =
        with_catalogue(&folders[0], &outside(&relay, &gateway, (&hook, &store)), hurried);
    let (one, other) = start(&folders, &settings).await;
    gateway.usually(Reply::Hold);
    for (loa, first) in [(&one, 0), (&other, 10)] {
        let events: Vec<_> = (first..first + 10).map(hooked).collect();
        loa.publish(&events).await.unwrap();
    }
    let begun = gateway.requests.wait_for(2 * AT_ONCE).await;
    let begun: BTreeSet<String> =
        begun.iter().map(|request| request.delivery().to_owned()).collect();

    other.kill();
    gateway.usually(Reply::ok());
    gateway.release(2 * AT_ONCE);
    let ledger = one.drain().await;

    assert_eq!(ledger["ledger"]["closes"], true, "{ledger}");
    assert_eq!(ledger["audit"], json!([]));
    assert_eq!(one.count("provider=hook&state=sent").await, 20);
    let twice: BTreeSet<String> =
        calls(&gateway).into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id).collect();
    assert_eq!(twice.len(), AT_ONCE, "{twice:?}");
    assert!(twice.is_subset(&begun));
    for id in calls(&gateway).keys() {
        let story = one.get(&format!("/v1/deliveries/{id}")).await;
        let classes: Vec<&Value> =
            story["attempts"].as_array().unwrap().iter().map(|tried| &tried["class"]).collect();
        match twice.contains(id) {
            true => assert_eq!(classes, ["unknown", "accepted"], "{story}"),
            false => assert_eq!(classes, ["accepted"], "{story}"),
        }
    }
}

#[tokio::test]
async fn two_processes_keep_one_rate_together() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let hook = "rate = \"2/s\"\nburst = 1\n";
    let settings = outside(&relay, &gateway, (hook, &postgres("journey_two_rate").await));
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (one, other) = start(&folders, &settings).await;
    for loa in [&one, &other] {
        loa.until("both to know of both", async || loa.metric("loa_processes").await == 2).await;
    }

    let began = Instant::now();
    for (loa, first) in [(&one, 0), (&other, 6)] {
        loa.publish(&(first..first + 6).map(hooked).collect::<Vec<_>>()).await.unwrap();
    }
    gateway.requests.wait_for(12).await;

    // Each by itself at the whole rate would be done within three seconds.
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
}
