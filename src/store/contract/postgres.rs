//! What only a PostgreSQL does: what is written last, or as one, transactions that are given up, and
//! replicas.

use std::sync::Arc;

use tokio::sync::Notify;

use super::stage::{LEASE, Stage, admin_url, on_postgres, relay};
use crate::store::StoreError;
use crate::store::engine::{Value, Write};

#[tokio::test]
async fn replicas_that_postgres_waits_for_none_of_are_told() {
    // The view of the system, which only a real replica fills, stands behind one of the test's own.
    let own_first = "ALTER DATABASE {name} SET search_path = public, pg_catalog";
    let stage = Stage::postgres_after("replicas", own_first).await;
    let url = admin_url("replicas");
    let view = "CREATE TABLE pg_stat_replication (pid INT)";
    on_postgres(&url, &[view, "GRANT SELECT ON public.pg_stat_replication TO PUBLIC"]).await;
    let before = stage.store.failover_risk().await.unwrap();
    on_postgres(&url, &["INSERT INTO pg_stat_replication VALUES (1)"]).await;

    let risk = stage.store.failover_risk().await.unwrap();

    assert_eq!(before, None);
    assert!(
        risk.as_ref().is_some_and(|risk| risk.contains("none of its replicas (1 now)")),
        "{risk:?}"
    );
}

#[tokio::test]
async fn of_last_writes_of_which_one_fails_none_stays_and_the_connection_goes_on() {
    let stage = Stage::postgres("last_writes").await;
    let marker =
        |number: i64| vec!["key".into(), number.to_string().into(), number.into(), 0_i64.into()];
    let insert = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                  VALUES ($1, $2, $3, $4)";
    let write = |numbers: [i64; 2]| {
        let rows = numbers.map(marker).to_vec();
        stage.store.write(move |tx| {
            // Many statements, the commit behind them all.
            let writes: Vec<Write> =
                rows.iter().map(|row| Write::insert(insert, vec![row.clone()])).collect();
            let more = (10..60).map(|number| Write::insert(insert, vec![marker(number)]));
            let writes: Vec<Write> = writes.into_iter().chain(more).collect();
            Box::pin(async move { tx.write_last(&writes).await })
        })
    };
    let count = || {
        stage.store.read(|tx| {
            Box::pin(async move { Ok(tx.query("SELECT time FROM marker", &[]).await?.len()) })
        })
    };

    let refused = write([1, 1]).await;
    let after_the_failure = count().await.unwrap();
    write([1, 2]).await.unwrap();

    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(after_the_failure, 0);
    assert_eq!(count().await.unwrap(), 52);
}

/// Two sorts of rows about these keys; one that is too large cannot even be sent.
fn markers(keys: Vec<Value>) -> Vec<Write> {
    let insert = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                  VALUES (CAST(CAST($1 AS INT) AS TEXT), 'x', 0, 0)";
    // Each a statement of its own, which is sent by itself.
    let other = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                 VALUES ('relay', '', CAST($1 AS INT), '') ON CONFLICT DO NOTHING";
    let by_turns = [insert, other].into_iter().cycle();
    by_turns.zip(keys).map(|(sql, key)| Write::each(sql, vec![vec![key]])).collect()
}

/// How many rows those left.
async fn count_left(stage: &Stage) -> u64 {
    let count = stage.store.read(|tx| {
        let sql = "SELECT (SELECT COUNT(*) FROM marker) + (SELECT COUNT(*) FROM provider_hold)";
        Box::pin(async move { tx.query_one(sql, &[]).await?.unwrap().count(0) })
    });
    count.await.unwrap()
}

