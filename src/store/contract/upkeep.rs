//! Old things are forgotten and still counted; counters are folded; a running store is copied.

use std::time::Duration;

use tempfile::TempDir;

use super::stage::{Stage, arrival, relay, settings};
use crate::model::event::{RejectReason, RejectedEvent, Rejection};
use crate::model::id::{RejectedId, RunId};
use crate::store::events::list_rejected;
use crate::store::{Acceptance, Accepted, Ages, Place, RejectedFilter, Repair, Store, backup};

on_both_stores!(
    what_is_purged_is_still_counted_and_its_key_still_known,
    nothing_that_is_not_final_is_purged,
    folded_counters_say_the_same,
    counters_folded_while_events_come_in_lose_nothing,
    what_waits_for_a_provider_on_hold_is_not_overdue,
    reasons_of_rejection_are_told_once_each_and_since_a_moment,
    a_row_that_is_lost_shows_in_the_audit,
    what_a_search_would_miss_shows_in_the_audit,
    what_is_forgotten_on_purpose_is_not_lost,
    lists_of_rejected_events_tell_how_many_bytes_there_are_and_read_none,
    a_store_is_empty_until_anything_at_all_is_kept_in_it,
);

fn ages(hours: u64) -> Ages {
    let age = Duration::from_hours(hours);
    Ages { deliveries: age, rejected: age, captured: age }
}

/// An arrival of five hours ago that cannot be planned.
fn rejected(stage: &Stage, reason: RejectReason, event_type: Option<&str>) -> Acceptance {
    let rejection = Rejection {
        reason,
        place: None,
        message: "no".to_owned(),
        event_type: event_type.map(str::to_owned),
        key: None,
    };
    let id = RejectedId::new(stage.now());
    let arrival = arrival("bytes", stage.now() - Duration::from_hours(5));
    Acceptance::Rejected(Box::new(RejectedEvent { id, arrival, rejection }))
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

async fn what_waits_for_a_provider_on_hold_is_not_overdue(stage: Stage) {
    stage.plan("1", 3).await;
    stage.clock.advance(Duration::from_mins(6));
    assert_eq!(stage.store.backlog().await.unwrap().overdue, 3);

    stage.store.hold_provider(relay(), "broken".to_owned(), "lan".to_owned()).await.unwrap();

    let backlog = stage.store.backlog().await.unwrap();
    assert_eq!((backlog.overdue, backlog.oldest_due.len()), (0, 0));
}

async fn reasons_of_rejection_are_told_once_each_and_since_a_moment(stage: Stage) {
    let rejected = |reason, event_type| rejected(&stage, reason, event_type);
    stage.store.accept(vec![rejected(RejectReason::TooLarge, None)]).await.unwrap();
    stage.clock.advance(Duration::from_mins(1));
    let moment = stage.now();
    let mut flood: Vec<_> =
        (0..60).map(|_| rejected(RejectReason::Schema, Some("order.delayed"))).collect();
    flood.push(rejected(RejectReason::Undecodable, None));
    flood.push(rejected(RejectReason::Unplannable, Some("loa.queue_late")));
    stage.store.accept(flood).await.unwrap();

    let mut reasons = stage.store.reasons_since(moment).await.unwrap();

    reasons.sort_by_key(|reason| reason.as_str());
    assert_eq!(reasons, [RejectReason::Schema, RejectReason::Undecodable]);
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

#[tokio::test]
async fn a_process_lives_as_long_as_it_says_so_twice_a_minute() {
    let stage = Stage::postgres("beat").await;
    let other = Stage::again("beat", stage.clock.clone());
    assert_eq!((stage.store.beat().await.unwrap(), other.beat().await.unwrap()), (1, 2));

    // Late by more than any other work of the sweep may take, and yet alive.
    stage.clock.advance(Duration::from_secs(29));
    assert_eq!(stage.store.beat().await.unwrap(), 2);
    stage.clock.advance(Duration::from_secs(2));

    assert_eq!(stage.store.beat().await.unwrap(), 1, "the other one is dead");
    assert_eq!(other.beat().await.unwrap(), 2, "and it comes back");
}

#[tokio::test]
async fn on_sqlite_whoever_said_so_before_is_dead() {
    let stage = Stage::sqlite().await;
    let before = stage.store.write(|tx| {
        Box::pin(async move {
            let sql = "INSERT INTO process (run, beat) VALUES ($1, $2)";
            let beat = tx.now().as_microsecond();
            tx.execute(sql, &[uuid::Uuid::nil().into(), beat.into()]).await
        })
    });
    before.await.unwrap();

    assert_eq!(stage.store.beat().await.unwrap(), 1);
}

async fn a_row_that_is_lost_shows_in_the_audit(stage: Stage) {
    stage.plan("1", 1).await;
    let rejected = rejected(&stage, RejectReason::Schema, Some("order.delayed"));
    stage.store.accept(vec![rejected]).await.unwrap();
    stage.assert_closed().await;

    for table in ["delivery", "event", "rejected"] {
        let lose = stage.store.write(move |tx| {
            Box::pin(async move { tx.execute(&format!("DELETE FROM {table}"), &[]).await })
        });
        assert_eq!(lose.await.unwrap(), 1);
    }

    let found = stage.store.audit().await.unwrap();
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    // What is left in `waiting` of a delivery that is gone shows, too.
    let lost = [
        "delivery.orphaned",
        "delivery.planned",
        "delivery.waiting",
        "event.planned",
        "event.rejected",
    ];
    assert_eq!(names, lost);
    let (left, lost) = found.split_first().unwrap();
    assert_eq!((left.counted, left.found), (0, 1));
    assert!(lost.iter().all(|one| (one.counted, one.found) == (1, 0)), "{found:?}");
}

async fn what_a_search_would_miss_shows_in_the_audit(stage: Stage) {
    let ids = stage.plan("1", 3).await;
    stage.store.repair(vec![ids[0]], Repair::Hold, "lan").await.unwrap();
    stage.store.repair(vec![ids[1]], Repair::Cancel, "lan").await.unwrap();
    stage.assert_closed().await;

    let spoil = [
        "DELETE FROM notable WHERE state = 'held'",
        "UPDATE notable SET reason = 'overtaken' WHERE state = 'cancelled'",
        "INSERT INTO notable (delivery, created_at, state, reason) \
         SELECT id, created_at, state, reason FROM delivery WHERE state = 'waiting'",
    ];
    for sql in spoil {
        let spoil =
            stage.store.write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }));
        assert_eq!(spoil.await.unwrap(), 1);
    }

    let found = stage.store.audit().await.unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.found)).collect();
    assert_eq!(found, [("delivery.misnoted", 1), ("delivery.unnoted", 2)]);
}

