//! A broker and a store that go away under load and come back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};
use crate::stage::{
    Heard, Proxy, Rabbit, Running, company, control, delayed, event, hooked, hurried, outside,
    postgres, service, settings, with_catalogue,
};

#[tokio::test]
async fn a_connection_that_is_cut_or_silent_and_a_deleted_queue_lose_nothing_rabbitmq_sqlite() {
    disturb("").await;
}

#[tokio::test]
async fn a_connection_that_is_cut_or_silent_and_a_deleted_queue_lose_nothing_rabbitmq_postgres() {
    disturb(&postgres("journey_disturbed").await).await;
}

async fn disturb(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let (rabbit, proxy) = (Rabbit::corner().await, Proxy::open_way().await);
    let folder = TempDir::new().unwrap();
    let way = rabbit.settings_through(&proxy.url);
    let more = format!("{store}{way}heartbeat = \"1s\"\n");
    let loa = Running::start(&folder, &outside(&relay, &gateway, ("", &more))).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let events: Vec<_> = (0..100).map(hooked).collect();

    rabbit.publish_events(&events[..20]).await;
    proxy.close();
    rabbit.publish_events(&events[20..40]).await;
    loa.unready().await;
    proxy.open();
    rabbit.publish_events(&events[40..60]).await;
    loa.ready().await;
    proxy.freeze().await;
    rabbit.publish_events(&events[60..80]).await;
    loa.unready().await;
    proxy.open();
    loa.ready().await;
    gateway.requests.wait_for(80).await;
    rabbit.delete_queue().await;
    loa.wait_for_log("was the queue deleted?", 1).await;
    loa.ready().await;
    rabbit.publish_events(&events[80..]).await;
    gateway.requests.wait_for(100).await;
    loa.drain().await;

    assert_told_once(&gateway, events.len());
    loa.closes().await;
    rabbit.remove().await;
}

/// Batches are accepted side by side, and each event here is a batch of its own.
#[tokio::test]
async fn an_event_behind_a_change_of_the_directory_sees_the_change_rabbitmq_postgres() {
    change_and_tell(&postgres("journey_in_order").await, 1).await;
}

/// Batches whose last event changes what the first of the next needs.
#[tokio::test]
async fn an_event_in_the_batch_behind_a_change_sees_the_change_rabbitmq_postgres() {
    change_and_tell(&postgres("journey_in_batches").await, 3).await;
}

async fn change_and_tell(store: &str, batch: usize) {
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let more =
        format!("{store}{}[intake]\nbatch = {batch}\nbatch_wait = \"100ms\"\n", rabbit.settings());
    let loa = Running::start(&folder, &settings(&more)).await;
    loa.ready().await;
    let partners = (0..40).flat_map(|number: u32| {
        let id = format!("partner-{number}");
        let data = json!({ "id": id, "name": id, "changed_at": "2026-01-01T00:00:00Z" });
        let known = event("partner.changed", &format!("p-{number}"), data);
        let late = delayed(&id, &number.to_string());
        [known, event("order.delayed", &format!("d-{number}"), late)]
    });

    rabbit.publish_events(&partners.collect::<Vec<_>>()).await;
    loa.wait_for_count("/v1/deliveries/count?type=order.delayed&step=tell_partner", 40).await;

    assert_eq!(loa.get("/v1/rejected").await["rejected"], json!([]));
    loa.closes().await;
    rabbit.remove().await;
}

#[tokio::test]
async fn exclusive_a_rabbitmq_restarted_under_load_loses_nothing() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let mut rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("", &rabbit.settings()));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    drop(rabbit.listen("status.chat.sent.#").await);
    let events: Vec<_> = (0..300).map(hooked).collect();

    let restart = async {
        gateway.requests.wait_for(20).await;
        control("TEST_RABBITMQ_CONTROL", "restart").await;
    };
    tokio::join!(rabbit.publish_stubbornly(&events), restart);
    gateway.requests.wait_for(events.len()).await;
    loa.drain().await;

    assert_told_once(&gateway, events.len());
    loa.closes().await;
    // The publisher heard of each, before or after.
    let mut listener = rabbit.listen_again().await;
    let mut heard = BTreeSet::new();
    let enough = |told: &Heard| {
        heard.insert(told.body["business_key"].to_string());
        heard.len() == events.len()
    };
    listener.until(enough).await;
    rabbit.remove().await;
}

