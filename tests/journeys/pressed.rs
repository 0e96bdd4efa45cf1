//! More comes from RabbitMQ than a dead or a slow PostgreSQL takes: it stays there, and nothing is
//! lost.

use lapin::BasicProperties;
use loa::rehearsal::proxy::Proxy;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Lock, Rabbit, Running, company, event, hooked, outside, own_database};

/// How many events come while the store takes none.
const FLOOD: usize = 4_000;
/// How long the text of each is, in bytes: all of them are 94 MiB.
const TEXT: usize = 24 << 10;
/// How many of them Loa takes from the broker at most without having stored them.
const PREFETCH: usize = 50;
/// What the process may come to hold for them, in MiB, with all that is made of those it holds at
/// once.
const MEMORY: u64 = 70;

/// A way to a database that can be frozen, and the settings that lead through it.
async fn way(database: &str) -> (Proxy, String) {
    let mut url = Url::parse(database).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let way = Proxy::open_way(target).await.unwrap();
    url.set_port(Some(way.port)).unwrap();
    (way, format!("[store]\nurl = \"{url}\"\n"))
}

/// An event of a partner for whom nobody is there to be told of it, with a long text.
fn long(number: usize) -> Value {
    let data = json!({
        "order_id": format!("L-{number}"), "partner_id": "truc-lam",
        "shipped_at": "2030-01-01T00:00:00Z", "carrier": "x".repeat(TEXT)
    });
    event("order.shipped", &format!("long-{number}"), data)
}

/// What keeps the store from taking anything.
enum Trouble {
    /// Connections stay open, and nothing comes through.
    Dead,
    /// Whatever is written waits for somebody else.
    Slow,
}

#[tokio::test]
async fn what_a_dead_postgres_does_not_take_stays_in_rabbitmq_and_comes_once_it_is_back() {
    flood("journey_pressed_dead", Trouble::Dead).await;
}

#[tokio::test]
async fn what_a_slow_postgres_does_not_take_stays_in_rabbitmq_and_comes_once_it_is_quick() {
    flood("journey_pressed_slow", Trouble::Slow).await;
}

async fn flood(name: &str, trouble: Trouble) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let (rabbit, database) = (Rabbit::corner().await, own_database(name).await);
    let (way, store) = way(&database).await;
    let broker = format!("{}prefetch = {PREFETCH}\n", rabbit.settings());
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("", &format!("{store}{broker}")));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();
    // A subscription begins with one event at a time, and asks for all once some were stored.
    rabbit.publish_events(&(0..50).map(hooked).collect::<Vec<_>>()).await;
    gateway.requests.wait_for(50).await;
    loa.drain().await;
    let rest = loa.peak_memory();

    let lock = match trouble {
        Trouble::Dead => {
            way.freeze().await;
            None
        }
        Trouble::Slow => Some(Lock::postgres(&database).await),
    };
    let bodies: Vec<String> = (0..FLOOD).map(|number| long(number).to_string()).collect();
    let structured =
        BasicProperties::default().with_content_type("application/cloudevents+json".into());
    let bytes = bodies.iter().map(String::as_bytes);
    rabbit.publish_fast("order.shipped", bytes, &structured).await;
    loa.wait_for_log("events from RabbitMQ wait", 1).await;
    loa.wait_for_log("the sweep waits", 1).await;
    let left = rabbit.waiting().await;
    let while_away = loa.peak_memory() - rest;

    match lock {
        Some(lock) => lock.release().await,
        // What was under way is lost with its connection.
        None => way.close(),
    }
    way.open();
    rabbit.publish_events(&[hooked(50)]).await;
    gateway.requests.wait_for(51).await;
    let all = FLOOD + 51 + company().len();
    loa.until("all events", async || {
        // What was committed unheard comes again, as a repeat; nothing is to be rejected.
        loa.get("/v1/ledger").await["ledger"]["events"]["planned"] == json!(all)
    })
    .await;

    let taken = FLOOD.saturating_sub(left);
    assert!((1..=PREFETCH).contains(&taken), "Loa held {taken} events that it could not store");
    assert!(while_away < MEMORY, "{while_away} MiB more than {rest} while nothing was stored");
    let ledger = loa.closes().await;
    assert_eq!(ledger["events"]["planned"], all, "{ledger}");
    assert_eq!(rabbit.waiting().await, 0);
    let grown = loa.peak_memory() - rest;
    assert!(grown < MEMORY, "{grown} MiB more than {rest} in the end");
    loa.ready().await;
    rabbit.remove().await;
}
