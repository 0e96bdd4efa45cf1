//! A delivery is held by one at a time, and ended once.

use std::collections::HashSet;
use std::time::Duration;

use super::stage::{LEASE, LINK, Stage, relay};
use crate::model::catalogue::Lane;
use crate::model::delivery::{Reason, Settlement, State};
use crate::model::id::{DeliveryId, LeaseToken};
use crate::model::outcome::VerdictClass;
use crate::store::{DeliveryFilter, Finished, Repair, TakenOver};

on_both_stores!(
    of_many_claimers_at_once_no_two_get_the_same_delivery,
    urgent_deliveries_are_claimed_before_those_due_longer,
    a_provider_on_hold_has_nothing_to_claim_until_released,
    a_claim_whose_lease_is_over_cannot_be_ended_by_its_old_holder,
    a_late_acceptance_is_kept_and_wins,
    a_renewed_claim_is_not_taken_over,
    what_this_process_still_works_on_it_does_not_take_over,
    the_last_of_three_channels_hears_that_the_first_was_sent,
    two_answers_for_one_delivery_in_one_batch_count_once,
    every_outcome_moves_its_delivery_and_the_ledger_closes,
    a_finish_that_is_written_again_changes_nothing,
    what_a_suppressing_answer_says_stands_at_the_gate_of_the_next_claim,
    what_was_asked_for_while_sending_takes_effect_at_the_end,
    an_event_without_a_time_of_its_own_is_overtaken_at_the_gate_as_it_is_when_planned,
);

async fn of_many_claimers_at_once_no_two_get_the_same_delivery(stage: Stage) {
    stage.plan("1", 60).await;
    let relay = relay();

    let claims = (0..12).map(|_| stage.store.claim(&relay, 7, LEASE));
    let claimed = futures_util::future::try_join_all(claims).await.unwrap();

    let ids: Vec<DeliveryId> = claimed.iter().flatten().map(|claim| claim.delivery.id).collect();
    let distinct: HashSet<&DeliveryId> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len());
    let rest = stage.claim().await.len();
    assert_eq!(ids.len() + rest, 60);
    assert_eq!(stage.store.leased().await.unwrap(), 60);
}

async fn urgent_deliveries_are_claimed_before_those_due_longer(stage: Stage) {
    let mut planned = stage.planned("1", 3);
    for (new, lane) in planned.deliveries.iter_mut().zip([Lane::Bulk, Lane::Normal, Lane::Urgent]) {
        new.delivery.lane = lane;
    }
    planned.deliveries[0].delivery.due_at -= Duration::from_hours(1);
    stage.accept(planned).await;

    let claimed = stage.store.claim(&relay(), 2, LEASE).await.unwrap();

    let lanes: Vec<Lane> = claimed.iter().map(|claim| claim.delivery.lane).collect();
    assert_eq!(lanes, [Lane::Urgent, Lane::Normal]);
}

async fn a_provider_on_hold_has_nothing_to_claim_until_released(stage: Stage) {
    stage.plan("1", 1).await;
    let hold = |reason: &str, by: &str| {
        stage.store.hold_provider(relay(), reason.to_owned(), by.to_owned())
    };
    assert!(hold("broken", "lan").await.unwrap());
    assert!(!hold("new password on Monday", "hoa").await.unwrap());

    assert!(stage.claim().await.is_empty());

    let held = stage.store.provider_holds().await.unwrap().remove(0);
    assert_eq!((held.reason.as_str(), held.held_by.as_str()), ("new password on Monday", "hoa"));
    let shown = stage.store.deliveries(DeliveryFilter::default(), None, 10).await.unwrap();
    let note = "provider relay is on hold: new password on Monday";
    assert_eq!(shown[0].detail.as_deref(), Some(note));
    assert!(stage.store.release_provider(relay()).await.unwrap());
    assert_eq!(stage.claim().await.len(), 1);
}

async fn a_claim_whose_lease_is_over_cannot_be_ended_by_its_old_holder(stage: Stage) {
    let ids = stage.plan("1", 1).await;
    let mine = stage.claim().await.remove(0);
    assert!(stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap().is_empty());
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();
    assert_eq!((taken.len(), taken[0].attempt), (1, 1));

    let refused = stage.answered(&mine, VerdictClass::Refused, State::Failed, Reason::Refused);
    let answers = stage.store.finish(vec![refused]).await.unwrap();

    assert!(!answers[0].was_claimed);
    assert_eq!(stage.state(ids[0]).await, State::Waiting);
    let story = stage.store.find_delivery(ids[0]).await.unwrap().unwrap();
    assert_eq!(story.attempts.len(), 1, "the answer is kept");
    let held =
        stage.answered(&taken[0], VerdictClass::Unknown, State::Held, Reason::UnknownOutcome);
    assert!(stage.store.finish(vec![held]).await.unwrap()[0].was_claimed);
    stage.assert_closed().await;
}

