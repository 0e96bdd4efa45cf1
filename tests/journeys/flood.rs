//! Bad events, very many or of the worst sort: each kept with a reason, and the queue goes on.

use std::collections::BTreeMap;

use fastrand::Rng;
use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Rabbit, Running, company, event, hooked, outside, partner, settings};

/// How many bad events come.
const COUNT: usize = 10_000;
/// What the process may come to hold for them, in MiB: far less than what the events would take all
/// at once with everything that is made of them.
const MEMORY: u64 = 80;

/// A bad event and why it must be rejected.
fn bad(number: usize, rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let mut event = hooked(number);
    event["id"] = json!(format!("bad-{number}"));
    match number % 12 {
        0 => {
            let mut bytes = event.to_string().into_bytes();
            bytes.truncate(rng.usize(..bytes.len()));
            ("unreadable", bytes)
        }
        1 => {
            // No letter of UTF-8 begins with this byte.
            let mut bytes = event.to_string().into_bytes();
            let place = rng.usize(..bytes.len());
            bytes[place] = 0xff;
            ("unreadable", bytes)
        }
        2 => ("unreadable", (0..rng.usize(1..400)).map(|_| rng.u8(0x80..)).collect()),
        3 => {
            let depth = rng.usize(200..5000);
            let text = event.to_string();
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            (
                "unreadable",
                text.replacen("\"data\":{", &format!("\"x\":{deep},\"data\":{{"), 1).into(),
            )
        }
        4 => with(event, "type", json!(format!("order.{}", rng.lowercase()))),
        5 => with(event, "specversion", json!(rng.u32(..))),
        6 => with(event, "id", Value::Null),
        7 => with(event, "source", json!(rng.bool())),
        8 => with(event, "time", json!("2026-13-45T99:00:00Z")),
        9 => with(event, "data", json!([rng.u32(..)])),
        10 => within(event, "order_id", json!(rng.i64(..))),
        _ => within(event, "partner_id", json!(format!("nobody-{}", rng.u32(..)))),
    }
}

fn with(mut event: Value, key: &str, value: Value) -> (&'static str, Vec<u8>) {
    event[key] = value;
    ("attribute", event.to_string().into())
}

fn within(mut event: Value, key: &str, value: Value) -> (&'static str, Vec<u8>) {
    event["data"][key] = value;
    ("data", event.to_string().into())
}

#[tokio::test]
async fn ten_thousand_bad_events_are_rejected_each_with_its_place_rabbitmq() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &outside(&relay, &gateway, ("", &rabbit.settings()))).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let rest = loa.peak_memory();
    let seed = fastrand::u64(..);
    eprintln!("the seed is {seed}");
    let mut rng = Rng::with_seed(seed);
    let all: Vec<_> = (0..COUNT).map(|number| bad(number, &mut rng)).collect();
    let structured =
        BasicProperties::default().with_content_type("application/cloudevents+json".into());

    let bodies = all.iter().map(|(_, bytes)| bytes.as_slice());
    rabbit.publish_fast("order.delayed", bodies, &structured).await;
    rabbit.publish_events(&[hooked(COUNT)]).await;
    gateway.requests.wait_for(1).await;

    let ledger = loa.closes().await;
    assert_eq!(ledger["events"]["rejected"], COUNT, "{ledger}");
    let (mut seen, mut after) = (BTreeMap::<String, usize>::new(), String::new());
    loop {
        let page = loa.get(&format!("/v1/rejected?limit=500{after}")).await;
        for row in page["rejected"].as_array().unwrap() {
            let message = row["message"].as_str().unwrap();
            let place = row["pointer"].as_str();
            assert!(!message.is_empty() && (place.is_some() || message.contains("line")), "{row}");
            *seen.entry(row["reason"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.values().sum::<usize>(), COUNT, "{seen:?}");
    let grown = loa.peak_memory() - rest;
    assert!(grown < MEMORY, "{grown} MiB more than {rest}; {seen:?}");
    rabbit.remove().await;
}

/// An order on its way, told to one more person.
fn shipped(number: usize, recipient: &str) -> Value {
    let data = json!({ "order_id": format!("DH-{number}"), "partner_id": "minh-phat",
        "carrier": "Viettel Post", "shipped_at": "2030-01-01T00:00:00Z",
        "recipients": [{ "id": recipient }] });
    event("order.shipped", &format!("s-{number}"), data)
}

#[tokio::test]
async fn an_event_that_the_store_cannot_take_is_rejected_and_those_beside_it_planned_rabbitmq() {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    // Time to gather all of them in one batch.
    let more = format!("[intake]\nbatch = 100\nbatch_wait = \"200ms\"\n{}", rabbit.settings());
    let loa = Running::start(&folder, &settings(&more)).await;
    loa.ready().await;
    loa.publish(&partner()).await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("data/loa.db")).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER poisoned BEFORE INSERT ON delivery WHEN NEW.recipient_key = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'this one is poison'); END",
        )
        .unwrap();

    let recipient = |number: usize| if number == 17 { "poison" } else { "guest" };
    let events: Vec<_> = (0..40).map(|number| shipped(number, recipient(number))).collect();
    rabbit.publish_events(&events).await;
    loa.until("all events", async || {
        loa.get("/v1/ledger").await["ledger"]["events"]["received"] == json!(42)
    })
    .await;
    loa.drain().await;

    let ledger = loa.closes().await;
    assert_eq!(
        (&ledger["events"]["planned"], &ledger["events"]["rejected"]),
        (&json!(41), &json!(1))
    );
    let rejected = loa.get("/v1/rejected").await["rejected"][0].clone();
    assert_eq!(
        (&rejected["reason"], &rejected["event"]["id"]),
        (&json!("unplannable"), &json!("s-17"))
    );
    assert!(rejected["message"].as_str().unwrap().contains("this one is poison"), "{rejected}");
    rabbit.remove().await;
}