async fn what_is_forgotten_on_purpose_is_not_lost(stage: Stage) {
    stage.plan("1", 1).await;
    send_all(&stage).await;
    let event = |reason, kind| rejected(&stage, reason, kind);
    let discarded = event(RejectReason::UnknownType, Some("order.eaten"));
    let Acceptance::Rejected(whole) = &discarded else { panic!() };
    let id = whole.id;
    let kept = event(RejectReason::Schema, Some("order.delayed"));
    stage.store.accept(vec![discarded, kept]).await.unwrap();

    assert!(stage.store.discard_rejected(id, "lan").await.unwrap());
    stage.assert_closed().await;
    stage.clock.advance(Duration::from_hours(25));
    while stage.store.purge(ages(24), 1).await.unwrap() {}

    assert!(stage.store.rejected_events(None, 10).await.unwrap().is_empty());
    assert!(stage.store.events(Default::default(), None, 10).await.unwrap().is_empty());
    stage.assert_closed().await;
}

async fn lists_of_rejected_events_tell_how_many_bytes_there_are_and_read_none(stage: Stage) {
    let rejected = rejected(&stage, RejectReason::Schema, None);
    stage.store.accept(vec![rejected]).await.unwrap();

    let line = stage.store.rejected_events(None, 10).await.unwrap().remove(0);

    assert_eq!((line.size, line.rejection.reason), (5, RejectReason::Schema));
    let whole = stage.store.find_rejected(line.id).await.unwrap().unwrap();
    assert_eq!(whole.arrival.bytes, "bytes");
    let (sql, _) = list_rejected(&RejectedFilter::default(), None, 10);
    assert!(!sql.contains(" bytes"), "{sql}");
}
