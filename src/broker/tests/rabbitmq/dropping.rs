//! What RabbitMQ itself gives up: messages that came back too often, and subscriptions.

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicRejectOptions};
use lapin::types::FieldTable;

use super::{control, is_connected};
use crate::broker::tests::stage::{
    PATIENCE, Stage, await_fault, await_state, next, take, take_and_settle,
};

/// Waits for the next message in the queue of what was dropped, and says what it is.
async fn dropped(stage: &Stage) -> String {
    let channel = stage.channel().await;
    let queue = stage.settings.dead_letter_queue.as_str().into();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let none = FieldTable::default();
    let mut messages = channel.basic_consume(queue, "".into(), options, none).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await;
    let message = message.expect("nothing was kept").unwrap().unwrap();
    channel.close(200, "done".into()).await.unwrap();
    String::from_utf8(message.data).unwrap()
}

/// A crash loop on one event is its own trouble: what stands behind it is not returned with it.
#[tokio::test]
async fn an_event_that_came_back_too_often_is_kept_as_dropped_and_its_neighbours_are_not() {
    let stage = Stage::new().await;
    // As RabbitMQ 4 does by itself, after 20 returns.
    let pattern = format!("^{}$", stage.settings.queue.replace('.', "\\."));
    let policy = ["ctl", "-q", "set_policy", &stage.settings.queue, &pattern];
    let limit = [r#"{"delivery-limit":2}"#, "--apply-to", "queues"];
    control(&[&policy[..], &limit].concat()).await;
    let mut consumer = stage.consumer().await;
    stage.publish(1..=5).await;

    let mut returns = 0;
    let behind = loop {
        let (number, delivered) = take(&mut consumer, 1).await.remove(0);
        if number != 1 {
            consumer.settler().settle([delivered.link]);
            break number;
        }
        returns += 1;
        assert!(returns < 10, "RabbitMQ drops nothing");
        stage.proxy.close();
        await_fault(&mut consumer.state()).await;
        stage.proxy.open();
    };
    let rest = take_and_settle(&mut consumer, 3).await;

    assert_eq!((behind, rest), (2, vec![3, 4, 5]));
    assert_eq!(dropped(&stage).await, "1");
    assert!(stage.take(&stage.settings.dead_letter_queue).await.is_none());
    control(&["ctl", "-q", "clear_policy", &stage.settings.queue]).await;
    stage.end().await;
}

#[tokio::test]
async fn what_others_reject_is_kept_as_dropped() {
    let stage = Stage::new().await;
    drop(stage.consumer().await);
    stage.tasks.stop(std::time::Duration::ZERO).await;
    stage.publish([7]).await;

    let channel = stage.channel().await;
    let queue = stage.settings.queue.as_str().into();
    let got = channel.basic_get(queue, BasicGetOptions::default()).await.unwrap().unwrap();
    got.delivery.reject(BasicRejectOptions { requeue: false }).await.unwrap();

    assert_eq!(dropped(&stage).await, "7");
    stage.end().await;
}

/// The broker closes a channel whose acknowledgement does not come in time.
#[tokio::test]
async fn exclusive_a_channel_closed_for_a_late_acknowledgement_is_opened_again() {
    let stage = Stage::new().await;
    patience_of_the_broker(1000, 500).await;
    let mut consumer = stage.consumer().await;
    stage.publish([1]).await;

    let late = next(&mut consumer).await;
    let fault = await_fault(&mut consumer.state()).await;
    patience_of_the_broker(1_800_000, 60_000).await;
    await_state(&mut consumer.state(), is_connected).await;
    consumer.settler().settle([late.link]);
    let again = take_and_settle(&mut consumer, 1).await;
    stage.publish([2]).await;

    // Up to RabbitMQ 4.2 the channel is closed, later the subscription alone.
    let is_told = fault.contains("PRECONDITION_FAILED") || fault.contains("ended the subscription");
    assert!(is_told, "{fault}");
    assert_eq!(again, [1]);
    assert_eq!(take_and_settle(&mut consumer, 1).await, [2]);
    stage.end().await;
}

/// How long the broker waits for an acknowledgement, and how often it looks, in milliseconds.
async fn patience_of_the_broker(timeout: u32, look: u32) {
    let set = format!(
        "application:set_env(rabbit, consumer_timeout, {timeout}), \
         application:set_env(rabbit, channel_tick_interval, {look})."
    );
    control(&["ctl", "-q", "eval", &set]).await;
}