async fn a_late_acceptance_is_kept_and_wins(stage: Stage) {
    let ids = stage.plan("1", 1).await;
    let mine = stage.claim().await.remove(0);
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();

    let answers = stage.store.finish(vec![stage.sent(&mine)]).await.unwrap();

    let (state, reason) = (State::Sent, Reason::Accepted);
    assert_eq!(answers, [Finished { state, reason, was_claimed: false }]);
    let failed = stage.answered(&taken[0], VerdictClass::Refused, State::Failed, Reason::Refused);
    stage.store.finish(vec![failed]).await.unwrap();
    assert_eq!(stage.state(ids[0]).await, State::Sent);
    stage.assert_closed().await;
}

async fn a_renewed_claim_is_not_taken_over(stage: Stage) {
    stage.plan("1", 2).await;
    let claims = stage.claim().await;
    let renewed = claims.iter().rev().map(|claim| (claim.delivery.id, claim.token)).collect();
    stage.clock.advance(LEASE / 2);

    stage.store.renew(renewed, LEASE).await.unwrap();
    stage.clock.advance(LEASE / 2 + Duration::from_secs(1));

    assert!(stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap().is_empty());
    stage.clock.advance(LEASE / 2);
    assert_eq!(stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap().len(), 2);
}

async fn what_this_process_still_works_on_it_does_not_take_over(stage: Stage) {
    stage.plan("1", 2).await;
    let claims = stage.claim().await;
    let ours = vec![(claims[0].delivery.id, claims[0].token)];
    stage.clock.advance(LEASE + Duration::from_secs(1));

    let taken = stage.store.claim_expired(10, LEASE, ours.clone()).await.unwrap();

    let taken: Vec<_> = taken.iter().map(|claim| claim.delivery.id).collect();
    assert_eq!(taken, [claims[1].delivery.id]);
    // A token that has changed hands is not ours any more.
    let stale = vec![(claims[0].delivery.id, LeaseToken::new(stage.now()))];
    assert_eq!(stage.store.claim_expired(10, LEASE, stale).await.unwrap().len(), 1);
}

async fn the_last_of_three_channels_hears_that_the_first_was_sent(stage: Stage) {
    let ids = stage.plan_chain("1").await;
    let first = stage.claim().await.remove(0);
    assert_eq!(first.delivery.id, ids[0]);
    stage.store.finish(vec![stage.sent(&first)]).await.unwrap();
    stage.clock.advance(LINK);
    let second = stage.claim().await.remove(0);
    assert_eq!(second.gate.before, Some(State::Sent));
    let not_needed =
        Settlement::uncounted(State::Cancelled, Reason::FallbackNotNeeded, second.delivery.due_at);
    let mut ended = stage.sent(&second);
    (ended.attempt, ended.settlement) = (None, not_needed);
    stage.store.finish(vec![ended]).await.unwrap();

    stage.clock.advance(LINK);
    let third = stage.claim().await.remove(0);

    assert_eq!((third.delivery.id, third.gate.before), (ids[2], Some(State::Sent)));
    let claim = (third.delivery.id, third.token);
    let taken_over = stage.store.take_over_from(ids[1], claim).await.unwrap();
    assert_eq!(taken_over, TakenOver::NotNeeded);
}

async fn two_answers_for_one_delivery_in_one_batch_count_once(stage: Stage) {
    let ids = stage.plan("1", 1).await;
    let mine = stage.claim().await.remove(0);
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap().remove(0);
    let unknown =
        stage.answered(&taken, VerdictClass::Unknown, State::Held, Reason::UnknownOutcome);

    let batch = vec![unknown, stage.sent(&mine), stage.sent(&mine)];
    stage.store.finish(batch).await.unwrap();

    assert_eq!(stage.state(ids[0]).await, State::Sent);
    stage.assert_closed().await;
}

