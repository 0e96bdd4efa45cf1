//! Copies of an event are like others that were accepted and sent one by one.

use std::time::Duration;

use super::stage::Stage;
use crate::model::delivery::State;
use crate::store::{DeliveryFilter, Spread};

on_both_stores!(
    copies_are_found_like_others_and_the_ledger_closes,
    bytes_of_wal_are_counted_where_there_are_such,
);

async fn copies_are_found_like_others_and_the_ledger_closes(stage: Stage) {
    let planned = stage.planned("1", 1);
    let event = planned.event.id;
    stage.accept(planned).await;
    let claim = stage.claim().await.remove(0);
    stage.store.finish(vec![stage.sent(&claim)]).await.unwrap();

    let spread = Spread { from: stage.now(), gap: Duration::from_secs(1) };
    stage.store.copy_event(event, 0..7, spread).await.unwrap();
    stage.store.copy_event(event, 7..10, spread).await.unwrap();
    stage.store.analyze().await.unwrap();
    assert!(stage.store.size().await.unwrap() > 10_000);

    let filter =
        DeliveryFilter { business_key: Some("copy-8".to_owned()), ..DeliveryFilter::default() };
    let found = stage.store.deliveries(filter, None, 10).await.unwrap();
    assert_eq!((found.len(), found[0].state), (1, State::Sent));
    let story = stage.store.find_delivery(found[0].id).await.unwrap().unwrap();
    assert_eq!((story.event.key.id.as_str(), story.attempts.len()), ("copy-8", 1));
    assert!(stage.claim().await.is_empty(), "what was sent is not sent again");
    stage.assert_closed().await;
}

async fn bytes_of_wal_are_counted_where_there_are_such(stage: Stage) {
    let before = stage.store.find_wal_bytes().await.unwrap();

    stage.plan("1", 1).await;

    let after = stage.store.find_wal_bytes().await.unwrap();
    assert_eq!(after.is_some(), stage.store.describe().starts_with("PostgreSQL"));
    assert!(after.is_none() || after > before, "{before:?}..{after:?}");
}
