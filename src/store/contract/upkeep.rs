//! Old things are forgotten and still counted; counters are folded; a running store is copied.

use std::time::Duration;

use tempfile::TempDir;

use super::stage::{Stage, settings};
use crate::model::id::RunId;
use crate::store::{Accepted, Ages, Place, Store, backup};

on_both_stores!(
    what_is_purged_is_still_counted_and_its_key_still_known,
    nothing_that_is_not_final_is_purged,
    folded_counters_say_the_same,
    counters_folded_while_events_come_in_lose_nothing,
    a_store_is_empty_until_anything_at_all_is_kept_in_it,
);

fn ages(hours: u64) -> Ages {
    let age = Duration::from_hours(hours);
    Ages { deliveries: age, rejected: age, captured: age }
}

/// Sends all that is due.
async fn send_all(stage: &Stage) {
    let claims = stage.claim().await;
    let sent = claims.iter().map(|claim| stage.sent(claim)).collect();
    stage.store.finish(sent).await.unwrap();
}

async fn what_is_purged_is_still_counted_and_its_key_still_known(stage: Stage) {
    stage.plan("1", 3).await;
    send_all(&stage).await;
    stage.clock.advance(Duration::from_hours(25));

    assert!(stage.store.purge(ages(24), 2).await.unwrap(), "there is one more");
    while stage.store.purge(ages(24), 2).await.unwrap() {}

    assert_eq!(stage.store.count_deliveries(Default::default()).await.unwrap(), 0);
    assert!(stage.store.events(Default::default(), None, 10).await.unwrap().is_empty());
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.states["sent"], 3);
    let again = stage.accept(stage.planned("1", 3)).await;
    assert!(matches!(again, Accepted::Repeat { .. }), "{again:?}");
    stage.assert_closed().await;
}

async fn nothing_that_is_not_final_is_purged(stage: Stage) {
    stage.plan("1", 1).await;
    stage.clock.advance(Duration::from_hours(25));

    assert!(!stage.store.purge(ages(24), 10).await.unwrap());

    assert_eq!(stage.store.count_deliveries(Default::default()).await.unwrap(), 1);
    assert_eq!(stage.claim().await.len(), 1);
    stage.assert_closed().await;
}

async fn folded_counters_say_the_same(stage: Stage) {
    stage.plan("1", 3).await;
    send_all(&stage).await;
    let before = stage.store.counters().await.unwrap();

    stage.store.fold_counters().await.unwrap();
    stage.plan("2", 1).await;
    stage.store.fold_counters().await.unwrap();

    let key = ("order.delayed".to_owned(), "delivery.sent".to_owned());
    assert_eq!(stage.store.counters().await.unwrap()[&key], before[&key]);
    stage.assert_closed().await;
}

async fn counters_folded_while_events_come_in_lose_nothing(stage: Stage) {
    let stage = &stage;
    let plan = (0..30).map(|id| async move { drop(stage.plan(&id.to_string(), 2).await) });
    let fold = (0..10).map(|_| async move { stage.store.fold_counters().await.unwrap() });

    tokio::join!(futures_util::future::join_all(plan), futures_util::future::join_all(fold),);

    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 60);
    stage.assert_closed().await;
}

async fn a_store_is_empty_until_anything_at_all_is_kept_in_it(stage: Stage) {
    stage.store.beat().await.unwrap();
    assert!(stage.store.is_empty().await.unwrap(), "a process that looked in left nothing");

    stage.store.put_segment("fair".into(), Default::default()).await.unwrap();

    assert!(!stage.store.is_empty().await.unwrap());
}

#[tokio::test]
async fn a_sqlite_store_is_copied_while_it_runs() {
    let stage = Stage::sqlite().await;
    stage.plan("1", 3).await;
    let folder = TempDir::new().unwrap();
    let (from, to) = (stage.path(), folder.path().join("copy.db"));

    backup(&from, &to).await.unwrap();
    stage.plan("2", 1).await;

    let place = Place::Sqlite(to.clone());
    let run = RunId::new(stage.now());
    let copy = Store::open(settings(place), stage.clock.clone(), run).await.unwrap();
    assert_eq!(copy.ledger().await.unwrap().deliveries.planned, 3);
    assert_eq!(copy.audit().await.unwrap(), []);
    let error = backup(&from, &to).await.unwrap_err().to_string();
    assert!(error.contains("exists already; name a new file"), "{error}");
}
