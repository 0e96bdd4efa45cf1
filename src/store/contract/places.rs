//! Where a store is, and what it says when it cannot be there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::SignedDuration;
use tempfile::TempDir;

use super::stage::{Stage, admin_url, on_postgres, settings};
use crate::clock::Clock;
use crate::model::id::RunId;
use crate::store::engine::sqlite::READERS;
use crate::store::{Onlooker, Place, Store, StoreError};

on_both_stores!(
    a_newer_schema_is_refused_in_one_sentence,
    a_migration_with_another_text_is_refused_in_one_sentence,
    a_schema_that_is_up_to_date_is_left_alone,
);

/// Runs one statement, whatever it does to the store.
async fn change(stage: &Stage, sql: &'static str) -> u64 {
    let change = stage.store.write(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }));
    change.await.unwrap()
}

/// What migrating says of a schema that is wrong.
async fn refusal(stage: &Stage) -> String {
    match stage.store.migrate().await {
        Err(StoreError::Wrong(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn a_newer_schema_is_refused_in_one_sentence(stage: Stage) {
    change(&stage, "INSERT INTO migration VALUES (9999, '9999_future', 'x', 0)").await;

    let text = refusal(&stage).await;

    assert_eq!(
        text,
        "the schema holds migration 9999_future, which this version of Loa does not know; start \
         the newer version"
    );
}

async fn a_migration_with_another_text_is_refused_in_one_sentence(stage: Stage) {
    change(&stage, "UPDATE migration SET checksum = 'x' WHERE number = 1").await;

    let text = refusal(&stage).await;

    assert_eq!(
        text,
        "migration 0001_ledger was applied with another text; restore the schema from a backup"
    );
}

async fn a_schema_that_is_up_to_date_is_left_alone(stage: Stage) {
    stage.plan("1", 1).await;

    assert!(stage.store.migrate().await.unwrap().is_empty());

    stage.assert_closed().await;
}

async fn open(path: &Path) -> Result<Store, StoreError> {
    let clock = Clock::system();
    let run = RunId::new(clock.now());
    Store::open(settings(Place::Sqlite(path.to_owned())), clock, run).await
}

#[tokio::test]
async fn a_process_whose_clock_is_wrong_goes_by_the_one_of_postgres() {
    let (right, wrong) = (Clock::system(), Clock::system());
    wrong.shift(SignedDuration::from_hours(1));
    let _made = Stage::bare_postgres("wrong_clock").await;
    let store = Stage::again("wrong_clock", wrong.clone());

    store.is_empty().await.unwrap();

    let off = wrong.now().duration_since(right.now()).abs();
    assert!(off < SignedDuration::from_mins(1), "{off}");
}

#[tokio::test]
async fn an_onlooker_sees_what_is_claimed_and_takes_no_lock_sqlite() {
    let stage = Stage::sqlite().await;
    stage.plan("1", 1).await;
    let onlooker = Onlooker::new(&Place::Sqlite(stage.path()), Clock::system()).unwrap();
    assert_eq!(onlooker.claimed().await.unwrap(), []);

    let claimed = stage.claim().await;

    let seen = onlooker.claimed().await.unwrap();
    let expected: Vec<_> = claimed.iter().map(|one| (one.delivery.id, stage.store.run())).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused_and_named() {
    let stage = Stage::sqlite().await;

    let Err(StoreError::Wrong(text)) = open(&stage.path()).await else { panic!("it opened") };

    assert!(text.contains("is in use by another Loa"), "{text}");
}

#[tokio::test]
async fn nobody_but_its_owner_reads_what_a_data_folder_holds() {
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("data");
    let store = open(&folder.join("loa.db")).await.unwrap();
    store.migrate().await.unwrap();
    let copy = folder.join("copy.db");
    crate::store::backup(&folder.join("loa.db"), &copy).await.unwrap();

    let modes: std::collections::BTreeMap<_, _> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode()))
        .collect();

    for name in ["loa.db", "loa.db-wal", "loa.db-shm", "loa.lock", "copy.db"] {
        assert_eq!(modes[std::ffi::OsStr::new(name)] & 0o077, 0, "{name}: {modes:?}");
    }
    let own = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(own & 0o077, 0, "{own:o}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let (from, to) = (folder.path().join("loa.db"), folder.path().join("copy.db"));
    std::fs::write(&from, "this is no database").unwrap();

    assert!(crate::store::backup(&from, &to).await.is_err());

    assert!(!to.exists());
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_is_refused_and_named() {
    let folder = TempDir::new().unwrap();
    // A file in the folder's place: nobody, not even root, can write below it.
    let file = folder.path().join("data");
    std::fs::write(&file, "").unwrap();

    let Err(StoreError::Wrong(text)) = open(&file.join("loa.db")).await else {
        panic!("it opened")
    };

    assert!(text.contains("cannot write to the data folder"), "{text}");
    assert!(text.contains("name another with --data-dir"), "{text}");
}

#[tokio::test]
async fn every_sqlite_connection_waits_keeps_references_and_syncs() {
    let stage = Stage::sqlite().await;
    let pragmas =
        [("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1), ("PRAGMA busy_timeout", 5000)];

    for (pragma, expected) in pragmas {
        let write = stage.store.write(move |tx| {
            Box::pin(async move { tx.query_one(pragma, &[]).await?.unwrap().int(0) })
        });
        assert_eq!(write.await.unwrap(), expected, "{pragma} of the writer");
        // As many reads as there may be at once, none of which ends before all have begun: each
        // has a connection of its own.
        let all = Arc::new(Barrier::new(READERS));
        let reads = (0..READERS).map(|_| {
            let all = Arc::clone(&all);
            stage.store.read(move |tx| {
                all.wait();
                Box::pin(async move { tx.query_one(pragma, &[]).await?.unwrap().int(0) })
            })
        });
        let found = try_join_all(reads).await.unwrap();
        assert_eq!(found, [expected; READERS], "{pragma} of the readers");
    }
    let mode = stage.store.read(|tx| {
        Box::pin(async move { tx.query_one("PRAGMA journal_mode", &[]).await?.unwrap().text(0) })
    });
    assert_eq!(mode.await.unwrap(), "wal");
}

#[tokio::test]
async fn a_process_goes_by_the_clock_of_its_postgres_and_not_by_its_own() {
    let _made = Stage::postgres("clock").await;
    let (clock, own) = (Clock::system(), Clock::system());
    let hour = Duration::from_hours(1);
    clock.follow(own.now() + hour, Duration::ZERO);

    let store = Stage::again("clock", clock.clone());
    store.ledger().await.unwrap();

    let apart = clock.now().duration_since(own.now()).unsigned_abs();
    assert!(apart < Duration::from_mins(1), "{apart:?}");
}

#[tokio::test]
async fn migrations_and_audits_of_a_big_postgres_take_longer_than_a_usual_statement_may() {
    let stage = Stage::postgres("at_length").await;
    stage.plan("1", 1).await;
    let slow = |table: &str| {
        format!(
            "ALTER TABLE {table} RENAME TO {table}_rows; CREATE VIEW {table} AS \
             WITH slow AS MATERIALIZED (SELECT pg_sleep(10.5)) \
             SELECT {table}_rows.* FROM {table}_rows, slow; GRANT SELECT ON {table} TO PUBLIC"
        )
    };
    let statements = [slow("migration"), slow("counter")];
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    on_postgres(&admin_url("at_length"), &statements).await;

    let (applied, found) = tokio::join!(stage.store.migrate(), stage.store.audit());

    assert!(applied.unwrap().is_empty());
    assert_eq!(found.unwrap(), []);
    let usual = stage.store.ledger().await;
    assert!(matches!(usual, Err(StoreError::Unreachable(_))), "{usual:?}");
}
