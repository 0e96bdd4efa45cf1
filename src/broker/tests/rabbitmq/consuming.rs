//! Consuming, with everything that breaks in between.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::is_connected;
use crate::broker::tests::stage::{Stage, await_fault, await_state, next, take, take_and_settle};
use crate::broker::{BrokerState, Consumer};
use crate::config::{Binding, Topology};

/// A subscription takes this many one by one before it asks for its whole prefetch.
const SLOW_START: u32 = 10;

#[tokio::test]
async fn only_a_prefix_without_gaps_is_acknowledged_and_the_rest_comes_again_after_a_cut() {
    let mut stage = Stage::new().await;
    stage.settings.prefetch = 5;
    let mut consumer = stage.consumer().await;
    stage.publish(0..SLOW_START + 8).await;
    take_and_settle(&mut consumer, SLOW_START as usize).await;
    let settler = consumer.settler();

    let first = take(&mut consumer, 5).await;
    settler.settle([first[0].1.link, first[1].1.link, first[2].1.link, first[4].1.link]);
    // With a prefetch of five, three more can only come once the broker has acknowledgements of the
    // first three; a fourth would mean that the one behind the gap was acknowledged too.
    let more = take(&mut consumer, 3).await;
    stage.proxy.close();
    await_fault(&mut consumer.state()).await;
    stage.proxy.open();
    let again = take_and_settle(&mut consumer, 5).await;

    let taken: Vec<_> = first.iter().chain(&more).map(|(number, _)| *number).collect();
    assert_eq!(taken, (SLOW_START..SLOW_START + 8).collect::<Vec<_>>());
    let again: BTreeSet<_> = again.into_iter().collect();
    assert_eq!(again, (SLOW_START + 3..SLOW_START + 8).collect());
    stage.end().await;
}

#[tokio::test]
async fn a_link_of_an_earlier_connection_acknowledges_nothing() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    stage.publish([1]).await;
    let old = next(&mut consumer).await;

    stage.proxy.close();
    await_fault(&mut consumer.state()).await;
    stage.proxy.open();
    await_state(&mut consumer.state(), is_connected).await;
    next(&mut consumer).await;
    consumer.settler().settle([old.link]);
    stage.publish([2]).await;
    stage.proxy.close();
    await_fault(&mut consumer.state()).await;
    stage.proxy.open();
    let again = take_and_settle(&mut consumer, 2).await;

    assert_eq!(BTreeSet::from_iter(again), BTreeSet::from([1, 2]));
    stage.end().await;
}

#[tokio::test]
async fn a_broker_that_is_absent_at_the_start_is_waited_for() {
    let stage = Stage::unreachable().await;
    let mut consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;
    stage.proxy.open();
    await_state(&mut consumer.state(), is_connected).await;
    stage.publish([7]).await;

    assert!(fault.starts_with("RabbitMQ at 127.0.0.1:"), "{fault}");
    assert!(!fault.contains("guest:"), "{fault}");
    assert_eq!(take_and_settle(&mut consumer, 1).await, [7]);
    stage.end().await;
}

#[tokio::test]
async fn headers_as_long_as_rabbitmq_lets_others_write_come_whole() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    let mut headers = FieldTable::default();
    // A body goes in as many frames as it needs, but headers are never cut.
    headers.insert("x-note".into(), AMQPValue::LongString("x".repeat(130_000).into()));
    let body = "0".repeat(300_000) + "8";

    stage.publish_with(&body, BasicProperties::default().with_headers(headers)).await;
    stage.publish([9]).await;

    assert_eq!(take_and_settle(&mut consumer, 2).await, [8, 9]);
    stage.end().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_in_words_without_it() {
    let mut stage = Stage::new().await;
    let port = stage.proxy.port;
    stage.settings.url = format!("amqp://loa:canary-secret@127.0.0.1:{port}/%2f").into();
    let consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;

    assert!(fault.contains("user `loa`") && fault.contains("refused"), "{fault}");
    assert!(!fault.contains("canary-secret"), "{fault}");
    stage.end().await;
}

