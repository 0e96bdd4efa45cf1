//! Status events wait in bundles, each for the process that wrote it.

use std::time::Duration;

use uuid::Uuid;

use super::stage::Stage;
use crate::store::Ages;
use crate::store::engine::Value;
use crate::store::outbox::NOBODY;

on_both_stores!(
    a_transaction_that_tells_much_writes_few_bundles_in_their_order,
    what_is_left_of_a_bundle_is_published_again_and_nothing_else,
    what_a_process_that_is_gone_has_not_published_is_taken_over_once,
    what_the_version_before_has_not_published_is_taken_over,
    a_bundle_that_cannot_be_read_is_set_aside_and_stops_no_other,
    what_is_set_aside_is_read_again_and_forgotten_in_the_end,
    however_much_was_set_aside_all_of_it_is_read_again,
    what_the_version_before_wrote_and_nobody_can_read_stops_no_other,
    what_several_processes_left_is_taken_over_from_each,
    a_transaction_that_tells_something_wakes_whoever_publishes,
);

/// Runs a statement of a test's own.
async fn run(stage: &Stage, sql: &'static str, params: Vec<Value>) {
    let write = stage.store.write(move |tx| {
        let params = params.clone();
        Box::pin(async move { tx.execute(sql, &params).await })
    });
    write.await.unwrap();
}

async fn a_transaction_that_tells_much_writes_few_bundles_in_their_order(stage: Stage) {
    stage.plan("1", 1_100).await;
    stage.told().await;
    let mut ends = Vec::new();
    for _ in 0..11 {
        ends.extend(stage.claim().await.iter().map(|claim| stage.sent(claim)));
    }

    stage.store.finish(ends.clone()).await.unwrap();

    let all = stage.store.take_outbox(None, 10_000).await.unwrap();
    let sizes: Vec<usize> = all.bundles.iter().map(|bundle| bundle.events.len()).collect();
    assert_eq!((sizes, all.is_all), (vec![500, 500, 100], true));
    let told = all.bundles.iter().flat_map(|bundle| &bundle.events);
    let told: Vec<String> = told
        .map(|told| serde_json::from_slice::<serde_json::Value>(&told.body).unwrap())
        .map(|body| body["delivery"].as_str().unwrap().to_owned())
        .collect();
    let wanted: Vec<String> = ends.iter().map(|end| end.claimed.delivery.id.to_string()).collect();
    assert_eq!(told, wanted);
    let first = stage.store.take_outbox(None, 400).await.unwrap();
    let rest = stage.store.take_outbox(Some(first.bundles[0].id), 10_000).await.unwrap();
    assert_eq!((first.bundles.len(), first.is_all, rest.bundles.len()), (1, false, 2));
    assert_eq!(stage.store.backlog().await.unwrap().outbox, 1_100);
}

async fn what_is_left_of_a_bundle_is_published_again_and_nothing_else(stage: Stage) {
    for id in ["1", "2", "3"] {
        stage.plan(id, 1).await;
    }
    let ends: Vec<_> = stage.claim().await.iter().map(|claim| stage.sent(claim)).collect();
    stage.store.finish(ends).await.unwrap();
    let mut taken = stage.store.take_outbox(None, 100).await.unwrap().bundles;
    let failed = taken[3].events.remove(1);

    for bundle in &mut taken {
        bundle.events.clear();
    }
    taken[3].events.push(failed.clone());
    stage.store.settle_outbox(taken).await.unwrap();

    assert_eq!(stage.store.backlog().await.unwrap().outbox, 1);
    assert_eq!(stage.told().await, [failed]);
}

async fn what_a_process_that_is_gone_has_not_published_is_taken_over_once(stage: Stage) {
    stage.plan("1", 1).await;
    let gone = "UPDATE outbox_bundle SET run = $1";
    run(&stage, gone, vec![Uuid::nil().into()]).await;
    stage.store.beat().await.unwrap();

    let before = stage.store.take_outbox(None, 100).await.unwrap();
    let adopted = stage.store.adopt_outbox().await.unwrap();
    let again = stage.store.adopt_outbox().await.unwrap();

    assert!(before.bundles.is_empty() && before.is_all, "{before:?}");
    assert_eq!((adopted, again, stage.told().await.len()), (1, 0, 1));
}

async fn what_the_version_before_has_not_published_is_taken_over(stage: Stage) {
    let (id, at) = (Uuid::from_u128(7), stage.now());
    let written = "INSERT INTO outbox (id, routing_key, correlation_id, at, body) \
                   VALUES ($1, 'status.email.sent.x', 'c', $2, $3)";
    run(&stage, written, vec![id.into(), at.into(), "{\"a\":1}".into()]).await;

    let waiting = stage.store.backlog().await.unwrap().outbox;
    stage.store.adopt_outbox().await.unwrap();
    let told = stage.told().await;

    assert_eq!((waiting, told.len()), (1, 1));
    assert_eq!((told[0].id, told[0].at, &*told[0].body), (id, at, &b"{\"a\":1}"[..]));
    assert_eq!(
        (&*told[0].routing_key, told[0].correlation_id.as_deref()),
        ("status.email.sent.x", Some("c"))
    );
    assert_eq!(stage.store.backlog().await.unwrap().outbox, 0);
}

/// What no Loa has written.
const UNREADABLE: &str = "UPDATE outbox_bundle SET bundle = 'spoilt' \
                          WHERE id = (SELECT id FROM outbox_bundle ORDER BY id LIMIT 1)";

