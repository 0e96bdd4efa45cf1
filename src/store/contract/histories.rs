//! Random short histories: whatever happens in whatever order, the ledger closes.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::stage::{LEASE, Stage};
use crate::model::delivery::{Reason, State};
use crate::model::outcome::VerdictClass;
use crate::store::{Ages, Claimed, DeliveryFilter, Repair};

/// One thing that may happen to a store.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// An event comes, perhaps one that came before.
    Accept(u8),
    /// A worker claims what is due.
    Claim,
    /// The oldest claim gets an answer, numbered in [`ANSWERS`].
    Answer(usize),
    /// An operator repairs everything there is.
    Repair(u8),
    /// Time passes, and leases end.
    Wait(u8),
    /// What was lost is taken over.
    TakeOver,
    /// Housekeeping.
    Sweep,
}

const ANSWERS: [(VerdictClass, State, Reason); 5] = [
    (VerdictClass::Accepted, State::Sent, Reason::Accepted),
    (VerdictClass::Refused, State::Failed, Reason::Refused),
    (VerdictClass::BadAddress, State::Bounced, Reason::BadAddress),
    (VerdictClass::Later, State::Waiting, Reason::Retry),
    (VerdictClass::Unknown, State::Held, Reason::UnknownOutcome),
];

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => (0..6_u8).prop_map(Deed::Accept),
        3 => Just(Deed::Claim),
        4 => (0..ANSWERS.len()).prop_map(Deed::Answer),
        2 => (0..4_u8).prop_map(Deed::Repair),
        1 => (0..60_u8).prop_map(Deed::Wait),
        1 => Just(Deed::TakeOver),
        1 => Just(Deed::Sweep),
    ];
    prop::collection::vec(deed, 1..24)
}

async fn play(stage: &Stage, deeds: &[Deed]) {
    let mut claims: Vec<Arc<Claimed>> = Vec::new();
    for deed in deeds {
        match *deed {
            Deed::Accept(id) => drop(stage.accept(stage.planned(&id.to_string(), 2)).await),
            Deed::Claim => claims.extend(stage.claim().await),
            Deed::Answer(answer) => {
                if let Some(claim) = claims.pop() {
                    let (class, state, reason) = ANSWERS[answer];
                    let end = stage.answered(&claim, class, state, reason);
                    stage.store.finish(vec![end]).await.unwrap();
                }
            }
            Deed::Repair(repair) => repair_all(stage, repair).await,
            Deed::Wait(hours) => stage.clock.advance(Duration::from_hours(u64::from(hours))),
            Deed::TakeOver => {
                let lost = stage.store.claim_expired(10, LEASE, Vec::new()).await;
                claims.extend(lost.unwrap());
            }
            Deed::Sweep => sweep(stage).await,
        }
    }
}

async fn repair_all(stage: &Stage, repair: u8) {
    let new_expiry = Some(stage.now() + Duration::from_hours(48));
    let repairs = [Repair::Retry { new_expiry }, Repair::Cancel, Repair::Hold, Repair::Release];
    let found = stage.store.deliveries(DeliveryFilter::default(), None, 100).await.unwrap();
    let ids = found.iter().map(|delivery| delivery.id).collect();
    stage.store.repair(ids, repairs[usize::from(repair)], "lan").await.unwrap();
}

async fn sweep(stage: &Stage) {
    let age = Duration::from_hours(72);
    stage.store.expire(100).await.unwrap();
    stage.store.purge(Ages { deliveries: age, rejected: age, captured: age }, 100).await.unwrap();
    stage.store.fold_counters().await.unwrap();
}

/// Plays histories one after the other on the same store, as time goes on.
fn every_history_closes(stage: impl Future<Output = Stage>, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stage = runtime.block_on(stage);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&deeds(), |deeds| {
        runtime.block_on(async {
            play(&stage, &deeds).await;
            stage.assert_closed().await;
        });
        Ok(())
    });
    run.unwrap();
}

#[test]
fn the_ledger_closes_after_every_history_on_sqlite() {
    every_history_closes(Stage::sqlite(), 40);
}

#[test]
fn the_ledger_closes_after_every_history_on_postgres() {
    every_history_closes(Stage::postgres("histories"), 20);
}
