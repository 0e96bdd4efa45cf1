//! Events come in once, whatever is brought again.

use super::stage::{LEASE, Stage, arrival, planned};
use crate::model::contact::Suppression;
use crate::model::deed::DeedKind;
use crate::model::delivery::Lease;
use crate::model::event::{Digest, RejectReason, RejectedEvent, Rejection};
use crate::model::id::{LeaseToken, RejectedId};
use crate::store::{Acceptance, Accepted, RejectedFilter, StoreError};

on_both_stores!(
    what_was_suppressed_since_it_was_planned_is_not_leased_while_it_is_written,
    a_repeat_plans_nothing_and_names_the_first_event,
    a_key_that_comes_again_with_other_bytes_is_rejected_and_kept,
    the_same_event_twice_in_one_batch_is_planned_once,
    of_two_batches_at_once_each_event_is_planned_by_one,
    a_rejection_uses_up_no_key,
    all_or_nothing_keeps_nothing_when_one_is_rejected,
    of_a_delivery_that_a_plan_holds_twice_one_is_kept_counted_and_sent,
    status_events_are_written_with_what_they_tell_of_and_forgotten_once_published,
);

async fn what_was_suppressed_since_it_was_planned_is_not_leased_while_it_is_written(stage: Stage) {
    let mut planned = stage.planned("1", 2);
    for new in &mut planned.deliveries {
        new.lease = Some(Lease { token: LeaseToken::new(stage.now()), lasts: LEASE });
    }
    let (stopped, free) = (planned.deliveries[0].delivery.clone(), planned.deliveries[1].clone());
    let address = stopped.address.clone().unwrap();
    let suppression = Suppression { address, reason: "by_hand".to_owned(), at: stage.now() };
    stage.store.suppress(suppression).await.unwrap();

    let accepted = stage.accept(planned).await;

    assert_eq!(accepted.leased(), [free.delivery.id]);
    let claim = stage.claim().await.remove(0);
    assert_eq!((claim.delivery.id, claim.attempt), (stopped.id, 1));
    assert!(claim.gate.is_suppressed);
    stage.assert_closed().await;
}

async fn a_repeat_plans_nothing_and_names_the_first_event(stage: Stage) {
    let first = stage.planned("1", 2);
    let id = first.event.id;
    stage.accept(first).await;

    let again = stage.accept(stage.planned("1", 2)).await;

    assert!(matches!(again, Accepted::Repeat { event } if event == id), "{again:?}");
    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!((ledger.events.received, ledger.events.repeats), (2, 1));
    assert_eq!(ledger.deliveries.planned, 2);
    let events = stage.store.events(Default::default(), None, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.repeats).collect::<Vec<_>>(), [1]);
    stage.assert_closed().await;
}

async fn a_key_that_comes_again_with_other_bytes_is_rejected_and_kept(stage: Stage) {
    stage.plan("1", 1).await;
    let mut other = stage.planned("1", 1);
    other.event.digest = Digest([8; 32]);

    let answer = stage.accept(other).await;

    let Accepted::Rejected { id: Some(id), rejection } = answer else { panic!("{answer:?}") };
    assert_eq!(rejection.reason, RejectReason::IdReused);
    assert!(stage.store.find_rejected(id).await.unwrap().is_some());
    stage.assert_closed().await;
}

