//! Everything that is ever done to deliveries, by two processes on one PostgreSQL at the same time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::stage::{LEASE, LINK, Stage, given_back, planned, relay};
use crate::model::delivery::{Reason, State};
use crate::model::id::DeliveryId;
use crate::model::outcome::VerdictClass;
use crate::store::{Acceptance, Ages, Claimed, Finish, Repair, Store, StoreError};

/// How often each of them does what it does.
const ROUNDS: usize = 60;
/// How often answers are handed in that step back from others.
const MOST_TRIES: usize = 20;
/// How many events there are at the beginning, each with a chain of three channels.
const EVENTS: usize = 60;
/// How many business keys these events are about.
const KEYS: usize = 12;

/// What all who work at once share.
struct Works {
    stage: Stage,
    stores: [Store; 2],
    /// Every delivery that was ever planned.
    ids: Mutex<Vec<DeliveryId>>,
    /// Answers that were kept back until their claims were lost.
    late: Mutex<Vec<Finish>>,
}

type Work = fn(&Works, Store) -> BoxFuture<'_, ()>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_two_processes_do_at_once_on_postgres_each_delivery_is_in_one_state() {
    // The same seed chooses the same deeds; who is quicker, the machine chooses.
    fastrand::seed(seed());
    let stage = Stage::postgres("at_once").await;
    let other = Stage::again("at_once", stage.clock.clone());
    let works = Works {
        stores: [stage.store.clone(), other],
        ids: Mutex::default(),
        late: Mutex::default(),
        stage,
    };
    for number in 0..EVENTS {
        plan(&works, &works.stores[0], &format!("first-{number}")).await;
    }

    let all: [Work; 9] =
        [deliver, deliver, repair, repair, overtake, sweep, forget, tell, plan_more];
    let works = &works;
    let working = works.stores.iter().flat_map(|store| {
        all.iter().map(move |work| async move {
            for _ in 0..ROUNDS {
                work(works, store.clone()).await;
            }
        })
    });
    join_all(working).await;

    works.stage.assert_closed().await;
    end(works).await;
}

/// `TEST_SEED`, or another one each time; a test that fails shows it.
#[expect(clippy::disallowed_methods, reason = "whoever looks into a failure chooses its seed")]
#[expect(clippy::print_stderr, reason = "a test that fails says how it can be repeated")]
fn seed() -> u64 {
    let chosen = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = chosen.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("the seed is {seed}: TEST_SEED={seed} chooses the same deeds");
    seed
}

/// One event with a chain of three channels, about one of a few orders.
async fn plan(works: &Works, store: &Store, id: &str) {
    let stage = &works.stage;
    let mut event = stage.event(id);
    event.business_key = Some(format!("DH-{}", fastrand::usize(..KEYS)));
    let mut chain: Vec<_> = (0..3).map(|number| stage.delivery(&event, number)).collect();
    for at in 1..3 {
        let before = &chain[at - 1].delivery;
        let (before, due_at) = (before.id, before.due_at + LINK);
        let delivery = &mut chain[at].delivery;
        (delivery.after, delivery.due_at, delivery.reason) =
            (Some(before), due_at, Reason::Fallback);
    }
    for new in &mut chain {
        new.delivery.business_key.clone_from(&event.business_key);
        new.delivery.expires_at = stage.now() + 5 * LINK;
        new.unless = vec!["order.delay_resolved".into()];
    }
    works.ids.lock().unwrap().extend(chain.iter().map(|new| new.delivery.id));
    let whole = Acceptance::Planned(Box::new(planned(event, chain)));
    store.accept(vec![whole]).await.unwrap();
}

fn plan_more(works: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        plan(works, &store, &format!("more-{}", fastrand::u64(..))).await;
        works.stage.clock.advance(Duration::from_secs(2));
    })
}

/// Claims, takes over, and finishes; some claims it forgets, and some answers come much later.
fn deliver(works: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let claims = store.claim(&relay(), fastrand::usize(1..20), LEASE).await.unwrap();
        let held = claims.iter().map(|claim| (claim.delivery.id, claim.token)).collect();
        store.renew(held, LEASE).await.unwrap();
        for claim in &claims {
            if let Some(before) = claim.delivery.after {
                let fallback = (claim.delivery.id, claim.token);
                store.take_over_from(before, fallback).await.unwrap();
            }
        }
        let mut ends = Vec::new();
        for claim in &claims {
            match fastrand::u8(..10) {
                0 => {}
                1 | 2 => works.late.lock().unwrap().push(answer(&works.stage, claim)),
                _ => ends.push(answer(&works.stage, claim)),
            }
        }
        {
            let mut late = works.late.lock().unwrap();
            let count = late.len().saturating_sub(10);
            ends.extend(late.drain(..count));
        }
        fastrand::shuffle(&mut ends);
        finish(&store, ends).await;
    })
}

