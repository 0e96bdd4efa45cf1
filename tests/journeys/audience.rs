//! An audience too big for one transaction is planned page by page, everybody once.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Running, event, own_database, settings};

/// More than two pages.
const CONTACTS: usize = 2_300;

#[tokio::test]
async fn a_big_audience_is_planned_in_pages() {
    play(&settings("")).await;
}

#[tokio::test]
async fn a_big_audience_is_planned_in_pages_on_postgres() {
    let url = own_database("journey_audience").await;
    play(&settings(&format!("[store]\nurl = \"{url}\"\n"))).await;
}

async fn play(settings: &str) {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, settings).await;
    let contacts: Vec<Value> = (0..CONTACTS).map(operator).collect();
    for contacts in contacts.chunks(500) {
        let answer = loa.publish(contacts).await.unwrap();
        assert_eq!(answer["results"][0]["result"], "planned", "{answer}");
    }

    let data = json!({ "cause": "normal", "hour": "2030-01-01T00:00:00Z" });
    let mut alarm = event("loa.queue_late", "big", data);
    alarm["source"] = json!("drill");
    let answer = loa.publish(&[alarm]).await.unwrap();
    let ledger = loa.drain().await;

    assert_eq!(answer["results"][0]["result"], "planning", "{answer}");
    assert_eq!(ledger["ledger"]["closes"], true, "{ledger}");
    assert_eq!(ledger["audit"], json!([]));
    let found = loa.get("/v1/deliveries/count?type=loa.queue_late&channel=email").await;
    assert_eq!(found["count"], json!(CONTACTS));
    let sent = loa.get("/v1/deliveries/count?type=loa.queue_late&channel=email&state=sent").await;
    assert_eq!(sent["count"], json!(CONTACTS));
    // The metrics are those of now, pages included, not of the last look at the store.
    let deliveries = &ledger["ledger"]["deliveries"];
    assert_eq!(json!(loa.metric("loa_deliveries_planned_total").await), deliveries["planned"]);
    assert!(loa.metric("loa_store_batch_seconds_count{what=\"finish\"}").await > 0);
    let sent = loa.metric("loa_deliveries{state=\"sent\"}").await;
    assert_eq!(json!(sent), deliveries["sent"]);
}

pub(crate) fn operator(number: usize) -> Value {
    event(
        "contact.changed",
        &format!("o-{number}"),
        json!({
            "id": format!("operator-{number:05}"), "name": format!("Operator {number}"),
            "addresses": [{ "channel": "email", "email": format!("operator-{number}@us.test") }],
            "teams": ["operators"], "changed_at": "2026-01-01T00:00:00Z"
        }),
    )
}