async fn the_same_event_twice_in_one_batch_is_planned_once(stage: Stage) {
    let batch = ["2", "1", "2"].map(|id| Acceptance::Planned(Box::new(stage.planned(id, 1))));

    let answers = stage.store.accept(batch.to_vec()).await.unwrap();

    let [
        Accepted::Planned { event, .. },
        Accepted::Planned { .. },
        Accepted::Repeat { event: first },
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(event, first);
    let events = stage.store.events(Default::default(), None, 10).await.unwrap();
    let repeated = events.iter().find(|event| event.id == "2").unwrap();
    assert_eq!(repeated.repeats, 1);
    stage.assert_closed().await;
}

async fn of_two_batches_at_once_each_event_is_planned_by_one(stage: Stage) {
    let batch = |ids: Vec<String>| -> Vec<Acceptance> {
        ids.iter().map(|id| Acceptance::Planned(Box::new(stage.planned(id, 1)))).collect()
    };
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    let backwards: Vec<String> = ids.iter().rev().cloned().collect();

    let (one, other) =
        tokio::join!(stage.store.accept(batch(ids)), stage.store.accept(batch(backwards)));

    let answers: Vec<Accepted> = one.unwrap().into_iter().chain(other.unwrap()).collect();
    let is_planned = |answer: &&Accepted| matches!(answer, Accepted::Planned { .. });
    let is_repeat = |answer: &&Accepted| matches!(answer, Accepted::Repeat { .. });
    assert_eq!(answers.iter().filter(is_planned).count(), 40);
    assert_eq!(answers.iter().filter(is_repeat).count(), 40);
    stage.assert_closed().await;
}

async fn of_a_delivery_that_a_plan_holds_twice_one_is_kept_counted_and_sent(stage: Stage) {
    let mut twice = stage.planned("1", 2);
    let mut again = stage.delivery(&twice.event, 1);
    for new in twice.deliveries.iter_mut().chain([&mut again]) {
        new.lease = Some(Lease { token: LeaseToken::new(stage.now()), lasts: LEASE });
    }
    let expected: Vec<_> = twice.deliveries.iter().map(|new| new.delivery.id).collect();
    twice.deliveries.push(again);

    let answer = stage.accept(twice).await;

    let Accepted::Planned { planned, leased, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((planned, leased), (2, expected));
    let events = stage.store.events(Default::default(), None, 10).await.unwrap();
    assert_eq!(events[0].deliveries, 2);
    stage.assert_closed().await;
}

fn rejected(stage: &Stage) -> RejectedEvent {
    let rejection = Rejection {
        reason: RejectReason::Schema,
        place: Some("/data/order_id".to_owned()),
        message: "a text was expected".to_owned(),
        event_type: Some("order.delayed".to_owned()),
        key: Some(stage.event("1").key),
    };
    let arrival = arrival("{\"broken\":true}", stage.now());
    RejectedEvent { id: RejectedId::new(stage.now()), arrival, rejection }
}

async fn a_rejection_uses_up_no_key(stage: Stage) {
    let rejected = rejected(&stage);
    let batch = vec![Acceptance::Rejected(Box::new(rejected.clone()))];
    stage.store.accept(batch).await.unwrap();

    let replayed = stage.accept(stage.planned("1", 1)).await;

    assert!(matches!(replayed, Accepted::Planned { .. }), "{replayed:?}");
    let kept = stage.store.find_rejected(rejected.id).await.unwrap().unwrap();
    assert_eq!(kept.arrival.bytes, rejected.arrival.bytes);
    assert_eq!(kept.rejection, rejected.rejection);
    assert!(stage.store.discard_rejected(rejected.id, "lan").await.unwrap());
    assert!(!stage.store.discard_rejected(rejected.id, "lan").await.unwrap());
    let deeds = stage.store.deeds_of(rejected.id.0).await.unwrap();
    assert_eq!(deeds.len(), 1, "{deeds:?}");
    assert_eq!((deeds[0].deed, deeds[0].by.as_str()), (DeedKind::Discarded, "lan"));
    stage.assert_closed().await;
}

async fn all_or_nothing_keeps_nothing_when_one_is_rejected(stage: Stage) {
    let good = planned(stage.event("1"), Vec::new());
    let bad = Acceptance::Rejected(Box::new(rejected(&stage)));
    let batch = vec![Acceptance::Planned(Box::new(good)), bad];

    let answers = stage.store.accept_all_or_nothing(batch).await.unwrap();

    assert!(matches!(answers[1], Accepted::Rejected { id: None, .. }), "{answers:?}");
    assert!(stage.store.events(Default::default(), None, 10).await.unwrap().is_empty());
    let kept = stage.store.find_rejected_events(RejectedFilter::default(), None, 10).await;
    assert!(kept.unwrap().is_empty());
    let again = stage.accept(stage.planned("1", 1)).await;
    assert!(matches!(again, Accepted::Planned { .. }), "the key was not used up: {again:?}");
    stage.assert_closed().await;
}

async fn status_events_are_written_with_what_they_tell_of_and_forgotten_once_published(
    stage: Stage,
) {
    stage.plan("1", 1).await;
    let claims = stage.claim().await;
    stage.store.finish(vec![stage.sent(&claims[0])]).await.unwrap();

    let waiting = stage.store.backlog().await.unwrap().outbox;
    let told = stage.told().await;

    let keys: Vec<&str> = told.iter().map(|told| told.routing_key.as_str()).collect();
    assert_eq!(keys, ["status.event.planned.order.delayed", "status.email.sent.order.delayed"]);
    assert_eq!((waiting, stage.store.backlog().await.unwrap().outbox), (2, 0));
}

#[tokio::test]
async fn what_postgres_cannot_index_is_refused_as_such() {
    let stage = Stage::postgres("too_long").await;
    let mut long = stage.planned("1", 1);
    // Text that repeats itself would be compressed.
    long.deliveries[0].delivery.recipient_key =
        std::iter::repeat_with(fastrand::alphanumeric).take(5_000).collect();

    let refused = stage.store.accept(vec![Acceptance::Planned(Box::new(long))]).await.unwrap_err();

    assert!(matches!(&refused, StoreError::Refused(text) if text.contains("54000")), "{refused}");
    assert!(!refused.is_temporary());
    stage.assert_closed().await;
}
