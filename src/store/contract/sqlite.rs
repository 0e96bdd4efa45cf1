//! What only a SQLite store does: a disk that is full, and searches beside intake.

use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, poll};

use super::stage::Stage;
use crate::model::audience::AudienceQuery;
use crate::store::engine::Tx;
use crate::store::{Acceptance, StoreError};

#[tokio::test]
async fn a_full_disk_stops_a_sqlite_store_and_room_lets_it_go_on() {
    let stage = Stage::sqlite().await;
    stage.plan("before", 1).await;
    fill(&stage).await;

    let mut full = None;
    for id in 0..200 {
        let batch = vec![Acceptance::Planned(Box::new(stage.planned(&id.to_string(), 20)))];
        if let Err(error) = stage.store.accept(batch).await {
            full = Some((id, error));
            break;
        }
    }
    let Some((id, StoreError::Full)) = full else { panic!("{full:?}") };
    stage.assert_closed().await;
    pragma(&stage, "PRAGMA max_page_count = 1000000".to_owned()).await;

    stage.plan(&id.to_string(), 20).await;
    stage.assert_closed().await;
}

async fn pragma(stage: &Stage, sql: String) {
    let set = stage.store.write(move |tx| {
        let sql = sql.clone();
        Box::pin(async move { tx.query(&sql, &[]).await })
    });
    set.await.unwrap();
}

/// Lets the file grow no more.
async fn fill(stage: &Stage) {
    let pages = number(stage, "PRAGMA page_count").await;
    pragma(stage, format!("PRAGMA max_page_count = {pages}")).await;
}

/// The number that a statement gives.
async fn number(stage: &Stage, sql: impl Into<String>) -> i64 {
    let sql = sql.into();
    let read = stage
        .store
        .read(move |tx| Box::pin(async move { tx.query_one(&sql, &[]).await?.unwrap().int(0) }));
    read.await.unwrap()
}

/// Runs one small statement, which needs no room.
async fn mark(stage: &Stage, sql: &'static str) -> Result<u64, StoreError> {
    stage.store.write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await })).await
}

/// Keeps the writer busy until something is sent, so that what is asked for meanwhile becomes one
/// group.
async fn hold_writer(stage: &Stage) -> (BoxFuture<'_, Result<(), StoreError>>, mpsc::Sender<()>) {
    let ((entered, entry), (open, gate)) = (mpsc::channel(), mpsc::channel::<()>());
    let gate = Arc::new(Mutex::new(gate));
    let mut held = stage
        .store
        .write(move |_| {
            entered.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            Box::pin(async { Ok(()) })
        })
        .boxed();
    assert!(poll!(&mut held).is_pending());
    entry.recv().unwrap();
    (held, open)
}

/// What becomes of three that the writer finds waiting together, and so takes as one group.
async fn share_a_sync<A, B, C>(
    stage: &Stage,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
    third: impl Future<Output = C>,
) -> (A, B, C) {
    let (mut first, mut second, mut third) = (pin!(first), pin!(second), pin!(third));
    let (held, open) = hold_writer(stage).await;
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut third).is_pending());
    open.send(()).unwrap();
    held.await.unwrap();
    (first.await, second.await, third.await)
}

#[tokio::test]
async fn of_all_that_share_a_sync_one_that_fails_leaves_nothing_and_the_others_are_done_once() {
    const ADD: &str = "UPDATE migration SET name = name || '+' WHERE number = 1";
    let stage = Stage::sqlite().await;
    let length = "SELECT LENGTH(name) FROM migration WHERE number = 1";
    let before = number(&stage, length).await;
    let fails = stage.store.write(|tx| {
        Box::pin(async move {
            tx.execute(ADD, &[]).await?;
            Err::<(), _>(StoreError::Abandoned)
        })
    });

    let (first, fails, last) =
        share_a_sync(&stage, mark(&stage, ADD), fails, mark(&stage, ADD)).await;

    assert!(matches!((first, last), (Ok(1), Ok(1))));
    assert!(matches!(fails, Err(StoreError::Abandoned)), "{fails:?}");
    assert_eq!(number(&stage, length).await, before + 2);
}

