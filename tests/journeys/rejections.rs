//! An event is planned once; what cannot be planned is kept, and planned when it is mended.

use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Rabbit, Running, delay, partner, postgres, settings};

const STRUCTURED: &str = "application/cloudevents+json";

#[tokio::test]
async fn a_redelivered_event_is_planned_once_through_rabbitmq_sqlite() {
    redeliver("").await;
}

#[tokio::test]
async fn a_redelivered_event_is_planned_once_through_rabbitmq_postgres() {
    redeliver(&postgres("journey_redelivered").await).await;
}

async fn redeliver(store: &str) {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let settings = settings(&format!("{}{store}", rabbit.settings()));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&partner()).await.unwrap();

    // In one batch, in the next one, after a restart, and by another way.
    rabbit.publish_events(&[delay(1), delay(1)]).await;
    rabbit.publish_events(&[delay(1)]).await;
    loa.until("three arrivals", async || events(&loa, "received").await == 5).await;
    loa.kill();
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    rabbit.publish_events(&[delay(1)]).await;
    loa.publish(&[delay(1)]).await.unwrap();
    loa.until("five arrivals", async || events(&loa, "received").await == 7).await;
    loa.drain().await;

    let ledger = loa.closes().await;
    assert_eq!(ledger["events"]["repeats"], 4, "{ledger}");
    assert_eq!(loa.count("type=order.delayed&channel=email&state=sent").await, 1);
    rabbit.remove().await;
}

async fn events(loa: &Running, counter: &str) -> i64 {
    loa.get("/v1/ledger").await["ledger"]["events"][counter].as_i64().unwrap()
}

/// One way to be rejected.
struct Broken {
    reason: &'static str,
    body: String,
    content_type: &'static str,
    mended: Value,
}

/// Every way, each with what mends it; order 1 is known already.
fn broken() -> Vec<Broken> {
    let with = |number: usize, change: &dyn Fn(&mut Value)| {
        let mut event = delay(number);
        change(&mut event);
        event.to_string()
    };
    let broken = |reason, body: String, content_type, number| Broken {
        reason,
        body,
        content_type,
        mended: delay(number),
    };
    let reused = with(1, &|event| event["data"]["new_promised_at"] = json!("2031-01-01"));
    let large = with(7, &|event| event["padding"] = json!("x".repeat(3000)));
    vec![
        broken("undecodable", "{\"specversion\":".to_owned(), STRUCTURED, 2),
        broken("undecodable", delay(3).to_string(), "text/csv", 3),
        broken(
            "unknown_type",
            with(4, &|event| event["type"] = json!("order.eaten")),
            STRUCTURED,
            4,
        ),
        broken("schema", with(5, &|event| event["data"]["order_id"] = json!(5)), STRUCTURED, 5),
        broken("id_reused", reused, STRUCTURED, 6),
        broken("too_large", large, STRUCTURED, 7),
    ]
}

#[tokio::test]
async fn what_is_rejected_is_kept_and_replayed_mended_through_rabbitmq_sqlite() {
    reject("").await;
}

#[tokio::test]
async fn what_is_rejected_is_kept_and_replayed_mended_through_rabbitmq_postgres() {
    reject(&postgres("journey_rejected").await).await;
}

async fn reject(store: &str) {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let more = format!("[intake]\nmax_event_size = \"2 KiB\"\n{}{store}", rabbit.settings());
    let loa = Running::start(&folder, &settings(&more)).await;
    loa.ready().await;
    loa.publish(&partner()).await.unwrap();
    loa.publish(&[delay(1)]).await.unwrap();

    for broken in broken() {
        let properties = BasicProperties::default().with_content_type(broken.content_type.into());
        rabbit.publish("order.delayed", &broken.body, properties).await;
    }
    let count = broken().len();
    loa.until("all rejections", async || kept(&loa).await.len() == count).await;
    let kept_events = kept(&loa).await;

    for broken in broken() {
        let found = kept_events.iter().find(|kept| kept["body"] == json!(broken.body)).unwrap();
        assert_eq!(found["reason"], json!(broken.reason), "{found}");
        assert!(found["pointer"].is_string() && found["message"].is_string(), "{found}");
        let path = format!("/v1/rejected/{}/replay", found["id"].as_str().unwrap());
        let as_it_was = loa.post(&path, STRUCTURED, "").await.unwrap();
        assert_eq!(as_it_was.0, if broken.reason == "too_large" { 413 } else { 422 }, "{found}");
        // What came as an envelope is mended by its data alone as well.
        let (media_type, body) = match broken.reason {
            "schema" => ("application/octet-stream", &broken.mended["data"]),
            _ => (STRUCTURED, &broken.mended),
        };
        let mended = loa.post(&path, media_type, body.to_string()).await.unwrap();
        assert_eq!(mended.1["result"], "planned", "{found} {mended:?}");
    }
    loa.drain().await;

    assert!(kept(&loa).await.is_empty());
    let ledger = loa.closes().await;
    assert_eq!(ledger["events"]["rejected"], json!(count));
    assert_eq!(loa.count("type=order.delayed&channel=email&state=sent").await, 1 + count);
    rabbit.remove().await;
}

/// The rejected events that are kept, whole.
async fn kept(loa: &Running) -> Vec<Value> {
    let list = loa.get("/v1/rejected").await;
    let mut kept = Vec::new();
    for row in list["rejected"].as_array().unwrap() {
        kept.push(loa.get(&format!("/v1/rejected/{}", row["id"].as_str().unwrap())).await);
    }
    kept
}