/// Late answers step back from whoever moves their deliveries: the recorder hands them in again, as
/// it does with all that may pass.
async fn finish(store: &Store, ends: Vec<Finish>) {
    for _ in 0..MOST_TRIES {
        match store.finish(ends.clone()).await {
            Ok(_) => return,
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error:?}"),
        }
    }
    panic!("answers are never taken");
}

fn answer(stage: &Stage, claim: &Arc<Claimed>) -> Finish {
    match fastrand::u8(..9) {
        0 => given_back(claim),
        1 => stage.answered(claim, VerdictClass::Later, State::Waiting, Reason::Retry),
        2 => stage.answered(claim, VerdictClass::Refused, State::Failed, Reason::Refused),
        3 => stage.answered(claim, VerdictClass::Unknown, State::Held, Reason::UnknownOutcome),
        4 => {
            let (class, reason) = (VerdictClass::BadAddress, Reason::BadAddress);
            let mut bounced = stage.answered(claim, class, State::Bounced, reason);
            bounced.settlement.suppresses = true;
            bounced
        }
        5 => {
            let mut held =
                stage.answered(claim, VerdictClass::Later, State::Held, Reason::RenderFault);
            held.attempt = None;
            held
        }
        _ => stage.sent(claim),
    }
}

fn repair(works: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let new_expiry = Some(works.stage.now() + 5 * LINK);
        let repairs = [Repair::Hold, Repair::Release, Repair::Cancel, Repair::Retry { new_expiry }];
        let all = works.ids.lock().unwrap().clone();
        let ids = (0..20).map(|_| all[fastrand::usize(..all.len())]).collect();
        store.repair(ids, repairs[fastrand::usize(..repairs.len())], "lan").await.unwrap();
        store.release_render_held(20).await.unwrap();
    })
}

fn overtake(works: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let mut event = works.stage.event(&format!("over-{}", fastrand::u64(..)));
        event.event_type = "order.delay_resolved".into();
        event.business_key = Some(format!("DH-{}", fastrand::usize(..KEYS)));
        let mut over = planned(event, Vec::new());
        over.cancels = vec![("order.delayed".into(), "notice".into())];
        store.accept(vec![Acceptance::Planned(Box::new(over))]).await.unwrap();
    })
}

fn sweep(works: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        works.stage.clock.advance(LEASE / 4);
        let lost = store.claim_expired(20, LEASE, Vec::new()).await.unwrap();
        let unknown = |claim| {
            let (class, reason) = (VerdictClass::Unknown, Reason::UnknownOutcomeRetry);
            works.stage.answered(claim, class, State::Waiting, reason)
        };
        finish(&store, lost.iter().map(unknown).collect()).await;
        store.expire(20).await.unwrap();
        store.fold_counters().await.unwrap();
    })
}

fn forget(_: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let short = LINK / 2;
        let ages = Ages { deliveries: short, rejected: short, captured: short };
        store.purge(ages, 20).await.unwrap();
    })
}

fn tell(_: &Works, store: Store) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        store.beat().await.unwrap();
        store.adopt_outbox().await.unwrap();
        let mut taken = store.take_outbox(None, 1_000).await.unwrap().bundles;
        for bundle in &mut taken {
            bundle.events.clear();
        }
        store.settle_outbox(taken).await.unwrap();
    })
}

/// What is left comes to its end: nothing stands where nobody finds it.
async fn end(works: &Works) {
    let (stage, store) = (&works.stage, &works.stores[0]);
    let states = || async { store.ledger().await.unwrap().deliveries.states };
    let held: Vec<DeliveryId> = works.ids.lock().unwrap().clone();
    store.repair(held, Repair::Release, "lan").await.unwrap();
    for _ in 0..200 {
        stage.clock.advance(LEASE + Duration::from_secs(1));
        let mut claims = store.claim_expired(500, LEASE, Vec::new()).await.unwrap();
        claims.extend(store.claim(&relay(), 500, LEASE).await.unwrap());
        store.finish(claims.iter().map(|claim| stage.sent(claim)).collect()).await.unwrap();
        store.expire(500).await.unwrap();
        if states().await.get("waiting").is_none_or(|count| *count == 0) {
            break;
        }
    }

    let states = states().await;
    assert_eq!((states["waiting"], states["held"]), (0, 0), "{states:?}");
    assert_eq!(store.leased().await.unwrap(), 0);
    stage.assert_closed().await;
}