async fn every_outcome_moves_its_delivery_and_the_ledger_closes(stage: Stage) {
    let outcomes = [
        (VerdictClass::Accepted, State::Sent, Reason::Accepted),
        (VerdictClass::Refused, State::Failed, Reason::Refused),
        (VerdictClass::BadAddress, State::Bounced, Reason::BadAddress),
        (VerdictClass::Later, State::Waiting, Reason::Retry),
        (VerdictClass::Unknown, State::Held, Reason::UnknownOutcome),
        (VerdictClass::Misconfigured, State::Waiting, Reason::ProviderHeld),
    ];
    stage.plan("1", outcomes.len()).await;
    let claims = stage.claim().await;
    let mut batch: Vec<_> = claims
        .iter()
        .zip(outcomes)
        .map(|(claim, (class, state, reason))| stage.answered(claim, class, state, reason))
        .collect();
    batch[5].settlement.holds_provider = true;
    batch[5].settlement.counts = false;

    stage.store.finish(batch).await.unwrap();

    for (claim, (_, state, reason)) in claims.iter().zip(outcomes) {
        let story = stage.store.find_delivery(claim.delivery.id).await.unwrap().unwrap();
        let counted = u32::from(reason != Reason::ProviderHeld);
        assert_eq!((story.delivery.state, story.delivery.reason), (state, reason));
        assert_eq!(story.delivery.attempts, counted, "{reason:?}");
        assert_eq!(story.attempts.len(), 1);
    }
    assert_eq!(stage.store.provider_holds().await.unwrap().len(), 1);
    assert_eq!(stage.store.leased().await.unwrap(), 0);
    stage.assert_closed().await;
}

async fn a_finish_that_is_written_again_changes_nothing(stage: Stage) {
    let ids = stage.plan("1", 1).await;
    let claim = stage.claim().await.remove(0);
    stage.store.finish(vec![stage.sent(&claim)]).await.unwrap();

    let again = stage.store.finish(vec![stage.sent(&claim)]).await.unwrap();

    assert_eq!((again[0].state, again[0].was_claimed), (State::Sent, false));
    let story = stage.store.find_delivery(ids[0]).await.unwrap().unwrap();
    assert_eq!((story.attempts.len(), story.delivery.version), (1, 2));
    stage.assert_closed().await;
}

async fn what_a_suppressing_answer_says_stands_at_the_gate_of_the_next_claim(stage: Stage) {
    stage.plan("1", 1).await;
    let claim = stage.claim().await.remove(0);
    assert!(!claim.gate.is_suppressed);
    let class = VerdictClass::BadAddress;
    let mut bad = stage.answered(&claim, class, State::Bounced, Reason::BadAddress);
    bad.settlement.suppresses = true;
    stage.store.finish(vec![bad]).await.unwrap();

    stage.plan("2", 1).await;
    let next = stage.claim().await.remove(0);

    assert!(next.gate.is_suppressed);
}

async fn what_was_asked_for_while_sending_takes_effect_at_the_end(stage: Stage) {
    let ids = stage.plan("1", 3).await;
    let claims = stage.claim().await;
    stage.store.repair(vec![ids[0], ids[2]], Repair::Cancel, "lan").await.unwrap();
    stage.store.repair(vec![ids[1]], Repair::Hold, "lan").await.unwrap();

    let later = |index: usize| {
        stage.answered(&claims[index], VerdictClass::Later, State::Waiting, Reason::Retry)
    };
    stage.store.finish(vec![later(0), later(1), stage.sent(&claims[2])]).await.unwrap();

    assert_eq!(stage.state(ids[0]).await, State::Cancelled);
    assert_eq!(stage.state(ids[1]).await, State::Held);
    assert_eq!(stage.state(ids[2]).await, State::Sent, "it was accepted before it was cancelled");
    stage.assert_closed().await;
}

async fn an_event_without_a_time_of_its_own_is_overtaken_at_the_gate_as_it_is_when_planned(
    stage: Stage,
) {
    for (id, dated) in [("undated", false), ("dated", true)] {
        let mut planned = stage.planned(id, 1);
        planned.event.received_at += Duration::from_secs(u64::from(dated));
        planned.deliveries[0].unless = vec!["order.delay_resolved".into()];
        stage.accept(planned).await;
        // Its event says that it came about a moment before, and nobody has cancelled anything yet.
        let (key, at) = (format!("DH-{id}"), stage.now() - Duration::from_secs(3));
        let write = stage.store.write(move |tx| {
            let sql = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                       VALUES ($1, 'order.delay_resolved', $2, $2)";
            let params = [key.as_str().into(), at.into()];
            Box::pin(async move { tx.execute(sql, &params).await })
        });
        write.await.unwrap();

        let claim = stage.claim().await.remove(0);

        assert_eq!(claim.gate.is_overtaken, !dated, "{id}");
    }
}
