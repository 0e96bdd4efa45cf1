//! A store without room: intake stops and says so, nothing is lost, and room lets it go on.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Room, Running, company, hooked, on_postgres, outside, own_database};

/// How many events are published while there is no room, at most.
const MOST: usize = 2_000;

/// Publishes one event and returns the status of the answer, with its body.
async fn publish(loa: &Running, number: usize) -> (u16, Value) {
    let kind = "application/cloudevents+json";
    loa.post("/v1/events", kind, hooked(number).to_string()).await.unwrap()
}

/// What is published until the first refusal is accepted; returns how much.
async fn publish_until_refused(loa: &Running, from: usize) -> usize {
    for number in from..from + MOST {
        let (status, answer) = publish(loa, number).await;
        if status != 202 {
            assert_eq!((status, &answer["title"]), (507, &json!("no room")), "{answer}");
            assert!(answer["detail"].as_str().unwrap().contains("the disk is full"), "{answer}");
            return number;
        }
    }
    panic!("{MOST} events found room");
}

/// What Loa says while there is no room.
async fn assert_said(loa: &Running) {
    let missing = loa.unready().await;
    assert_eq!(missing[0]["name"], "store", "{missing}");
    assert!(missing[0]["why"].as_str().unwrap().contains("disk is full"), "{missing}");
    assert_eq!(loa.text("/healthz").await, "ok\n");
    assert!(loa.log().contains("disk is full; free some room"), "{}", loa.log());
}

/// All that was accepted comes once, and what was refused comes if it is published again.
async fn assert_goes_on(loa: &Running, gateway: &Gateway, refused: usize) {
    loa.until("room", async || publish(loa, refused).await.0 == 202).await;
    loa.ready().await;
    gateway.requests.wait_for(refused + 1).await;
    loa.drain().await;

    let mut times = BTreeMap::new();
    for request in gateway.requests.all() {
        *times.entry(request.business_key().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(times.len(), refused + 1);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    loa.closes().await;
}

#[tokio::test]
async fn a_full_disk_stops_intake_and_room_lets_it_go_on_sqlite() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let room = Room::of(&folder.path().join("data"));
    let settings = outside(&relay, &gateway, ("", ""));
    let loa = Running::start_under_quota(&folder, &settings).await;
    loa.publish(&company()).await.unwrap();
    publish(&loa, 0).await;

    room.fill(loa.id());
    let refused = publish_until_refused(&loa, 1).await;
    assert_said(&loa).await;
    room.free(loa.id());

    assert_goes_on(&loa, &gateway, refused).await;
    drop(loa);
    drop(room);
}

/// A database says that its disk is full by an error of its own; here a trigger raises it.
#[tokio::test]
async fn a_full_database_stops_intake_and_room_lets_it_go_on_postgres() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let url = own_database("journey_no_room").await;
    let store = format!("[store]\nurl = \"{url}\"\n");
    let loa = Running::start(&folder, &outside(&relay, &gateway, ("", &store))).await;
    loa.publish(&company()).await.unwrap();
    publish(&loa, 0).await;
    let full = "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN \
                RAISE EXCEPTION ''could not extend file'' USING ERRCODE = ''53100''; END'; \
                CREATE TRIGGER full_disk BEFORE INSERT ON event FOR EACH ROW \
                EXECUTE FUNCTION fill()";

    on_postgres(&url, full).await;
    let refused = publish_until_refused(&loa, 1).await;
    assert_said(&loa).await;
    on_postgres(&url, "DROP TRIGGER full_disk ON event").await;

    assert_goes_on(&loa, &gateway, refused).await;
}
