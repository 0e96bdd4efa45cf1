//! Publishing with confirms, and both connections where the broker itself is disturbed.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::{control, is_connected};
use crate::broker::tests::stage::{Stage, await_fault, await_state, next, take_and_settle};
use crate::broker::{Publication, PublishOutcome, Publisher, StatusOutcome};
use crate::model::event::Properties;
use crate::model::status::StatusEvent;

fn status(routing_key: &str) -> StatusEvent {
    StatusEvent {
        id: Uuid::from_u128(fastrand::u128(..)),
        routing_key: routing_key.to_owned(),
        correlation_id: Some("c1".to_owned()),
        at: Timestamp::UNIX_EPOCH,
        body: Bytes::from_static(b"{}"),
    }
}

async fn publisher(stage: &Stage) -> Publisher {
    let publisher = Publisher::start(&stage.parts());
    await_state(&mut publisher.state(), is_connected).await;
    publisher
}

#[tokio::test]
async fn unroutable_messages_are_told_from_routable_ones_when_many_are_under_way() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let queue = format!("{}.listener", stage.settings.queue);
    stage.declare_queue(&queue, Some((&stage.settings.status_exchange, "status.email.#"))).await;
    let keys = ["status.email.sent.order.delayed", "status.sms.sent.order.delayed"];
    let events: Vec<_> = (0..2000).map(|at| status(keys[at % 2])).collect();

    let first = publisher.publish(&events).await;
    let second = publisher.publish(&events).await;

    let wanted = |unheard: StatusOutcome| -> Vec<_> {
        (0..2000)
            .map(|at| if at % 2 == 0 { StatusOutcome::Confirmed } else { unheard.clone() })
            .collect()
    };
    assert_eq!(first, wanted(StatusOutcome::Returned));
    let mut asked = wanted(StatusOutcome::LeftOut);
    asked[1] = StatusOutcome::Returned;
    assert_eq!(second, asked);
    stage.delete_queue(&queue).await;
    stage.end().await;
}

#[tokio::test]
async fn whoever_binds_a_queue_gets_all_that_is_told_from_then_on_in_its_order() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let queue = format!("{}.listener", stage.settings.queue);
    let keys = ["status.email.sent.order.delayed", "status.event.planned.order.delayed"];
    let some = || -> Vec<_> { (0..400).map(|at| status(keys[at % 2])).collect() };
    let count = |outcomes: &[StatusOutcome], wanted: &StatusOutcome| {
        outcomes.iter().filter(|outcome| *outcome == wanted).count()
    };

    let first = publisher.publish(&some()).await;
    let unheard = publisher.publish(&some()).await;
    stage.declare_queue(&queue, Some((&stage.settings.status_exchange, "#"))).await;
    let (bound, after) = (some(), some());
    let heard = publisher.publish(&bound).await;
    publisher.publish(&after).await;

    assert_eq!(count(&first, &StatusOutcome::Returned), 400);
    let (returned, left_out) =
        (count(&unheard, &StatusOutcome::Returned), count(&unheard, &StatusOutcome::LeftOut));
    assert_eq!((returned, left_out), (2, 398));
    assert_eq!(count(&heard, &StatusOutcome::Confirmed), 400);
    // The first of each key went before the others; here they are the first ones anyway.
    for event in bound.iter().chain(&after) {
        let message = stage.take(&queue).await.unwrap();
        let id = message.properties.message_id().as_ref().unwrap();
        assert_eq!(id.as_str(), event.id.to_string());
    }
    assert!(stage.take(&queue).await.is_none());
    stage.delete_queue(&queue).await;
    stage.end().await;
}

#[tokio::test]
async fn a_status_event_carries_its_id_and_is_persistent() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let queue = format!("{}.listener", stage.settings.queue);
    stage.declare_queue(&queue, Some((&stage.settings.status_exchange, "#"))).await;
    let event = status("status.email.sent.order.delayed");
    let id = event.id.to_string();

    publisher.publish(&[event]).await;
    let message = stage.take(&queue).await.unwrap();

    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(text(message.properties.message_id()), Some(id));
    assert_eq!(text(message.properties.correlation_id()), Some("c1".to_owned()));
    assert_eq!(*message.properties.delivery_mode(), Some(2));
    stage.delete_queue(&queue).await;
    stage.end().await;
}