#[tokio::test]
async fn a_virtual_host_that_is_missing_is_told() {
    let mut stage = Stage::new().await;
    let port = stage.proxy.port;
    stage.settings.url = format!("amqp://guest:guest@127.0.0.1:{port}/nowhere").into();
    let consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;

    assert!(fault.contains("nowhere"), "{fault}");
    stage.end().await;
}

#[tokio::test]
async fn a_broker_that_speaks_no_tls_is_told_apart() {
    let mut stage = Stage::new().await;
    let port = stage.proxy.port;
    stage.settings.url = format!("amqps://guest:guest@127.0.0.1:{port}/%2f").into();
    let consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;

    assert!(fault.starts_with("RabbitMQ at 127.0.0.1:"), "{fault}");
    stage.end().await;
}

#[tokio::test]
async fn a_queue_deleted_while_consuming_is_declared_again() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    stage.publish([1]).await;
    take_and_settle(&mut consumer, 1).await;

    stage.delete_queue(&stage.settings.queue).await;
    let fault = await_fault(&mut consumer.state()).await;
    await_state(&mut consumer.state(), is_connected).await;
    stage.publish([2]).await;

    assert!(fault.contains("was the queue deleted?"), "{fault}");
    assert_eq!(take_and_settle(&mut consumer, 1).await, [2]);
    stage.end().await;
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_by_its_heartbeat() {
    let mut stage = Stage::new().await;
    stage.settings.heartbeat = Duration::from_secs(1);
    let mut consumer = stage.consumer().await;

    stage.proxy.freeze();
    let fault = await_fault(&mut consumer.state()).await;
    stage.proxy.open();
    await_state(&mut consumer.state(), is_connected).await;
    stage.publish([3]).await;

    assert!(fault.contains("no sign of life"), "{fault}");
    assert_eq!(take_and_settle(&mut consumer, 1).await, [3]);
    stage.end().await;
}

#[tokio::test]
async fn a_queue_that_is_other_than_declared_is_told_with_both_values_and_tried_again() {
    let stage = Stage::new().await;
    stage.declare_queue(&stage.settings.dead_letter_queue, None).await;
    let consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;
    stage.delete_queue(&stage.settings.dead_letter_queue).await;
    await_state(&mut consumer.state(), is_connected).await;

    for part in [&stage.settings.dead_letter_queue, "x-queue-type", "'quorum'", "topology"] {
        assert!(fault.contains(part), "{part} is not in: {fault}");
    }
    // A queue that was declared without a type: RabbitMQ 4 says what that means.
    assert!(fault.contains("none") || fault.contains("'classic'"), "{fault}");
    stage.end().await;
}

#[tokio::test]
async fn a_topology_that_is_only_checked_is_not_declared() {
    let mut stage = Stage::new().await;
    stage.settings.topology = Topology::Check;
    let consumer = Consumer::start(&stage.parts());

    let fault = await_fault(&mut consumer.state()).await;

    let missing = format!("exchange `{}` does not exist", stage.settings.dead_letter_exchange);
    assert!(fault.starts_with(&missing), "{fault}");
    stage.end().await;
}

#[tokio::test]
async fn a_topology_that_is_only_checked_may_be_of_any_make() {
    let mut stage = Stage::new().await;
    stage.settings.topology = Topology::Check;
    let settings = stage.settings.clone();
    stage.declare_exchange(&settings.dead_letter_exchange).await;
    stage.declare_exchange(&settings.exchange).await;
    stage.declare_queue(&settings.dead_letter_queue, None).await;
    stage.declare_queue(&settings.queue, Some((&settings.exchange, "#"))).await;

    let mut consumer = stage.consumer().await;
    stage.publish([4]).await;

    assert_eq!(take_and_settle(&mut consumer, 1).await, [4]);
    stage.end().await;
}

