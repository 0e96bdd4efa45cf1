//! What operators and events do to deliveries that wait, and what they cannot do.

use std::time::Duration;

use super::stage::{LEASE, Stage, given_back, planned};
use crate::model::deed::Deed;
use crate::model::delivery::{Reason, State};
use crate::model::id::DeliveryId;
use crate::model::outcome::VerdictClass;
use crate::store::{DeliveryFilter, Repair, Repaired, TakenOver};

on_both_stores!(
    each_repair_fits_its_states_and_no_other,
    what_is_released_or_retried_too_late_is_not_sent,
    what_a_template_held_is_released_and_what_an_operator_held_is_not,
    a_fallback_is_due_at_once_when_the_channel_before_it_fails,
    a_fallback_that_goes_out_takes_over_from_all_channels_before_it,
    a_channel_that_is_being_sent_while_its_fallback_goes_out_is_not_tried_again,
    a_fallback_whose_claim_was_lost_takes_over_from_nobody,
    a_fallback_that_was_held_stands_behind_its_channel_again,
    an_event_cancels_what_it_overtakes_whichever_comes_first,
    an_event_that_overtakes_very_many_cancels_some_at_once_and_the_gate_the_others,
    a_filter_counts_what_its_repair_then_moves,
);

const RETRY: Repair = Repair::Retry { new_expiry: None };

async fn repair(stage: &Stage, id: DeliveryId, repair: Repair) -> Repaired {
    stage.clock.advance(Duration::from_millis(1));
    stage.store.repair(vec![id], repair, "lan").await.unwrap()[0]
}

/// What was done to a delivery, and by whom; time passes between two deeds.
async fn deeds(stage: &Stage, id: DeliveryId) -> Vec<String> {
    let story = stage.store.find_delivery(id).await.unwrap().unwrap();
    let said = |deed: &Deed| format!("{} by {}", deed.deed.as_str(), deed.by);
    story.deeds.iter().map(said).collect()
}

/// Claims all that is due and ends it as refused.
async fn refuse_all(stage: &Stage) {
    let claims = stage.claim().await;
    let refuse =
        |claim| stage.answered(claim, VerdictClass::Refused, State::Failed, Reason::Refused);
    stage.store.finish(claims.iter().map(refuse).collect()).await.unwrap();
}

async fn each_repair_fits_its_states_and_no_other(stage: Stage) {
    let id = stage.plan("1", 1).await[0];

    assert_eq!(repair(&stage, id, RETRY).await, Repaired::Unfit(State::Waiting));
    assert_eq!(repair(&stage, id, Repair::Hold).await, Repaired::Moved(State::Held));
    assert!(stage.claim().await.is_empty());
    assert_eq!(repair(&stage, id, Repair::Hold).await, Repaired::Unfit(State::Held));
    assert_eq!(repair(&stage, id, Repair::Release).await, Repaired::Moved(State::Waiting));
    refuse_all(&stage).await;
    assert_eq!(repair(&stage, id, Repair::Cancel).await, Repaired::Unfit(State::Failed));
    assert_eq!(repair(&stage, id, RETRY).await, Repaired::Moved(State::Waiting));
    assert_eq!(repair(&stage, id, Repair::Cancel).await, Repaired::Moved(State::Cancelled));
    let nobody = DeliveryId::new(stage.now());
    assert_eq!(repair(&stage, nobody, Repair::Cancel).await, Repaired::Missing);
    let deeds = deeds(&stage, id).await;
    let expected = ["held by lan", "released by lan", "retried by lan", "cancelled by lan"];
    assert_eq!(deeds, expected);
    stage.assert_closed().await;
}

async fn what_is_released_or_retried_too_late_is_not_sent(stage: Stage) {
    let ids = stage.plan("1", 2).await;
    repair(&stage, ids[0], Repair::Hold).await;
    stage.clock.advance(Duration::from_hours(49));

    assert_eq!(repair(&stage, ids[0], Repair::Release).await, Repaired::Moved(State::Expired));
    assert_eq!(stage.store.expire(10).await.unwrap(), 1);
    assert_eq!(repair(&stage, ids[1], RETRY).await, Repaired::Unfit(State::Expired));
    let new_expiry = Some(stage.now() + Duration::from_hours(1));
    let again = repair(&stage, ids[1], Repair::Retry { new_expiry }).await;

    assert_eq!(again, Repaired::Moved(State::Waiting));
    assert_eq!(stage.claim().await.len(), 1);
    stage.assert_closed().await;
}

