//! Whether Loa lives depends on nothing outside; whether it is ready says what is away.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Proxy, Rabbit, Running, company, hooked, outside, own_database};

/// The names of what is away.
fn names(missing: &Value) -> BTreeSet<&str> {
    let all = missing.as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_broker_store_and_receivers_it_lives_and_says_what_is_away_rabbitmq_postgres() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let (rabbit, broker) = (Rabbit::corner().await, Proxy::open_way().await);
    let mut url = Url::parse(&own_database("journey_alive").await).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let database = loa::rehearsal::proxy::Proxy::open_way(target).await.unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(database.port)).unwrap();
    let more = format!("[store]\nurl = \"{url}\"\n{}", rabbit.settings_through(&broker.url));
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &outside(&relay, &gateway, ("", &more))).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();

    // Nobody answers at the receivers any more.
    let (mails, hook) = (relay.mails.clone(), gateway.requests.clone());
    drop((relay, gateway));
    loa.publish(&[hooked(1)]).await.unwrap();
    assert_eq!(loa.text("/healthz").await, "ok\n");
    assert_eq!(loa.get("/readyz").await["missing"], serde_json::json!([]));
    database.close();
    let missing = loa.unready().await;
    assert_eq!(names(&missing), BTreeSet::from(["store"]), "{missing}");
    let why = missing[0]["why"].as_str().unwrap();
    assert!(why.starts_with(&format!("PostgreSQL at 127.0.0.1:{}", database.port)), "{why}");
    broker.close();
    let all = BTreeSet::from(["rabbitmq (events)", "rabbitmq (status)", "store"]);
    loa.until("all to be away", async || names(&loa.unready().await) == all).await;
    assert_eq!(loa.text("/healthz").await, "ok\n");
    assert!(loa.command(&["health"]).await.0);

    broker.open();
    database.open();
    loa.ready().await;
    assert_eq!((mails.count(), hook.count()), (0, 0));
    loa.closes().await;
    rabbit.remove().await;
}
