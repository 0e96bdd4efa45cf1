//! Accepting: once, whole, or not at all.

use jiff::Timestamp;

use super::on_both_stores;
use super::stage::{assert_closed, delivery, event, now, planned};
use crate::model::event::{Arrival, Properties, RejectReason, RejectedEvent, Rejection, Transport};
use crate::model::id::RejectedId;
use crate::store::{Acceptance, Accepted, DeliveryFilter, Store};

on_both_stores!(
    the_same_event_plans_nothing_twice,
    the_same_id_with_other_bytes_is_rejected,
    a_rejection_uses_up_no_key,
    all_or_nothing_keeps_nothing_beside_a_rejection,
    two_who_hand_in_the_same_event_at_once_plan_it_once,
);

fn one(id: &str, says: &str) -> Acceptance {
    let event = event(id, says);
    let deliveries = vec![delivery(&event, "an")];
    planned(event, deliveries)
}

fn rejected(at: Timestamp) -> Acceptance {
    let arrival = Arrival {
        bytes: "{".into(),
        properties: Properties::default(),
        transport: Transport::Http,
        at,
    };
    Acceptance::Rejected(Box::new(RejectedEvent {
        id: RejectedId::new(at),
        arrival,
        rejection: Rejection {
            reason: RejectReason::Undecodable,
            place: None,
            message: "not JSON".to_owned(),
            event_type: None,
            key: None,
        },
    }))
}

async fn count(store: &Store) -> u64 {
    store.count_deliveries(DeliveryFilter::default()).await.unwrap()
}

async fn the_same_event_plans_nothing_twice(store: Store) {
    let first = store.accept(vec![one("1", "late")]).await.unwrap();

    let again = store.accept(vec![one("1", "late"), one("1", "late")]).await.unwrap();

    let event = first[0].planned_event().unwrap();
    for repeat in &again {
        assert!(matches!(repeat, Accepted::Repeat { event: known } if *known == event));
    }
    assert_eq!(count(&store).await, 1);
    assert_eq!(store.ledger().await.unwrap().events.repeats, 2);
    assert_closed(&store).await;
}

async fn the_same_id_with_other_bytes_is_rejected(store: Store) {
    store.accept(vec![one("1", "late")]).await.unwrap();

    let other = store.accept(vec![one("1", "lost")]).await.unwrap();

    let Accepted::Rejected { id: Some(id), rejection } = &other[0] else { panic!("{other:?}") };
    assert_eq!(rejection.reason, RejectReason::IdReused);
    assert!(store.find_rejected(*id).await.unwrap().is_some());
    assert_eq!(count(&store).await, 1);
    assert_closed(&store).await;
}

async fn a_rejection_uses_up_no_key(store: Store) {
    store.accept(vec![one("1", "late")]).await.unwrap();
    store.accept(vec![one("1", "lost")]).await.unwrap();

    let again = store.accept(vec![one("1", "late"), one("2", "lost")]).await.unwrap();

    assert!(matches!(again[0], Accepted::Repeat { .. }));
    assert!(again[1].planned_event().is_some());
    assert_closed(&store).await;
}

async fn all_or_nothing_keeps_nothing_beside_a_rejection(store: Store) {
    let batch = vec![one("1", "late"), rejected(now())];

    let answers = store.accept_all_or_nothing(batch).await.unwrap();

    assert!(answers.iter().any(|answer| matches!(answer, Accepted::Rejected { id: None, .. })));
    assert_eq!(count(&store).await, 0);
    assert!(store.accept(vec![one("1", "late")]).await.unwrap()[0].planned_event().is_some());
    assert_closed(&store).await;
}

async fn two_who_hand_in_the_same_event_at_once_plan_it_once(store: Store) {
    let hand_in = |_| {
        let store = store.clone();
        async move { store.accept(vec![one("1", "late"), one("2", "late")]).await.unwrap() }
    };

    let answers = futures_util::future::join_all((0..8).map(hand_in)).await;

    let planned = answers.iter().flatten().filter(|one| one.planned_event().is_some());
    assert_eq!(planned.count(), 2);
    assert_eq!(count(&store).await, 2);
    assert_closed(&store).await;
}