/// Adds rows of which the last one clashes with one that is there.
const CLASHES: &str = "INSERT INTO migration (number, name, checksum, at) \
     SELECT number + 1000, 'half', '', 0 FROM migration UNION ALL SELECT 1, 'half', '', 0";
const HALVES: &str = "SELECT COUNT(*) FROM migration WHERE name = 'half'";

#[tokio::test]
async fn of_a_statement_that_fails_halfway_nothing_stays_and_its_neighbours_are_done_once() {
    const LATER: &str = "UPDATE migration SET at = at + 1 WHERE number = 1";
    let stage = Stage::sqlite().await;
    let at = "SELECT at FROM migration WHERE number = 1";
    let before = number(&stage, at).await;
    let marks = || mark(&stage, LATER);

    let (first, fails, last) = share_a_sync(&stage, marks(), mark(&stage, CLASHES), marks()).await;

    assert!(matches!((first, last), (Ok(1), Ok(1))));
    assert!(fails.is_err(), "{fails:?}");
    assert_eq!(number(&stage, HALVES).await, 0);
    assert_eq!(number(&stage, at).await, before + 2);
}

#[tokio::test]
async fn a_transaction_that_goes_on_after_an_error_is_not_committed() {
    let stage = Stage::sqlite().await;

    let went_on = stage.store.write(|tx| {
        Box::pin(async move {
            assert!(tx.execute(CLASHES, &[]).await.is_err());
            let next = "UPDATE migration SET name = 'half' WHERE number = 2";
            assert!(matches!(tx.execute(next, &[]).await, Err(StoreError::Broken(_))));
            Ok(())
        })
    });

    assert!(matches!(went_on.await, Err(StoreError::Broken(_))));
    assert_eq!(number(&stage, HALVES).await, 0);
}

#[tokio::test]
async fn beside_a_transaction_that_finds_the_disk_full_those_that_have_room_are_done() {
    let stage = Stage::sqlite().await;
    stage.plan("before", 1).await;
    fill(&stage).await;
    let big = vec![Acceptance::Planned(Box::new(stage.planned("big", 2000)))];
    let first = mark(&stage, "UPDATE migration SET name = 'first' WHERE number = 1");
    let last = mark(&stage, "UPDATE migration SET name = 'last' WHERE number = 2");

    let (first, full, last) = share_a_sync(&stage, first, stage.store.accept(big), last).await;

    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    for (told, name) in [(first, "first"), (last, "last")] {
        assert!(matches!(told, Ok(1)), "{name}: {told:?}");
        let marked = format!("SELECT COUNT(*) FROM migration WHERE name = '{name}'");
        assert_eq!(number(&stage, marked).await, 1, "{name}");
    }
    stage.assert_closed().await;
}

/// A search that never ends by itself.
fn endless<'t>(tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<i64, StoreError>> {
    Box::pin(async move {
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                   SELECT COUNT(*) FROM n";
        tx.query_one(sql, &[]).await?.unwrap().int(0)
    })
}

#[tokio::test]
async fn intake_waits_for_no_search_and_every_search_ends() {
    let stage = Stage::sqlite().await;
    let mut searches: Vec<_> = (0..6).map(|_| Box::pin(stage.store.search(endless))).collect();
    for search in &mut searches {
        assert!(poll!(search).is_pending());
    }

    let who = vec![AudienceQuery::Team("operators".into())];
    let resolved = tokio::time::timeout(Duration::from_secs(5), stage.store.resolve(who, 10)).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    let ends = join_all(searches).await;

    assert!(resolved.is_ok(), "intake waited for searches");
    assert!(ends.iter().all(|end| matches!(end, Err(StoreError::TooLong))), "{ends:?}");
}

#[tokio::test]
async fn a_search_ends_with_whoever_asked_for_it() {
    let stage = Stage::sqlite().await;
    let mut searches: Vec<_> = (0..2).map(|_| Box::pin(stage.store.search(endless))).collect();
    for search in &mut searches {
        assert!(poll!(search).is_pending());
    }

    drop(searches);
    let next = stage.store.events(Default::default(), None, 10);

    let in_time = tokio::time::timeout(Duration::from_secs(5), next).await;
    assert_eq!(in_time.expect("the next search waited for nobody").unwrap().len(), 0);
}
