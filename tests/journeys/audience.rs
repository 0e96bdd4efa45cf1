//! An audience too big for one transaction is planned page by page, everybody once.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Running, event, own_database, partner, settings};

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

/// An order on its way, told to so many people whom the event describes; none has an address.
fn shipped(id: &str, recipients: usize) -> Value {
    let person = |number: usize| json!({ "id": format!("{id}-{number}") });
    let recipients: Vec<Value> = (0..recipients).map(person).collect();
    let data = json!({ "order_id": id, "partner_id": "minh-phat", "carrier": "Viettel Post",
        "shipped_at": "2030-01-01T00:00:00Z", "recipients": recipients });
    event("order.shipped", id, data)
}

#[tokio::test]
async fn a_big_audience_that_the_event_describes_is_planned_in_pages() {
    describe(&settings("")).await;
}

#[tokio::test]
async fn a_big_audience_that_the_event_describes_is_planned_in_pages_on_postgres() {
    let url = own_database("journey_described").await;
    describe(&settings(&format!("[store]\nurl = \"{url}\"\n"))).await;
}

async fn describe(settings: &str) {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, settings).await;
    loa.publish(&partner()).await.unwrap();
    let body = shipped("DH-1", CONTACTS).to_string();
    let dry = loa.post("/v1/events?dry_run=true", "application/cloudevents+json", body).await;
    assert_eq!(dry.unwrap().1["results"][0]["paged"], json!(CONTACTS));

    let answer = loa.publish(&[shipped("DH-1", CONTACTS)]).await.unwrap();
    loa.drain().await;

    assert_eq!(answer["results"][0]["result"], "planning", "{answer}");
    // Of the first transaction only the buyer, and that nobody is in the warehouse.
    assert_eq!(answer["results"][0]["deliveries"], 2, "{answer}");
    assert_eq!(loa.count("type=order.shipped&reason=no_address").await, CONTACTS);
    assert_eq!(loa.count("type=order.shipped").await, CONTACTS + 2);
    loa.closes().await;
}

#[tokio::test]
async fn events_with_many_recipients_are_committed_a_few_at_a_time() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    loa.publish(&partner()).await.unwrap();
    let batches = async || loa.metric("loa_store_batch_seconds_count{what=\"accept\"}").await;
    let before = batches().await;

    let events = ["DH-1", "DH-2", "DH-3", "DH-4", "DH-5"].map(|id| shipped(id, 900));
    let answer = loa.publish(&events).await.unwrap();

    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|one| one["result"] == "planned"), "{answer}");
    assert!(results.iter().all(|one| one["deliveries"] == 902), "{answer}");
    assert_eq!(batches().await - before, 2, "three events of 900, then two");
    loa.drain().await;
    loa.closes().await;
}

#[tokio::test]
async fn an_array_with_many_recipients_is_accepted_whole_and_planned_in_pages() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    loa.publish(&partner()).await.unwrap();
    let before = loa.count("").await;

    let events = ["DH-1", "DH-2", "DH-3", "DH-4", "DH-5"].map(|id| shipped(id, 900));
    let body = json!(events).to_string();
    let answer = loa.post("/v1/events", "application/cloudevents+json", body).await;

    let (status, answer) = answer.unwrap();
    assert_eq!(status, 202, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|one| one["result"] == "planning"), "{answer}");
    loa.drain().await;
    assert_eq!(loa.count("").await - before, 5 * 902);
    loa.closes().await;
}
