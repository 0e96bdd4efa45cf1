//! Two processes on one PostgreSQL share the work and never do it twice.

use serde_json::json;
use tempfile::TempDir;

use crate::stage::{Running, delay, own_database, partner, settings};

/// How many events are published.
const EVENTS: usize = 200;

#[tokio::test]
async fn two_processes_on_one_postgres_never_send_a_delivery_twice() {
    let url = own_database("journey_two").await;
    let settings = settings(&format!("[store]\nurl = \"{url}\"\n"));
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let one = Running::start(&folders[0], &settings).await;
    let other = Running::start(&folders[1], &settings).await;
    one.publish(&partner()).await.unwrap();

    for first in (0..EVENTS).step_by(20) {
        let events: Vec<_> = (first..first + 20).map(delay).collect();
        // The same events by both, as two publishers that do not know of each other would.
        let (here, there) = tokio::join!(one.publish(&events), other.publish(&events));
        here.unwrap();
        there.unwrap();
    }
    let ledger = one.drain().await;

    assert_eq!(ledger["ledger"]["closes"], true, "{ledger}");
    assert_eq!(ledger["audit"], json!([]));
    assert_eq!(ledger["ledger"]["events"]["repeats"], json!(EVENTS));
    let sent = one.get("/v1/deliveries?channel=email&state=sent&limit=500").await;
    let sent = sent["deliveries"].as_array().unwrap();
    assert_eq!(sent.len(), EVENTS);
    assert!(sent.iter().all(|delivery| delivery["attempts"] == json!(1)));
}