#[tokio::test]
async fn an_exchange_of_others_is_bound_and_a_missing_one_stops_nothing() {
    let mut stage = Stage::new().await;
    // Exchanges of others need the right to read them besides: the tests' user has it of such
    // names.
    let there = format!("{}.erp.events", stage.settings.exchange);
    let absent = format!("{}.crm.events", stage.settings.exchange);
    stage.declare_exchange(&there).await;
    let bind =
        |exchange: &str| Binding { exchange: exchange.into(), routing_key: "order.#".into() };
    stage.settings.bind = vec![bind(&there), bind(&absent)];
    let mut consumer = Consumer::start(&stage.parts());

    let impaired = |state: &BrokerState| matches!(state, BrokerState::Impaired(_));
    let state = await_state(&mut consumer.state(), impaired).await;
    stage.publish_to(&there, "5", BasicProperties::default()).await;
    let delivered = next(&mut consumer).await;

    assert!(state.is_connected() && state.fault().unwrap().contains(&absent), "{state:?}");
    assert_eq!(delivered.arrival.properties.exchange.as_deref(), Some(there.as_str()));
    stage.end().await;
}

#[tokio::test]
async fn headers_and_properties_of_a_real_publish_arrive() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    let mut headers = FieldTable::default();
    headers.insert("cloudEvents:Id".into(), AMQPValue::LongString("8".into()));
    headers.insert("attempt".into(), AMQPValue::LongInt(2));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_app_id("shop".into())
        .with_timestamp(1_800_000_000)
        .with_headers(headers);

    stage.publish_with(r#"{"order_id":"DH1"}"#, properties).await;
    let arrival = next(&mut consumer).await.arrival;

    assert_eq!(arrival.bytes, r#"{"order_id":"DH1"}"#);
    assert_eq!(arrival.properties.app_id.as_deref(), Some("shop"));
    assert_eq!(arrival.properties.routing_key.as_deref(), Some("order.delayed"));
    assert_eq!(arrival.properties.timestamp, Timestamp::from_second(1_800_000_000).ok());
    assert_eq!(arrival.properties.headers["cloudevents:id"], "8");
    assert_eq!(arrival.properties.headers["attempt"], "2");
    stage.end().await;
}

#[tokio::test]
async fn a_subscription_begins_with_one_arrival_at_a_time() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    stage.publish(0..3).await;

    let first = next(&mut consumer).await;
    let is_alone = futures_util::poll!(consumer.next()).is_pending();
    let left = stage.take(&stage.settings.queue).await;
    consumer.settler().settle([first.link]);

    assert!(is_alone);
    assert!(left.is_some(), "the broker handed out more than one");
    stage.end().await;
}

#[tokio::test]
async fn a_stop_waits_until_what_is_in_hand_is_settled_and_leaves_the_rest() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    stage.publish(0..SLOW_START + 3).await;
    take_and_settle(&mut consumer, SLOW_START as usize).await;
    let in_hand = take(&mut consumer, 3).await;
    let settler = consumer.settler();

    let tasks = stage.tasks.clone();
    let stopping = tasks.stop(Duration::from_secs(30));
    let working = async {
        assert!(consumer.next().await.is_none(), "an arrival came from nowhere");
        stage.publish([99]).await;
        settler.settle(in_hand.iter().map(|(_, delivered)| delivered.link));
    };
    let (in_time, ()) = tokio::join!(stopping, working);

    assert!(in_time);
    let left = stage.take(&stage.settings.queue).await.unwrap();
    assert_eq!(left.data, b"99");
    assert!(stage.take(&stage.settings.queue).await.is_none());
    assert_eq!(*consumer.state().borrow(), BrokerState::Stopped);
    stage.end().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_arrivals_that_nobody_can_settle_any_more() {
    let stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    stage.publish([1]).await;
    next(&mut consumer).await;

    drop(consumer);
    let in_time = stage.tasks.stop(Duration::from_secs(30)).await;

    assert!(in_time);
    stage.end().await;
}

#[tokio::test]
async fn arrivals_that_nobody_settles_are_given_back_until_someone_does() {
    let stage = Stage::new().await;
    let mut consumer = Consumer::start_with(&stage.parts(), Duration::from_millis(200));
    await_state(&mut consumer.state(), is_connected).await;
    stage.publish([6]).await;
    let stuck = next(&mut consumer).await;

    let fault = await_fault(&mut consumer.state()).await;
    consumer.settler().settle([stuck.link]);
    let again = next(&mut consumer).await;
    consumer.settler().settle([again.link]);

    assert!(fault.contains("still not stored"), "{fault}");
    assert_eq!(again.arrival.bytes, "6");
    stage.end().await;
}
