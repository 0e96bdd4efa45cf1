//! The ledger closes after any history.

use super::on_both_stores;
use super::stage::{LEASE, RELAY, accept, assert_closed, claim, finish};
use crate::model::delivery::{Reason, State};
use crate::store::{Repair, Store};

on_both_stores!(
    the_ledger_closes_after_each_step_of_random_histories,
    status_events_stay_until_they_are_published,
);

/// Steps of one history; a failure names the seed that repeats it.
const STEPS: usize = 60;

async fn the_ledger_closes_after_each_step_of_random_histories(store: Store) {
    for seed in [7, 42] {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut known, mut held) = (Vec::new(), Vec::new());
        for step in 0..STEPS {
            match random.u8(..6) {
                0 | 1 => {
                    let names: Vec<String> = (0..3).map(|number| format!("p{number}")).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    known.extend(accept(&store, &format!("{seed}-{step}"), &names).await);
                }
                2 => held.extend(claim(&store, 3).await),
                3 => {
                    let lease = std::time::Duration::ZERO;
                    held.extend(store.claim(&RELAY.into(), 1, lease).await.unwrap());
                    held.extend(store.claim_expired(2, LEASE).await.unwrap());
                }
                4 => {
                    let ends = [
                        (State::Sent, Reason::Accepted),
                        (State::Failed, Reason::Refused),
                        (State::Waiting, Reason::Retry),
                        (State::Held, Reason::UnknownOutcome),
                        (State::Bounced, Reason::BadAddress),
                    ];
                    let records = held.drain(..).map(|claimed| {
                        let (state, reason) = ends[random.usize(..ends.len())];
                        finish(&claimed, state, reason)
                    });
                    let records = records.collect();
                    store.finish(records).await.unwrap();
                }
                _ if known.is_empty() => {}
                _ => {
                    let repairs = [
                        Repair::Cancel,
                        Repair::Hold,
                        Repair::Release,
                        Repair::Retry { new_expiry: None },
                    ];
                    let id = known[random.usize(..known.len())];
                    store.repair(vec![id], repairs[random.usize(..4)]).await.unwrap();
                }
            }
            let ledger = store.ledger().await.unwrap();
            assert!(ledger.closes, "seed {seed}, step {step}: {ledger:?}");
        }
        assert_closed(&store).await;
    }
}

async fn status_events_stay_until_they_are_published(store: Store) {
    accept(&store, "1", &["an"]).await;
    let claimed = claim(&store, 1).await;
    store.finish(vec![finish(&claimed[0], State::Sent, Reason::Accepted)]).await.unwrap();

    let first = store.take_outbox(100).await.unwrap();
    let again = store.take_outbox(100).await.unwrap();
    let ids = first.iter().map(|event| event.id).collect();
    store.mark_published(ids).await.unwrap();

    assert_eq!(first.len(), again.len(), "taking is not forgetting");
    assert!(first.iter().any(|event| event.routing_key.contains(".sent.")));
    assert!(store.take_outbox(100).await.unwrap().is_empty());
}