#[tokio::test]
async fn exclusive_a_postgres_restarted_under_load_loses_nothing_from_rabbitmq() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let mut rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let more = format!("{}{}", postgres("journey_postgres_restart").await, rabbit.settings());
    let settings = with_catalogue(&folder, &outside(&relay, &gateway, ("", &more)), hurried);
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let events: Vec<_> = (0..300).map(hooked).collect();

    let restart = async {
        gateway.requests.wait_for(20).await;
        control("TEST_POSTGRES_CONTROL", "restart").await;
    };
    tokio::join!(rabbit.publish_stubbornly(&events), restart);
    loa.until("all events", async || {
        loa.get("/v1/ledger").await["ledger"]["events"]["received"].as_u64()
            >= Some((events.len() + company().len()) as u64)
    })
    .await;
    loa.drain().await;

    loa.closes().await;
    assert_eq!(loa.count("provider=hook&state=sent").await, events.len());
    for (key, times) in told(&gateway) {
        let story = loa.story(&format!("business_key={key}&provider=hook")).await;
        let attempts = story["attempts"].as_array().unwrap();
        let unknown = attempts.iter().filter(|attempt| attempt["class"] == "unknown");
        assert!(times <= 1 + unknown.count(), "{key} was told {times} times: {story}");
    }
    let log = loa.log();
    assert!(log.contains("the store is back after"), "{log}");
    for noise in ["tokio_postgres", "deadpool", "could not"] {
        assert!(!log.contains(noise), "{noise}: {log}");
    }
    rabbit.remove().await;
}

#[tokio::test]
async fn exclusive_while_rabbitmq_takes_nothing_events_are_sent_and_told_of_afterwards() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let rabbit = Rabbit::corner().await;
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("", &rabbit.settings()));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    let mut listener = rabbit.listen("status.chat.sent.#").await;
    rabbit.publish_events(&[hooked(1)]).await;
    gateway.requests.wait_for(1).await;
    listener.until(|told| told.body["business_key"] == "DH-1").await;

    memory_of_rabbitmq("0.00001").await;
    loa.publish(&[hooked(2)]).await.unwrap();
    gateway.requests.wait_for(2).await;
    loa.wait_for_log("status events wait in the outbox", 1).await;
    let missing = loa.unready().await;
    assert_eq!(missing[0]["name"], "rabbitmq (status)", "{missing}");
    assert!(missing[0]["why"].as_str().unwrap().contains("takes no messages"), "{missing}");
    loa.publish(&[hooked(3)]).await.unwrap();
    gateway.requests.wait_for(3).await;
    memory_of_rabbitmq("0.4").await;

    let mut waited = BTreeSet::from(["DH-2", "DH-3"]);
    let both = |told: &Heard| {
        waited.remove(told.body["business_key"].as_str().unwrap());
        waited.is_empty()
    };
    listener.until(both).await;
    loa.ready().await;
    loa.drain().await;
    assert_told_once(&gateway, 3);
    loa.closes().await;
    rabbit.remove().await;
}

/// How much of the machine's memory RabbitMQ may use before it blocks whoever publishes.
async fn memory_of_rabbitmq(share: &str) {
    let set = ["ctl", "-q", "set_vm_memory_high_watermark", share];
    let control = service("TEST_RABBITMQ_CONTROL");
    let done = tokio::process::Command::new(control).args(set).status().await.unwrap();
    assert!(done.success());
}

/// How often each order was told of.
fn told(gateway: &Gateway) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for request in gateway.requests.all() {
        *told.entry(request.business_key().to_owned()).or_insert(0) += 1;
    }
    told
}

fn assert_told_once(gateway: &Gateway, count: usize) {
    let told = told(gateway);
    assert_eq!(told.len(), count);
    assert!(told.values().all(|times| *times == 1), "{told:?}");
}