#[tokio::test]
async fn publishing_fails_at_once_without_a_broker_and_works_again_with_it() {
    let stage = Stage::unreachable().await;
    let publisher = Publisher::start(&stage.parts());
    await_fault(&mut publisher.state()).await;

    let without = publisher.publish(&[status("status.email.sent.x")]).await;
    stage.proxy.open();
    await_state(&mut publisher.state(), is_connected).await;
    let with = publisher.publish(&[status("status.email.sent.x")]).await;

    assert!(matches!(&without[0], StatusOutcome::Failed(reason) if reason.contains("127.0.0.1")));
    assert_eq!(with[0], StatusOutcome::Returned);
    stage.end().await;
}

#[tokio::test]
async fn an_exchange_that_does_not_exist_fails_the_window_and_not_what_comes_after_it() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let to = |exchange: &str| Publication {
        exchange: exchange.to_owned(),
        routing_key: "order.delayed".to_owned(),
        properties: Properties { message_id: Some("m1".into()), ..Properties::default() },
        bytes: Bytes::from_static(b"{}"),
    };

    let lost = publisher.publish_event(to("loa-test-nowhere")).await;
    await_state(&mut publisher.state(), is_connected).await;
    let mut after = publisher.publish_event(to(&stage.settings.status_exchange)).await;
    while matches!(after, PublishOutcome::Failed(_)) {
        await_state(&mut publisher.state(), is_connected).await;
        after = publisher.publish_event(to(&stage.settings.status_exchange)).await;
    }

    assert!(matches!(&lost, PublishOutcome::Failed(reason) if reason.contains("loa-test-nowhere")));
    assert_eq!(after, PublishOutcome::Unroutable);
    stage.end().await;
}

#[tokio::test]
async fn a_message_that_amqp_cannot_take_fails_alone() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let with_key = |routing_key: String| Publication {
        exchange: stage.settings.status_exchange.clone(),
        routing_key,
        ..Publication::default()
    };

    let outcomes =
        publisher.publish_all(vec![with_key("x".repeat(256)), with_key("status.x".into())]).await;

    assert!(matches!(&outcomes[0], PublishOutcome::Failed(reason) if reason.contains("255")));
    assert_eq!(outcomes[1], PublishOutcome::Unroutable);
    stage.end().await;
}

#[tokio::test]
async fn exclusive_a_blocked_publisher_says_so_fails_at_once_and_publishes_again_afterwards() {
    let stage = Stage::new().await;
    let publisher = publisher(&stage).await;
    let mut consumer = stage.consumer().await;
    stage.publish([1]).await;
    let event = status("status.email.sent.x");

    alarm(true).await;
    let blocked = publisher.publish(std::slice::from_ref(&event)).await;
    let state = publisher.state().borrow().clone();
    let again = publisher.publish(std::slice::from_ref(&event)).await;
    let consumed = take_and_settle(&mut consumer, 1).await;
    alarm(false).await;
    await_state(&mut publisher.state(), is_connected).await;
    let afterwards = publisher.publish(&[event]).await;

    for outcome in [&blocked[0], &again[0]] {
        assert!(
            matches!(outcome, StatusOutcome::Failed(reason) if reason.contains("for now")),
            "{outcome:?}"
        );
    }
    assert!(!state.is_connected() && state.fault().unwrap().contains("for now"), "{state:?}");
    assert_eq!(consumed, [1]);
    assert_eq!(afterwards[0], StatusOutcome::Returned);
    stage.end().await;
}

#[tokio::test]
async fn exclusive_a_restarted_broker_is_found_again_by_both_connections() {
    let mut stage = Stage::new().await;
    let mut consumer = stage.consumer().await;
    let publisher = publisher(&stage).await;
    stage.publish([1, 2]).await;
    let open = next(&mut consumer).await;

    control(&["restart"]).await;
    await_state(&mut publisher.state(), is_connected).await;
    await_state(&mut consumer.state(), is_connected).await;
    consumer.settler().settle([open.link]);
    stage.reconnect().await;
    let again = take_and_settle(&mut consumer, 2).await;
    let published = publisher.publish(&[status("status.email.sent.x")]).await;

    assert_eq!(BTreeSet::from_iter(again), BTreeSet::from([1, 2]));
    assert_eq!(published[0], StatusOutcome::Returned);
    stage.end().await;
}

/// Makes the broker believe that it has no memory left, or that it has some again.
async fn alarm(is_on: bool) {
    let mark = if is_on { "0.00001" } else { "0.4" };
    control(&["ctl", "-q", "set_vm_memory_high_watermark", mark]).await;
}