async fn a_bundle_that_cannot_be_read_is_set_aside_and_stops_no_other(stage: Stage) {
    stage.plan("1", 2).await;
    stage.plan("2", 1).await;
    run(&stage, UNREADABLE, Vec::new()).await;

    let taken = stage.store.take_outbox(None, 100).await.unwrap();

    assert_eq!((taken.bundles.len(), taken.unreadable, taken.is_all), (1, 1, true));
    assert_eq!(stage.told().await.len(), 1);
    stage.clock.advance(Duration::from_mins(1));
    assert_eq!(stage.store.adopt_outbox().await.unwrap(), 0, "it is nobody's");
    let again = stage.store.take_outbox(None, 100).await.unwrap();
    assert_eq!((again.bundles.len(), again.unreadable), (0, 0), "it is told of once");
    let backlog = stage.store.backlog().await.unwrap();
    assert_eq!((backlog.outbox, backlog.outbox_unreadable), (0, 1));
    stage.assert_closed().await;
}

async fn what_is_set_aside_is_read_again_and_forgotten_in_the_end(stage: Stage) {
    stage.plan("1", 1).await;
    let newer =
        "UPDATE outbox_bundle SET bundle = replace(bundle, '\"version\":1', '\"version\":2')";
    let known =
        "UPDATE outbox_bundle SET bundle = replace(bundle, '\"version\":2', '\"version\":1')";
    run(&stage, newer, Vec::new()).await;
    assert_eq!(stage.store.take_outbox(None, 100).await.unwrap().unreadable, 1);

    run(&stage, known, Vec::new()).await;
    assert_eq!(stage.store.take_back_unreadable().await.unwrap(), 1);
    assert_eq!(stage.told().await.len(), 1);

    stage.plan("2", 1).await;
    run(&stage, UNREADABLE, Vec::new()).await;
    assert_eq!(stage.store.take_outbox(None, 100).await.unwrap().unreadable, 1);
    let day = Duration::from_hours(24);
    let ages = Ages { deliveries: 9 * day, rejected: day, captured: day };
    while stage.store.purge(ages, 10).await.unwrap() {}
    assert_eq!(stage.store.backlog().await.unwrap().outbox_unreadable, 1, "it is not old yet");
    stage.clock.advance(2 * day);
    while stage.store.purge(ages, 10).await.unwrap() {}
    assert_eq!(stage.store.backlog().await.unwrap().outbox_unreadable, 0);
}

async fn however_much_was_set_aside_all_of_it_is_read_again(stage: Stage) {
    let write = stage.store.write(|tx| {
        let sql =
            "INSERT INTO outbox_bundle (run, id, at, count, bundle) VALUES ($1, $2, 0, 1, $3)";
        let text = "{\"version\":1,\"events\":[]}";
        let row = |number: u128| vec![NOBODY.into(), Uuid::from_u128(number).into(), text.into()];
        let rows: Vec<Vec<Value>> = (1..=2_500).map(row).collect();
        Box::pin(async move { tx.execute_many(sql, &rows).await })
    });
    write.await.unwrap();

    let taken = stage.store.take_back_unreadable().await.unwrap();

    assert_eq!(taken, 2_500);
    assert_eq!(stage.store.backlog().await.unwrap().outbox_unreadable, 0);
}

async fn what_the_version_before_wrote_and_nobody_can_read_stops_no_other(stage: Stage) {
    let written = "INSERT INTO outbox (id, routing_key, correlation_id, at, body) \
                   VALUES ($1, 'status.email.sent.x', 'c', $2, $3)";
    for (id, body) in [(7, "spoilt"), (8, "{}")] {
        let id = Uuid::from_u128(id);
        run(&stage, written, vec![id.into(), stage.now().into(), body.into()]).await;
    }

    stage.store.adopt_outbox().await.unwrap();

    assert_eq!(stage.told().await.len(), 1);
    assert_eq!(stage.store.backlog().await.unwrap().outbox_unreadable, 1);
}

async fn what_several_processes_left_is_taken_over_from_each(stage: Stage) {
    let gone = "UPDATE outbox_bundle SET run = $1 WHERE run NOT IN ($1, $2)";
    let [first, second] = [1, 2].map(Uuid::from_u128);
    for (id, owner) in [("1", first), ("2", second)] {
        stage.plan(id, 1).await;
        run(&stage, gone, vec![owner.into(), first.into()]).await;
    }
    stage.plan("3", 1).await;

    assert_eq!(stage.store.adopt_outbox().await.unwrap(), 2);

    assert_eq!(stage.told().await.len(), 3);
}

async fn a_transaction_that_tells_something_wakes_whoever_publishes(stage: Stage) {
    stage.store.beat().await.unwrap();
    let asleep = tokio::time::timeout(Duration::ZERO, stage.store.outbox_fills()).await;

    stage.plan("1", 1).await;

    assert!(asleep.is_err(), "woken by what tells nothing");
    stage.store.outbox_fills().await;
}

#[tokio::test]
async fn on_postgres_each_process_publishes_its_own_until_it_is_silent() {
    let stage = Stage::postgres("outbox_shared").await;
    let [one, other] = ["outbox_shared"; 2].map(|name| Stage::again(name, stage.clock.clone()));
    one.beat().await.unwrap();
    other.beat().await.unwrap();
    stage.store.beat().await.unwrap();
    stage.plan("1", 1).await;

    let while_alive = one.adopt_outbox().await.unwrap();
    let seen = one.take_outbox(None, 100).await.unwrap().bundles.len();
    stage.clock.advance(Duration::from_secs(16));
    one.beat().await.unwrap();
    other.beat().await.unwrap();
    let (first, second) = tokio::join!(one.adopt_outbox(), other.adopt_outbox());

    assert_eq!((while_alive, seen), (0, 0));
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    assert!(stage.told().await.is_empty(), "its own is another's now");
}
