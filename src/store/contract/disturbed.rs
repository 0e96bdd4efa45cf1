//! What a store on PostgreSQL does when the database ends what it has begun, or lets nobody in.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::Barrier;

use super::stage::{Stage, admin_url, on_postgres};
use crate::store::{Acceptance, StoreError};

/// How many connections the stores of contracts have.
const CONNECTIONS: usize = 8;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_postgres_connection_keeps_what_it_commits_though_the_database_would_not() {
    let lax = "ALTER DATABASE {name} SET synchronous_commit = off; \
               ALTER DATABASE {name} SET statement_timeout = 0; \
               ALTER DATABASE {name} SET lock_timeout = 0; \
               ALTER DATABASE {name} SET idle_in_transaction_session_timeout = 0; \
               ALTER DATABASE {name} SET max_parallel_workers_per_gather = 4";
    let stage = Stage::postgres_after("lax", lax).await;
    let settings = [
        ("SHOW synchronous_commit", "on"),
        ("SHOW statement_timeout", "10s"),
        ("SHOW lock_timeout", "5s"),
        ("SHOW idle_in_transaction_session_timeout", "10s"),
        ("SHOW enable_seqscan", "off"),
        ("SHOW jit", "off"),
        ("SHOW max_parallel_workers_per_gather", "0"),
    ];

    for (setting, expected) in settings {
        // As many transactions as there are connections, none of which ends before all have begun.
        let all = Arc::new(Barrier::new(CONNECTIONS));
        let shown = (0..CONNECTIONS).map(|_| {
            let all = Arc::clone(&all);
            stage.store.read(move |tx| {
                Box::pin(async move {
                    all.wait().await;
                    tx.query_one(setting, &[]).await?.unwrap().text(0)
                })
            })
        });
        assert_eq!(try_join_all(shown).await.unwrap(), [expected; CONNECTIONS], "{setting}");
    }
}

/// Accepts an event, again as long as the store may come back; returns how often it was refused.
async fn accept_stubbornly(stage: &Stage, id: &str) -> usize {
    let planned = stage.planned(id, 2);
    let accept = async {
        let mut refused = 0;
        while let Err(error) =
            stage.store.accept(vec![Acceptance::Planned(Box::new(planned.clone()))]).await
        {
            assert!(error.is_temporary(), "{error:?}");
            refused += 1;
        }
        refused
    };
    tokio::time::timeout(PATIENCE, accept).await.unwrap()
}

#[tokio::test]
async fn a_store_goes_on_when_postgres_ends_its_connections() {
    let stage = Stage::postgres("cut_off").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE usename = 'contract_cut_off_app'";

    for id in 0..20 {
        on_postgres(&admin_url("cut_off"), &[end]).await;
        // The first call may meet a connection that has just ended; the next ones must not.
        assert!(accept_stubbornly(&stage, &id.to_string()).await < 10);
    }

    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 40);
    stage.assert_closed().await;
}

#[tokio::test]
async fn while_postgres_ends_connections_all_the_time_no_event_is_lost_or_planned_twice() {
    let stage = Stage::postgres("cut_down").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE usename = 'contract_cut_down_app'";
    let ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();

    let accept = join_all(ids.iter().map(|id| accept_stubbornly(&stage, id)));
    let cut = async {
        for _ in 0..10 {
            on_postgres(&admin_url("cut_down"), &[end]).await;
        }
    };
    tokio::join!(accept, cut);

    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!((ledger.events.planned, ledger.deliveries.planned), (60, 120));
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_transaction_whose_postgres_backend_ends_leaves_nothing() {
    let stage = Stage::postgres("ended").await;

    let ended = stage.store.write(|tx| {
        Box::pin(async move {
            let insert = "INSERT INTO suppression (address, channel, reason, at) \
                          VALUES ('an@example.test', 'email', 'operator', 0)";
            tx.execute(insert, &[]).await?;
            tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await?;
            tx.query("SELECT 1", &[]).await
        })
    });
    let error = ended.await.map(drop).unwrap_err();

    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(stage.store.suppressions(None, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_transaction_that_stands_idle_too_long_is_ended_by_postgres_and_leaves_nothing() {
    let stage = Stage::postgres("idle").await;
    let gone = "DO $$ BEGIN \
                WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = 'contract_idle' \
                AND state LIKE 'idle in transaction%') LOOP \
                PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$";

    let idle = stage.store.write(move |tx| {
        Box::pin(async move {
            let insert = "INSERT INTO suppression (address, channel, reason, at) \
                          VALUES ('an@example.test', 'email', 'operator', 0)";
            tx.execute(insert, &[]).await?;
            let soon = "SET LOCAL idle_in_transaction_session_timeout = '50ms'";
            tx.execute(soon, &[]).await?;
            on_postgres(&admin_url("idle"), &[gone]).await;
            tx.query("SELECT 1", &[]).await
        })
    });
    let error = idle.await.map(drop).unwrap_err();

    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(stage.store.suppressions(None, 0, 10).await.unwrap().is_empty());
    assert_eq!(accept_stubbornly(&stage, "1").await, 0, "the connection is met no more");
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_store_that_postgres_gives_few_connections_or_none_waits_and_goes_on() {
    let stage = Stage::postgres("crowded").await;
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    let limit = |count: i32| format!("ALTER DATABASE contract_crowded CONNECTION LIMIT {count}");

    on_postgres(&admin_url("crowded"), &[&limit(2)]).await;
    join_all(ids.iter().map(|id| accept_stubbornly(&stage, id))).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE usename = 'contract_crowded_app'";
    on_postgres(&admin_url("crowded"), &[&limit(0), end]).await;
    let shut_out = tokio::time::timeout(PATIENCE, async {
        loop {
            // The first call may meet a connection that has just ended.
            let error = stage.store.ledger().await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
            if error.to_string().contains("53300") {
                return;
            }
        }
    });
    shut_out.await.unwrap();
    on_postgres(&admin_url("crowded"), &[&limit(-1)]).await;

    assert!(accept_stubbornly(&stage, "afterwards").await < 10);
    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!((ledger.events.planned, ledger.deliveries.planned), (41, 82));
    stage.assert_closed().await;
}
