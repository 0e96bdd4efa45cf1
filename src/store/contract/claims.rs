//! Claims: one holder at a time, and only the holder records.

use std::collections::HashSet;
use std::time::Duration;

use super::on_both_stores;
use super::stage::{LEASE, RELAY, accept, assert_closed, claim, delivery, event, finish, planned};
use crate::model::catalogue::Lane;
use crate::model::delivery::{Reason, State};
use crate::store::{Repair, Repaired, Store};

on_both_stores!(
    two_claims_at_once_share_the_work,
    a_claim_takes_urgent_lanes_first,
    a_lease_that_is_over_is_lost_to_its_holder,
    a_lease_that_is_renewed_is_not_over,
    an_acceptance_that_comes_too_late_still_wins,
    what_is_recorded_twice_is_recorded_once,
    a_provider_on_hold_has_nothing_to_claim,
    a_cancel_of_what_is_being_sent_waits_for_the_answer,
);

async fn two_claims_at_once_share_the_work(store: Store) {
    let names: Vec<String> = (0..200).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    accept(&store, "1", &names).await;

    let claims = futures_util::future::join_all((0..10).map(|_| claim(&store, 50))).await;

    let claimed: Vec<_> = claims.iter().flatten().map(|claimed| claimed.delivery.id).collect();
    let distinct: HashSet<_> = claimed.iter().collect();
    assert_eq!(claimed.len(), distinct.len(), "nothing is held twice");
    assert_eq!(claimed.len() + claim(&store, 500).await.len(), 200, "nothing is left out");
}

async fn a_claim_takes_urgent_lanes_first(store: Store) {
    let event = event("1", "late");
    let rows = [("bulk", Lane::Bulk), ("urgent", Lane::Urgent), ("normal", Lane::Normal)];
    let rows = rows.map(|(name, lane)| {
        let mut delivery = delivery(&event, name);
        delivery.lane = lane;
        delivery
    });
    store.accept(vec![planned(event, rows.to_vec())]).await.unwrap();

    let mut order = Vec::new();
    for _ in 0..3 {
        order.extend(claim(&store, 1).await.into_iter().map(|one| one.delivery.recipient_key));
    }

    assert_eq!(order, ["urgent", "normal", "bulk"]);
}

async fn a_lease_that_is_over_is_lost_to_its_holder(store: Store) {
    accept(&store, "1", &["an"]).await;
    let lost = store.claim(&RELAY.into(), 1, Duration::ZERO).await.unwrap();
    let taken = store.claim_expired(10, LEASE).await.unwrap();
    assert_eq!(taken.len(), 1);

    let late = finish(&lost[0], State::Failed, Reason::Refused);
    let late = store.finish(vec![late]).await.unwrap();

    assert!(!late[0].was_claimed);
    assert_eq!(late[0].state, State::Waiting, "a refusal that comes too late moves nothing");
    let record = finish(&taken[0], State::Held, Reason::UnknownOutcome);
    assert!(store.finish(vec![record]).await.unwrap()[0].was_claimed);
    assert_closed(&store).await;
}

async fn a_lease_that_is_renewed_is_not_over(store: Store) {
    let ids = accept(&store, "1", &["an"]).await;
    let held = store.claim(&RELAY.into(), 1, Duration::ZERO).await.unwrap();

    store.renew(vec![(ids[0], held[0].token)], LEASE).await.unwrap();

    assert!(store.claim_expired(10, LEASE).await.unwrap().is_empty());
}

async fn an_acceptance_that_comes_too_late_still_wins(store: Store) {
    let ids = accept(&store, "1", &["an"]).await;
    let lost = store.claim(&RELAY.into(), 1, Duration::ZERO).await.unwrap();
    let taken = store.claim_expired(10, LEASE).await.unwrap();
    let record = finish(&taken[0], State::Held, Reason::UnknownOutcome);
    store.finish(vec![record]).await.unwrap();

    let late = store.finish(vec![finish(&lost[0], State::Sent, Reason::Accepted)]).await.unwrap();

    assert_eq!(late[0].state, State::Sent, "the person has the message");
    let story = store.find_delivery(ids[0]).await.unwrap().unwrap();
    assert_eq!(story.delivery.state, State::Sent);
    assert_closed(&store).await;
}

async fn what_is_recorded_twice_is_recorded_once(store: Store) {
    let ids = accept(&store, "1", &["an"]).await;
    let claimed = claim(&store, 1).await;
    let record = finish(&claimed[0], State::Sent, Reason::Accepted);

    store.finish(vec![record.clone()]).await.unwrap();
    store.finish(vec![record]).await.unwrap();

    let story = store.find_delivery(ids[0]).await.unwrap().unwrap();
    assert_eq!(story.attempts.len(), 1);
    assert_eq!(store.ledger().await.unwrap().deliveries.states["sent"], 1);
    assert_closed(&store).await;
}

async fn a_provider_on_hold_has_nothing_to_claim(store: Store) {
    accept(&store, "1", &["an"]).await;
    store.hold_provider(RELAY.into(), "maintenance".to_owned(), "an".to_owned()).await.unwrap();
    assert!(claim(&store, 1).await.is_empty());

    store.release_provider(RELAY.into()).await.unwrap();

    assert_eq!(claim(&store, 1).await.len(), 1);
}

async fn a_cancel_of_what_is_being_sent_waits_for_the_answer(store: Store) {
    let ids = accept(&store, "1", &["an", "binh"]).await;
    let claimed = claim(&store, 2).await;

    let noted = store.repair(ids, Repair::Cancel).await.unwrap();
    let records = [(State::Sent, Reason::Accepted), (State::Waiting, Reason::Retry)];
    let records = claimed.iter().zip(records);
    let records = records.map(|(claimed, (state, reason))| finish(claimed, state, reason));
    let finished = store.finish(records.collect()).await.unwrap();

    assert_eq!(noted, [Repaired::Noted, Repaired::Noted]);
    assert_eq!(finished[0].state, State::Sent, "the person has the message");
    assert_eq!(finished[1].state, State::Cancelled);
    assert_closed(&store).await;
}
