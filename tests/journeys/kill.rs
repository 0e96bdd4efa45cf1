//! A process that is killed loses nothing, and a repeat of what was sent before plans nothing twice.

use serde_json::json;
use tempfile::TempDir;

use crate::stage::{Running, delay, own_database, partner, settings};

/// How many events a round publishes, one request each.
const EVENTS: usize = 60;
/// How often the process is killed.
const ROUNDS: usize = 3;

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    play(&settings("")).await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing_on_postgres() {
    let url = own_database("journey_kill").await;
    play(&settings(&format!("[store]\nurl = \"{url}\"\n[send]\nlease = \"5s\"\n"))).await;
}

async fn play(settings: &str) {
    let folder = TempDir::new().unwrap();
    let mut loa = Running::start(&folder, settings).await;
    loa.publish(&partner()).await.unwrap();
    for round in 0..ROUNDS {
        let first = round * EVENTS;
        for number in first..first + EVENTS {
            // Killed in the middle of its work, with deliveries in every stage of theirs.
            if number == first + EVENTS / 2 {
                loa.kill();
                loa = Running::start(&folder, settings).await;
            }
            // A publisher that hears nothing publishes again.
            while loa.publish(&[delay(number)]).await.is_none() {}
        }
        // So does one that is not sure.
        for number in first..first + EVENTS {
            let again = loa.publish(&[delay(number)]).await.unwrap();
            assert_eq!(again["results"][0]["result"], "repeat");
        }
    }

    let ledger = loa.drain().await;

    assert_eq!(ledger["ledger"]["closes"], true, "{ledger}");
    assert_eq!(ledger["audit"], json!([]));
    let sent = loa.get("/v1/deliveries/count?type=order.delayed&channel=email&state=sent").await;
    assert_eq!(sent["count"], json!(ROUNDS * EVENTS));
}
