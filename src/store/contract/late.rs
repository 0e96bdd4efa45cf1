//! What an answer that comes too late for its delivery still says of address and provider.

use std::sync::Arc;
use std::time::Duration;

use super::stage::{LEASE, Stage, relay};
use crate::model::delivery::{Reason, State};
use crate::model::outcome::VerdictClass;
use crate::store::{Claimed, Finish};

on_both_stores!(
    a_late_answer_that_the_address_is_bad_suppresses_it,
    a_late_answer_that_the_provider_is_misconfigured_holds_it,
);

/// A claim that somebody else took over, with what its holder says of it at last.
async fn late(stage: &Stage, class: VerdictClass, change: impl Fn(&mut Finish)) -> Arc<Claimed> {
    stage.plan("1", 1).await;
    let mine = stage.claim().await.remove(0);
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap().remove(0);
    let mut finish = stage.answered(&mine, class, State::Bounced, Reason::BadAddress);
    change(&mut finish);
    let finished = stage.store.finish(vec![finish]).await.unwrap();
    assert_eq!((finished[0].state, finished[0].was_claimed), (State::Waiting, false));
    taken
}

async fn a_late_answer_that_the_address_is_bad_suppresses_it(stage: Stage) {
    late(&stage, VerdictClass::BadAddress, |finish| finish.settlement.suppresses = true).await;

    stage.plan("2", 1).await;

    assert!(stage.claim().await.remove(0).gate.is_suppressed);
    stage.assert_closed().await;
}

async fn a_late_answer_that_the_provider_is_misconfigured_holds_it(stage: Stage) {
    late(&stage, VerdictClass::Misconfigured, |finish| finish.settlement.holds_provider = true)
        .await;

    let holds = stage.store.provider_holds().await.unwrap();

    assert_eq!(holds.iter().map(|hold| &hold.provider).collect::<Vec<_>>(), [&relay()]);
    stage.assert_closed().await;
}
