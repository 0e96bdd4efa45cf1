//! A process that is killed loses nothing, and a repeat of what was sent before plans nothing
//! twice.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Manner, Relay};
use crate::stage::{
    Running, company, delay, event, outside, own_database, partner, postgres, settings,
};

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

#[tokio::test]
async fn what_stood_in_line_at_a_kill_is_sent_once_sqlite() {
    kill_with_a_line("").await;
}

#[tokio::test]
async fn what_stood_in_line_at_a_kill_is_sent_once_postgres() {
    kill_with_a_line(&postgres("journey_kill_line").await).await;
}

/// With one slot, one message is being sent when the process is killed; others stand in line behind
/// it.
async fn kill_with_a_line(store: &str) {
    const BEFORE: usize = 20;
    const IN_ALL: usize = 24;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let one_slot = "tls = \"none\"\nconcurrency = 1\n";
    let settings = outside(&relay, &gateway, ("", store)).replacen("tls = \"none\"\n", one_slot, 1);
    let loa = Running::start(&folder, &settings).await;
    loa.publish(&company()).await.unwrap();
    // Its calls prove short, so that there is a line.
    for number in 0..BEFORE {
        loa.publish(&[solved(number)]).await.unwrap();
    }
    relay.mails.wait_for(BEFORE).await;
    loa.drain().await;
    relay.usually(Manner::HoldsAfterTheDot);
    let rest: Vec<Value> = (BEFORE..IN_ALL).map(solved).collect();
    loa.publish(&rest).await.unwrap();
    let being_sent = relay.mails.wait_for(BEFORE + 1).await.pop().unwrap().to;

    loa.kill();
    relay.usually(Manner::Takes);
    let loa = Running::start(&folder, &settings).await;
    loa.drain().await;

    let mails = relay.mails.wait_for(IN_ALL + 1).await;
    let mut came: Vec<&str> = mails.iter().map(|mail| mail.to.as_str()).collect();
    came.sort_unstable();
    let mut wanted: Vec<String> = (0..IN_ALL).map(to).collect();
    wanted.push(being_sent);
    wanted.sort_unstable();
    assert_eq!(came, wanted, "only what was being sent came twice");
    assert_eq!(loa.count("channel=email&state=sent").await, IN_ALL);
    loa.closes().await;
}

fn to(number: usize) -> String {
    format!("a{number}@of.test")
}

/// What is told to one person, and to nobody else by email.
fn solved(number: usize) -> Value {
    let data = json!({
        "complaint_id": format!("K-{number}"), "partner_id": "truc-lam",
        "resolution": { "vi": "Đổi hàng" }, "recipients": [to(number)]
    });
    event("complaint.resolved", &format!("r-{number}"), data)
}