async fn what_a_template_held_is_released_and_what_an_operator_held_is_not(stage: Stage) {
    let ids = stage.plan("1", 2).await;
    repair(&stage, ids[0], Repair::Hold).await;
    let claim = stage.claim().await.remove(0);
    let mut held = stage.answered(&claim, VerdictClass::Later, State::Held, Reason::RenderFault);
    (held.attempt, held.settlement.counts) = (None, false);
    stage.store.finish(vec![held]).await.unwrap();

    stage.clock.advance(Duration::from_millis(1));
    assert_eq!(stage.store.release_render_held(10).await.unwrap(), 1);
    assert_eq!(deeds(&stage, ids[0]).await, ["held by lan"]);
    assert_eq!(deeds(&stage, ids[1]).await, ["held by loa", "released by loa"]);

    assert_eq!(stage.state(ids[0]).await, State::Held);
    let again = stage.claim().await.remove(0);
    assert_eq!((again.delivery.id, again.attempt), (ids[1], 1));
    stage.assert_closed().await;
}

async fn a_fallback_is_due_at_once_when_the_channel_before_it_fails(stage: Stage) {
    let event = stage.event("1");
    let first = stage.delivery(&event, 0);
    let mut second = stage.delivery(&event, 1);
    second.delivery.after = Some(first.delivery.id);
    second.delivery.due_at += Duration::from_hours(1);
    let id = second.delivery.id;
    stage.accept(planned(event, vec![first, second])).await;

    refuse_all(&stage).await;

    let claims = stage.claim().await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].delivery.id, claims[0].gate.before), (id, Some(State::Failed)));
    stage.assert_closed().await;
}

async fn a_fallback_that_goes_out_takes_over_from_all_channels_before_it(stage: Stage) {
    let ids = stage.plan_chain("1").await;
    repair(&stage, ids[1], Repair::Cancel).await;

    let fallback = stage.claim_fallback(ids[2]).await;

    let taken_over = stage.store.take_over_from(ids[1], fallback).await.unwrap();

    assert_eq!(taken_over, TakenOver::Done);
    let story = stage.store.find_delivery(ids[0]).await.unwrap().unwrap();
    let found = (story.delivery.state, story.delivery.reason);
    assert_eq!(found, (State::Cancelled, Reason::FallbackTookOver));
    stage.assert_closed().await;
}

async fn a_channel_that_is_being_sent_while_its_fallback_goes_out_is_not_tried_again(stage: Stage) {
    let ids = stage.plan_chain("1").await;
    let being_sent = stage.claim().await.remove(0);

    let fallback = stage.claim_fallback(ids[1]).await;
    let taken_over = stage.store.take_over_from(ids[0], fallback).await.unwrap();

    assert_eq!(taken_over, TakenOver::Done);
    let later = stage.answered(&being_sent, VerdictClass::Later, State::Waiting, Reason::Retry);
    stage.store.finish(vec![later]).await.unwrap();

    let story = stage.store.find_delivery(ids[0]).await.unwrap().unwrap();
    let found = (story.delivery.state, story.delivery.reason);
    assert_eq!(found, (State::Cancelled, Reason::FallbackTookOver));
    stage.assert_closed().await;
}

async fn a_fallback_whose_claim_was_lost_takes_over_from_nobody(stage: Stage) {
    let ids = stage.plan_chain("1").await;
    let lost = stage.claim_fallback(ids[1]).await;
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();

    let taken_over = stage.store.take_over_from(ids[0], lost).await.unwrap();

    assert_eq!((taken.len(), taken_over), (1, TakenOver::Lost));
    assert_eq!(stage.state(ids[0]).await, State::Waiting);
    stage.store.finish(taken.iter().map(given_back).collect()).await.unwrap();
    let taken_over = stage.store.take_over_from(ids[0], lost).await.unwrap();
    assert_eq!((taken_over, stage.state(ids[0]).await), (TakenOver::Lost, State::Waiting));
    stage.assert_closed().await;
}

