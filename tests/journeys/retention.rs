//! What is old is forgotten; what it came to is not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::receiver::{Gateway, Manner, Relay};
use crate::stage::{Clocked, company, event, hooked, mailed, outside, postgres};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn what_is_old_is_forgotten_and_the_ledger_still_closes_sqlite() {
    play("").await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_the_ledger_still_closes_postgres() {
    play(&postgres("journey_retention").await).await;
}

async fn play(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = Clocked::start(&outside(&relay, &gateway, ("", store))).await;
    loa.publish(&company()).await.unwrap();
    relay.script([Manner::KnowsNobody]);
    loa.publish(&[mailed(1), hooked(2), event("order.eaten", "x", json!({}))]).await.unwrap();
    loa.rest().await;
    let before = loa.closes().await;

    // Of what happens later, nothing is old yet.
    loa.pass(DAY * 60).await;
    loa.publish(&[hooked(3)]).await.unwrap();
    loa.pass(DAY * 40).await;
    sweep_until(&loa, "rows of two days", async || loa.count("").await == 2).await;

    let left = loa.deliveries("").await;
    assert!(left.iter().all(|delivery| delivery["business_key"] == "DH-3"), "{left:?}");
    assert_eq!(
        loa.get("/v1/events?type=order.delayed").await["events"].as_array().unwrap().len(),
        1
    );
    assert_eq!(loa.get("/v1/rejected").await["rejected"], json!([]));
    let after = loa.closes().await;
    let figure = |ledger: &Value, name: &str| ledger["deliveries"][name].as_i64().unwrap();
    for state in ["bounced", "skipped"] {
        assert!(figure(&after, state) >= figure(&before, state), "{before} {after}");
    }
    assert_eq!(figure(&after, "planned"), figure(&before, "planned") + 2);
    // Its key outlives an event, and ends at last.
    let again = loa.publish(&[hooked(2)]).await.unwrap();
    assert_eq!(again["results"][0]["result"], "repeat", "{again}");
    loa.pass(DAY * 310).await;
    sweep_until(&loa, "no rows", async || loa.count("").await == 0).await;
    let anew = loa.publish(&[hooked(2)]).await.unwrap();
    assert_eq!(anew["results"][0]["result"], "planned", "{anew}");
    loa.rest().await;
    loa.closes().await;
}

/// Lets the sweep come round until `holds`.
async fn sweep_until(loa: &Clocked, what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        loa.pass(Duration::from_secs(1)).await;
    }
    panic!("waited in vain for {what}");
}