#[tokio::test]
async fn of_last_writes_of_which_one_cannot_be_sent_none_stays_and_the_connection_goes_on() {
    for place in 0..4 {
        let stage = Stage::postgres("unsent_writes").await;
        let mut keys: Vec<Value> = (1..=4_i64).map(Value::from).collect();
        // The driver refuses a number that is too large for its column, before anything goes out.
        keys[place] = i64::MAX.into();

        let refused = stage.store.write(move |tx| {
            let writes = markers(keys.clone());
            Box::pin(async move { tx.write_last(&writes).await })
        });

        assert!(refused.await.is_err(), "statement {place} was sent");
        assert_eq!(count_left(&stage).await, 0, "statement {place}");
        stage.plan("1", 1).await;
        stage.assert_closed().await;
    }
}

#[tokio::test]
async fn last_writes_that_nobody_waits_for_any_more_are_done_whole_or_not_at_all() {
    let stage = Stage::postgres("dropped_writes").await;
    let (mut whole, mut none) = (0, 0);

    // Given up after each look at it in turn, until there is nothing left to give up.
    for looks in 1..200 {
        let write = stage.store.write(|tx| {
            let writes = markers((1..=2_i64).map(Value::from).collect());
            Box::pin(async move { tx.write_last(&writes).await })
        });
        let mut write = Box::pin(write);
        let mut is_done = false;
        for _ in 0..looks {
            if is_done {
                break;
            }
            is_done = futures_util::poll!(&mut write).is_ready();
            tokio::task::yield_now().await;
        }
        drop(write);

        match count_left(&stage).await {
            0 => none += 1,
            2 => whole += 1,
            some => panic!("{some} of 2 rows stay of what was given up after {looks} looks"),
        }
        stage.store.release_provider(relay()).await.unwrap();
        let clean = stage
            .store
            .write(|tx| Box::pin(async move { tx.execute("DELETE FROM marker", &[]).await }));
        clean.await.unwrap();
        if is_done {
            break;
        }
    }

    assert!(none > 0 && whole > 0, "{none} times nothing, {whole} times all of it");
    stage.plan("1", 1).await;
    stage.assert_closed().await;
}

/// Notes each row that is written to some tables, with the statement that wrote it.
async fn note_writes(name: &str) {
    let url = admin_url(name);
    let table = "CREATE TABLE noted (number SERIAL, name TEXT, at TIMESTAMPTZ \
                 DEFAULT statement_timestamp())";
    let note = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
                'BEGIN INSERT INTO noted (name) VALUES (TG_TABLE_NAME); RETURN NEW; END'";
    on_postgres(&url, &[table, "GRANT SELECT ON noted TO PUBLIC", note]).await;
    for table in ["marker", "provider_hold", "suppression"] {
        let before = format!(
            "CREATE TRIGGER a BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION note()"
        );
        on_postgres(&url, &[&before]).await;
    }
}

/// The tables that were written to, row by row, and by how many statements.
async fn noted(stage: &Stage) -> (Vec<String>, u64) {
    let found = stage.store.read(|tx| {
        Box::pin(async move {
            let order = tx.query("SELECT name FROM noted ORDER BY number", &[]).await?;
            let names = order.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
            let statements = "SELECT COUNT(DISTINCT at) FROM noted";
            let statements = tx.query_one(statements, &[]).await?.unwrap();
            Ok((names, statements.count(0)?))
        })
    });
    found.await.unwrap()
}

/// Writes to three tables, the second one so many rows.
fn three(rows: i64) -> [Write; 3] {
    let suppression = "INSERT INTO suppression (address, channel, reason, at) \
                       VALUES ($1, 'email', 'operator', 0)";
    let marker = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                  VALUES ($1, $2, $3, $4)";
    let hold = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                VALUES ($1, '', 0, '')";
    let row =
        |number: i64| vec!["key".into(), number.to_string().into(), number.into(), 0_i64.into()];
    [
        Write::insert(suppression, vec![vec!["an@example.test".into()]]),
        Write::insert(marker, (0..rows).map(row).collect()),
        Write::insert(hold, vec![vec!["relay".into()]]),
    ]
}