async fn a_fallback_that_was_held_stands_behind_its_channel_again(stage: Stage) {
    let event = stage.event("1");
    let first = stage.delivery(&event, 0);
    let mut second = stage.delivery(&event, 1);
    second.delivery.after = Some(first.delivery.id);
    second.delivery.due_at += Duration::from_hours(1);
    let (id, due_at) = (second.delivery.id, second.delivery.due_at);
    stage.accept(planned(event, vec![first, second])).await;

    repair(&stage, id, Repair::Hold).await;
    assert_eq!(repair(&stage, id, Repair::Release).await, Repaired::Moved(State::Waiting));

    let again = stage.store.find_delivery(id).await.unwrap().unwrap().delivery;
    assert_eq!((again.reason, again.due_at), (Reason::Fallback, due_at));
    stage.assert_closed().await;
}

async fn an_event_cancels_what_it_overtakes_whichever_comes_first(stage: Stage) {
    let delay = |id: &str| {
        let mut delay = stage.planned(id, 1);
        delay.event.business_key = Some("DH-1".to_owned());
        let new = &mut delay.deliveries[0];
        new.delivery.business_key = Some("DH-1".to_owned());
        new.unless = vec!["order.delay_resolved".into()];
        delay
    };
    let resolved = || {
        let mut resolved = stage.planned("resolved", 0);
        resolved.event.event_type = "order.delay_resolved".into();
        resolved.event.business_key = Some("DH-1".to_owned());
        resolved.cancels = vec![("order.delayed".into(), "notice".into())];
        resolved
    };
    let (before, late) = (delay("before"), delay("late"));
    let ids = [before.deliveries[0].delivery.id, late.deliveries[0].delivery.id];
    stage.accept(before).await;
    stage.accept(resolved()).await;
    stage.accept(late).await;
    // Without times of their own, both are taken to have come in order from here on.
    stage.clock.advance(Duration::from_secs(6));
    let newer = delay("newer");
    let newer_id = newer.deliveries[0].delivery.id;
    stage.accept(newer).await;

    for id in ids {
        let story = stage.store.find_delivery(id).await.unwrap().unwrap();
        assert_eq!(story.delivery.state, State::Cancelled);
        assert_eq!(story.delivery.reason, Reason::Overtaken);
    }
    assert_eq!(stage.state(newer_id).await, State::Waiting, "it happened after the resolution");
    stage.assert_closed().await;
}

async fn an_event_that_overtakes_very_many_cancels_some_at_once_and_the_gate_the_others(
    stage: Stage,
) {
    let mut many = stage.planned("1", 5_010);
    many.deliveries.iter_mut().for_each(|new| new.unless = vec!["order.delay_resolved".into()]);
    stage.accept(many).await;
    let mut resolved = stage.planned("2", 0);
    resolved.event.event_type = "order.delay_resolved".into();
    resolved.event.business_key = Some("DH-1".to_owned());
    resolved.cancels = vec![("order.delayed".into(), "notice".into())];

    stage.accept(resolved).await;

    let states = stage.store.ledger().await.unwrap().deliveries.states;
    assert_eq!((states["cancelled"], states["waiting"]), (5_000, 10));
    let told = stage.told().await;
    let cancelled = told.iter().filter(|told| told.routing_key.contains(".cancelled."));
    assert_eq!(cancelled.count(), 5_000);
    let claims = stage.claim().await;
    assert!(claims.len() == 10 && claims.iter().all(|claim| claim.gate.is_overtaken), "{claims:?}");
    stage.assert_closed().await;
}

async fn a_filter_counts_what_its_repair_then_moves(stage: Stage) {
    stage.plan("1", 3).await;
    refuse_all(&stage).await;
    stage.plan("2", 2).await;
    let filter = DeliveryFilter { states: vec![State::Failed], ..Default::default() };

    let count = stage.store.count_deliveries(filter.clone()).await.unwrap();
    let found = stage.store.deliveries(filter, None, 100).await.unwrap();
    let ids = found.iter().map(|delivery| delivery.id).collect();
    let moved = stage.store.repair(ids, RETRY, "lan").await.unwrap();

    assert_eq!((count, moved.len()), (3, 3));
    assert!(moved.iter().all(|one| *one == Repaired::Moved(State::Waiting)));
    stage.assert_closed().await;
}
