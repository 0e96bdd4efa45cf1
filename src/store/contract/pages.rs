//! Big audiences are planned page by page, each once, whoever plans them.

use std::time::Duration;

use super::stage::{LEASE, Stage};
use crate::model::audience::AudienceQuery;
use crate::model::delivery::{Reason, State};
use crate::store::NewPage;

on_both_stores!(
    an_audience_is_planned_page_by_page_and_nobody_twice,
    of_two_planners_at_once_one_gets_the_page,
    a_page_that_is_finished_again_after_its_answer_was_lost_plans_nothing_twice,
    a_page_whose_lease_is_over_is_planned_by_somebody_else,
    what_a_page_decides_against_and_the_end_of_planning_are_told,
    the_window_of_its_step_is_kept_with_a_delivery,
);

async fn accept_big(stage: &Stage) {
    let mut planned = stage.planned("1", 0);
    let query = AudienceQuery::Segment("everyone".into());
    planned.pages = vec![NewPage { step: "notice".into(), query }];
    stage.accept(planned).await;
}

async fn an_audience_is_planned_page_by_page_and_nobody_twice(stage: Stage) {
    accept_big(&stage).await;
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let first = (0..3).map(|number| stage.delivery(&page.event, number)).collect();
    let last = (2..5).map(|number| stage.delivery(&page.event, number)).collect();

    stage.store.finish_page(page, first, Some("contact-2".into())).await.unwrap();
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    assert_eq!(page.after, Some("contact-2".into()));
    assert_eq!(stage.store.ledger().await.unwrap().events.planning, 1);
    stage.store.finish_page(page, last, None).await.unwrap();

    assert!(stage.store.claim_page(LEASE).await.unwrap().is_none());
    let events = stage.store.events(Default::default(), None, 10).await.unwrap();
    assert_eq!((events[0].state.as_str(), events[0].deliveries), ("planned", 5));
    stage.assert_closed().await;
}

async fn of_two_planners_at_once_one_gets_the_page(stage: Stage) {
    accept_big(&stage).await;

    let (one, other) = tokio::join!(stage.store.claim_page(LEASE), stage.store.claim_page(LEASE));

    let pages = [one.unwrap(), other.unwrap()];
    assert_eq!(pages.iter().flatten().count(), 1);
}

async fn a_page_whose_lease_is_over_is_planned_by_somebody_else(stage: Stage) {
    accept_big(&stage).await;
    let lost = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let planned = |event| vec![stage.delivery(event, 0)];

    let (here, there) = (planned(&lost.event), planned(&taken.event));
    stage.store.finish_page(lost, here, None).await.unwrap();
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 0);
    stage.store.finish_page(taken, there, None).await.unwrap();

    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 1);
    stage.assert_closed().await;
}

async fn what_a_page_decides_against_and_the_end_of_planning_are_told(stage: Stage) {
    accept_big(&stage).await;
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let mut first: Vec<_> = (0..3).map(|number| stage.delivery(&page.event, number)).collect();
    first[1].delivery.state = State::Skipped;
    first[1].delivery.reason = Reason::SuppressedAddress;
    let last: Vec<_> = (2..4).map(|number| stage.delivery(&page.event, number)).collect();
    stage.told().await;

    stage.store.finish_page(page, first, Some("contact-2".into())).await.unwrap();
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    stage.store.finish_page(page, last, None).await.unwrap();

    let told = stage.told().await;
    let keys: Vec<&str> = told.iter().map(|told| told.routing_key.as_str()).collect();
    assert_eq!(keys, ["status.email.skipped.order.delayed", "status.event.planned.order.delayed"]);
    let end: serde_json::Value = serde_json::from_slice(&told[1].body).unwrap();
    assert_eq!((&end["deliveries"], &end["planning"]), (&4.into(), &false.into()), "{end}");
}

async fn the_window_of_its_step_is_kept_with_a_delivery(stage: Stage) {
    accept_big(&stage).await;
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let mut delivery = stage.delivery(&page.event, 0);
    delivery.delivery.window = Some("Mon-Sat 08:00-18:00".parse().unwrap());
    let window = delivery.delivery.window.clone();

    stage.store.finish_page(page, vec![delivery], None).await.unwrap();

    assert_eq!(stage.claim().await.remove(0).delivery.window, window);
}

async fn a_page_that_is_finished_again_after_its_answer_was_lost_plans_nothing_twice(stage: Stage) {
    accept_big(&stage).await;
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let planned = |event| (0..3).map(|number| stage.delivery(event, number)).collect();
    let (one, again) = (planned(&page.event), planned(&page.event));
    let next = Some("contact-2".into());

    stage.store.finish_page(page.clone(), one, next.clone()).await.unwrap();
    stage.store.finish_page(page, again, next).await.unwrap();

    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 3);
    let rest = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    assert_eq!(rest.after, Some("contact-2".into()));
    stage.assert_closed().await;
}