#[tokio::test]
async fn a_few_writes_that_are_apart_go_as_one_statement_and_are_run_in_their_order() {
    let stage = Stage::postgres("apart").await;
    note_writes("apart").await;

    let written = stage.store.write(|tx| {
        let writes = three(2).map(Write::apart);
        Box::pin(async move { tx.write_last(&writes).await })
    });
    written.await.unwrap();

    let (order, statements) = noted(&stage).await;
    assert_eq!(order, ["suppression", "marker", "marker", "provider_hold"]);
    assert_eq!(statements, 1);
}

#[tokio::test]
async fn writes_of_which_one_is_not_apart_or_that_are_many_go_each_by_itself() {
    for (rows, are_apart) in [(2, false), (31, true)] {
        let stage = Stage::postgres("not_apart").await;
        note_writes("not_apart").await;

        let written = stage.store.write(move |tx| {
            let [first, second, third] = three(rows);
            let third = if are_apart { third.apart() } else { third };
            let writes = [first.apart(), second.apart(), third];
            Box::pin(async move { tx.write_last(&writes).await })
        });
        written.await.unwrap();

        assert_eq!(noted(&stage).await.1, 3, "{rows} rows");
    }
}

/// A statement that writes.
const HOLD: &str = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                    VALUES ('relay', '', 0, '')";

#[tokio::test]
async fn a_read_that_writes_is_a_fault_and_no_outage() {
    let stage = Stage::postgres("wrote").await;

    let done = stage.store.read(|tx| Box::pin(async move { tx.execute(HOLD, &[]).await }));

    let error = done.await.unwrap_err();
    assert!(matches!(&error, StoreError::Broken(why) if why.contains("25006")), "{error:?}");
}

#[tokio::test]
async fn a_transaction_that_goes_on_after_an_error_is_not_committed() {
    let stage = Stage::postgres("went_on").await;

    let done = stage.store.write(|tx| {
        Box::pin(async move {
            tx.execute(HOLD, &[]).await?;
            assert!(tx.query("SELECT 1 FROM nowhere", &[]).await.is_err());
            assert!(matches!(tx.execute(HOLD, &[]).await, Err(StoreError::Broken(_))));
            Ok(())
        })
    });

    assert!(matches!(done.await, Err(StoreError::Broken(_))));
    assert_eq!(stage.store.provider_holds().await.unwrap().len(), 0);
}

#[tokio::test]
async fn nothing_stays_of_a_transaction_that_is_given_up_half_way() {
    let stage = Stage::postgres("given_up").await;
    let hold =
        "INSERT INTO provider_hold (provider, reason, since, held_by) VALUES ($1, '', 0, '')";
    let (half_way, waits) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reached, never) = (Arc::clone(&half_way), Arc::clone(&waits));
    let work = stage.store.write(move |tx| {
        let (reached, never) = (Arc::clone(&reached), Arc::clone(&never));
        Box::pin(async move {
            tx.execute(hold, &["relay".into()]).await?;
            reached.notify_one();
            never.notified().await;
            Ok(())
        })
    });

    tokio::select! {
        _ = work => panic!("it waits for ever"),
        () = half_way.notified() => {}
    }

    // On the same connection, which the pool gives out again.
    stage.plan("1", 1).await;
    assert_eq!(stage.store.provider_holds().await.unwrap().len(), 0);
    assert_eq!(stage.store.claim(&relay(), 1, LEASE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_goes_no_further_once_its_last_writes_are_done() {
    let stage = Stage::postgres("after_last").await;
    let insert = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                  VALUES ($1, '', 0, '')";

    let refused = stage.store.write(move |tx| {
        Box::pin(async move {
            tx.write_last(&[Write::insert(insert, vec![vec!["one".into()]])]).await?;
            tx.execute(insert, &["two".into()]).await
        })
    });

    assert!(matches!(refused.await, Err(StoreError::Broken(_))));
    assert_eq!(stage.store.provider_holds().await.unwrap().len(), 1);
}
