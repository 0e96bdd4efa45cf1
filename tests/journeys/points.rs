//! Killed at every point of its work, Loa loses nothing and repeats only what was in flight.

use std::collections::BTreeMap;

use loa::rehearsal::proxy::Proxy;
use serde_json::Value;
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay, Reply};
use crate::stage::{
    Lock, Running, company, hooked, hurried, outside, own_database, with_catalogue,
};

#[tokio::test]
async fn killed_at_any_point_it_loses_nothing_and_repeats_only_what_was_in_flight_sqlite() {
    play(None).await;
}

#[tokio::test]
async fn killed_at_any_point_it_loses_nothing_and_repeats_only_what_was_in_flight_postgres() {
    play(Some(own_database("journey_points").await)).await;
}

/// One Loa that is killed again and again.
struct House {
    folder: TempDir,
    settings: String,
    database: Option<String>,
}

impl House {
    async fn start(&self) -> Running {
        Running::start(&self.folder, &self.settings).await
    }

    /// With a way to the gateway that takes everything and passes nothing on.
    async fn start_cut_off(&self, gateway: &Gateway) -> (Running, Proxy) {
        let url = gateway.url("");
        let target = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let way = Proxy::open_way(target).await.unwrap();
        way.freeze().await;
        let away = format!("http://127.0.0.1:{}/hook", way.port);
        let settings = self.settings.replace(&gateway.url("/hook"), &away);
        (Running::start(&self.folder, &settings).await, way)
    }

    async fn lock(&self) -> Lock {
        match &self.database {
            Some(url) => Lock::postgres(url).await,
            None => Lock::sqlite(&self.folder.path().join("data/loa.db")),
        }
    }
}

async fn play(database: Option<String>) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let store = database.as_ref().map(|url| format!("[store]\nurl = \"{url}\"\n"));
    let settings = outside(&relay, &gateway, ("", &store.unwrap_or_default()));
    let settings = with_catalogue(&folder, &settings, hurried);
    let house = House { folder, settings, database };
    let loa = house.start().await;
    loa.publish(&company()).await.unwrap();

    let loa = after_accept(&house, loa, &gateway).await;
    let loa = during_send(&house, loa, &gateway).await;
    let loa = before_record(&house, loa, &gateway).await;
    let loa = after_claim(&house, loa, &gateway).await;
    loa.drain().await;

    let mut told = BTreeMap::new();
    for request in gateway.requests.all() {
        let ids: &mut Vec<String> = told.entry(request.business_key().to_owned()).or_default();
        ids.push(request.delivery().to_owned());
    }
    let times: Vec<_> = told.iter().map(|(key, ids)| (key.as_str(), ids.len())).collect();
    let expected = [("DH-1", 1), ("DH-2", 1), ("DH-3", 2), ("DH-4", 2), ("DH-5", 1)];
    assert_eq!(times, expected);
    // A receiver can tell the second from a new one.
    assert!(told.values().all(|ids| ids.iter().all(|id| *id == ids[0])), "{told:?}");
    for (order, tries) in [
        ("DH-1", ["accepted"].as_slice()),
        ("DH-3", &["unknown", "accepted"]),
        ("DH-4", &["unknown", "accepted"]),
        ("DH-5", &["unknown", "accepted"]),
    ] {
        let story = loa.story(&format!("business_key={order}&provider=hook")).await;
        let attempts = story["attempts"].as_array().unwrap();
        let classes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["class"]).collect();
        assert_eq!(classes, tries, "{story}");
    }
    loa.closes().await;
}

/// The event is committed and nobody has begun with its delivery.
async fn after_accept(house: &House, loa: Running, gateway: &Gateway) -> Running {
    loa.command(&["providers", "hold", "hook"]).await;
    loa.publish(&[hooked(1), hooked(2)]).await.unwrap();
    loa.kill();
    assert_eq!(gateway.requests.count(), 0);
    let loa = house.start().await;
    loa.command(&["providers", "release", "hook"]).await;
    gateway.requests.wait_for(2).await;
    loa.drain().await;
    loa
}

/// The gateway has the message and has not answered.
async fn during_send(house: &House, loa: Running, gateway: &Gateway) -> Running {
    gateway.script([Reply::Hold]);
    loa.publish(&[hooked(3)]).await.unwrap();
    gateway.requests.wait_for(3).await;
    loa.kill();
    gateway.release(1);
    let loa = house.start().await;
    gateway.requests.wait_for(4).await;
    loa.drain().await;
    loa
}

/// The gateway has answered, and the store takes nothing more.
async fn before_record(house: &House, loa: Running, gateway: &Gateway) -> Running {
    gateway.script([Reply::Hold]);
    loa.publish(&[hooked(4)]).await.unwrap();
    gateway.requests.wait_for(5).await;
    let lock = house.lock().await;
    gateway.release(1);
    gateway.answers.wait_for(5).await;
    loa.kill();
    lock.release().await;
    let loa = house.start().await;
    gateway.requests.wait_for(6).await;
    loa.drain().await;
    loa
}

/// The delivery is claimed, and nothing of it has come to the gateway.
async fn after_claim(house: &House, loa: Running, gateway: &Gateway) -> Running {
    loa.kill();
    let (loa, _way) = house.start_cut_off(gateway).await;
    loa.publish(&[hooked(5)]).await.unwrap();
    let is_claimed = async || {
        let found = loa.deliveries("business_key=DH-5&provider=hook").await;
        found[0]["attempts"] == 1
    };
    loa.until("the claim", is_claimed).await;
    loa.kill();
    let loa = house.start().await;
    gateway.requests.wait_for(7).await;
    loa
}
