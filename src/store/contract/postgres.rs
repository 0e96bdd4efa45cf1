//! What only a PostgreSQL does: transactions that do not begin, an answer to a COMMIT that gets
//! lost, and replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use url::Url;

use super::stage::{LEASE, Stage, admin_url, app_url, on_postgres, relay, settings};
use crate::lifecycle::Tasks;
use crate::model::audience::AudienceQuery;
use crate::model::delivery::State;
use crate::model::id::RunId;
use crate::store::engine::{Value, Write};
use crate::store::{Acceptance, Accepted, NewPage, Place, Store, StoreError, TakenOver};

/// What each transaction begins with.
const BEGINNING: &[u8] = b"START TRANSACTION";

/// A way to the PostgreSQL of the tests that can spoil the beginning of a transaction, or lose the
/// answer to its COMMIT.
struct Way {
    store: Store,
    spoils: Arc<AtomicBool>,
    loses: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

impl Way {
    /// A store that is reached by this way, on the database that was made for `name`.
    async fn to(stage: &Stage, name: &str) -> Self {
        let mut url = Url::parse(&app_url(name)).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let place = Place::Postgres { url: url.to_string().into(), connections: 4 };
        let run = RunId::new(stage.now());
        let store = Store::open_as_it_is(settings(place), stage.clock.clone(), run).unwrap();
        let (spoils, loses) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (armed, tasks) = ((Arc::clone(&spoils), Arc::clone(&loses)), Tasks::new());
        let carriers = tasks.clone();
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, (spoils, loses)) = (target.clone(), armed.clone());
                carriers.spawn(async move {
                    // However it ends, both ends see that it is over.
                    drop(carry(client, &target, (&spoils, &loses)).await);
                });
            }
        });
        Self { store, spoils, loses, tasks }
    }

    /// Makes of the next beginning of a transaction something that PostgreSQL refuses.
    fn spoil_next_beginning(&self) {
        self.spoils.store(true, Ordering::SeqCst);
    }

    fn assert_spoilt<T: std::fmt::Debug>(&self, answer: Result<T, StoreError>) {
        assert!(!self.spoils.load(Ordering::SeqCst), "no transaction began");
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("BEGUN"), "{error}");
    }

    /// Loses the answer to the next COMMIT, and the connection with it.
    fn lose_next_answer(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    fn assert_lost<T: std::fmt::Debug>(&self, answer: Result<T, StoreError>) {
        assert!(!self.loses.load(Ordering::SeqCst), "nothing was committed");
        assert!(matches!(answer, Err(StoreError::Unreachable(_))), "{answer:?}");
    }
}

async fn carry(
    mut client: TcpStream,
    target: &str,
    (spoils, loses): (&AtomicBool, &AtomicBool),
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let asked = asked.get_mut(..count?).filter(|bytes| !bytes.is_empty());
                let Some(asked) = asked else { return Ok(()) };
                if let Some(at) = asked.windows(BEGINNING.len()).position(|word| word == BEGINNING)
                    && spoils.swap(false, Ordering::SeqCst)
                {
                    asked[at..at + BEGINNING.len()].copy_from_slice(b"BEGUN TRANSACTION");
                }
                let is_commit = asked.windows(7).any(|word| word == b"COMMIT\0");
                server.write_all(asked).await?;
                if is_commit && loses.swap(false, Ordering::SeqCst) {
                    return hear_of_commit(&mut server).await;
                }
            }
            count = server.read(&mut answered) => {
                let answered = answered.get(..count?).filter(|bytes| !bytes.is_empty());
                let Some(answered) = answered else { return Ok(()) };
                client.write_all(answered).await?;
            }
        }
    }
}

/// Reads up to the answer to a COMMIT, which comes once it is done; nobody else hears of it.
async fn hear_of_commit(server: &mut TcpStream) -> std::io::Result<()> {
    let mut answers = Vec::new();
    while !answers.windows(7).any(|word| word == b"COMMIT\0") {
        answers.push(server.read_u8().await?);
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_written_if_a_transaction_does_not_begin() {
    let stage = Stage::postgres("spoilt").await;
    let way = Way::to(&stage, "spoilt").await;
    let batch = |id| vec![Acceptance::Planned(Box::new(stage.planned(id, 2)))];
    // Statements are prepared by then, so that all go out at once.
    way.store.accept(batch("1")).await.unwrap();
    let before = stage.store.ledger().await.unwrap();

    way.spoil_next_beginning();
    way.assert_spoilt(way.store.accept(batch("2")).await);
    way.spoil_next_beginning();
    way.assert_spoilt(way.store.claim(&relay(), 1, LEASE).await);

    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!(format!("{ledger:?}"), format!("{before:?}"));
    let again = way.store.accept(batch("2")).await.unwrap();
    assert!(matches!(again[0], Accepted::Planned { planned: 2, .. }), "{again:?}");
    assert_eq!(way.store.claim(&relay(), 10, LEASE).await.unwrap().len(), 4);
    stage.assert_closed().await;
}

#[tokio::test]
async fn an_event_whose_commit_was_not_heard_of_is_a_repeat_when_it_comes_again() {
    let stage = Stage::postgres("lost_accept").await;
    let way = Way::to(&stage, "lost_accept").await;
    // It is decoded anew each time that it comes, and has another id of Loa's own then.
    let batch = || vec![Acceptance::Planned(Box::new(stage.planned("1", 2)))];

    way.lose_next_answer();
    way.assert_lost(way.store.accept(batch()).await);
    let again = way.store.accept(batch()).await.unwrap();

    assert!(matches!(again[0], Accepted::Repeat { .. }), "{again:?}");
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 2);
    stage.assert_closed().await;
}

#[tokio::test]
async fn an_outcome_whose_commit_was_not_heard_of_is_recorded_once() {
    let stage = Stage::postgres("lost_finish").await;
    let way = Way::to(&stage, "lost_finish").await;
    let id = stage.plan("1", 1).await.remove(0);
    let claim = way.store.claim(&relay(), 1, LEASE).await.unwrap().remove(0);

    way.lose_next_answer();
    way.assert_lost(way.store.finish(vec![stage.sent(&claim)]).await);
    let again = way.store.finish(vec![stage.sent(&claim)]).await.unwrap();

    assert_eq!(again[0].state, State::Sent);
    let story = stage.store.find_delivery(id).await.unwrap().unwrap();
    assert_eq!((story.delivery.state, story.attempts.len()), (State::Sent, 1));
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.states["sent"], 1);
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_claim_whose_commit_was_not_heard_of_is_taken_over_when_its_lease_ends() {
    let stage = Stage::postgres("lost_claim").await;
    let way = Way::to(&stage, "lost_claim").await;
    let id = stage.plan("1", 1).await.remove(0);

    way.lose_next_answer();
    way.assert_lost(way.store.claim(&relay(), 1, LEASE).await);
    let meanwhile = way.store.claim(&relay(), 1, LEASE).await.unwrap();
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = way.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();

    assert_eq!(meanwhile.len(), 0, "nobody else may have it while its lease lasts");
    assert_eq!(taken.iter().map(|claim| claim.delivery.id).collect::<Vec<_>>(), [id]);
    stage.store.finish(vec![stage.sent(&taken[0])]).await.unwrap();
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_page_whose_commit_was_not_heard_of_is_planned_once() {
    let stage = Stage::postgres("lost_page").await;
    let way = Way::to(&stage, "lost_page").await;
    let mut big = stage.planned("1", 0);
    let query = AudienceQuery::Segment("everyone".into());
    big.pages = vec![NewPage { step: "notice".into(), query }];
    stage.accept(big).await;
    let page = way.store.claim_page(LEASE).await.unwrap().unwrap();
    let planned = || (0..3).map(|number| stage.delivery(&page.event, number)).collect();

    way.lose_next_answer();
    way.assert_lost(way.store.finish_page(page.clone(), planned(), None).await);
    way.store.finish_page(page.clone(), planned(), None).await.unwrap();

    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!((ledger.events.planned, ledger.deliveries.planned), (1, 3));
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_fallback_whose_taking_over_was_not_heard_of_takes_over_once() {
    let stage = Stage::postgres("lost_take_over").await;
    let way = Way::to(&stage, "lost_take_over").await;
    let ids = stage.plan_chain("1").await;

    let fallback = stage.claim_fallback(ids[1]).await;

    way.lose_next_answer();
    way.assert_lost(way.store.take_over_from(ids[0], fallback).await);
    let again = way.store.take_over_from(ids[0], fallback).await.unwrap();

    assert_eq!(again, TakenOver::Done);
    assert_eq!(stage.state(ids[0]).await, State::Cancelled);
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.states["cancelled"], 1);
    stage.assert_closed().await;
}

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

#[tokio::test]
async fn writes_that_are_apart_go_as_one_statement_and_are_run_in_their_order() {
    let stage = Stage::postgres("apart").await;
    let url = admin_url("apart");
    let note = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
                'BEGIN INSERT INTO noted (name) VALUES (TG_TABLE_NAME); RETURN NEW; END'";
    let before = |table| {
        format!("CREATE TRIGGER a BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION note()")
    };
    let table = "CREATE TABLE noted (number SERIAL, name TEXT, at TIMESTAMPTZ \
                 DEFAULT statement_timestamp())";
    on_postgres(&url, &[table, "GRANT SELECT ON noted TO PUBLIC", note]).await;
    on_postgres(&url, &[&before("marker"), &before("provider_hold"), &before("suppression")]).await;
    let marker = || {
        let insert = "INSERT INTO marker (business_key, event_type, time, expires_at) \
                      VALUES ($1, $2, $3, $4)";
        let row = |key: &str| vec![key.into(), "x".into(), 0_i64.into(), 0_i64.into()];
        Write::insert(insert, vec![row("a"), row("b")])
    };
    let hold = || {
        let insert = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                      VALUES ($1, '', 0, '')";
        Write::insert(insert, vec![vec!["relay".into()]])
    };
    let suppression = || {
        let insert = "INSERT INTO suppression (address, channel, reason, at) \
                      VALUES ($1, 'email', 'operator', 0)";
        Write::insert(insert, vec![vec!["an@example.test".into()]])
    };

    let written = stage.store.write(move |tx| {
        let writes = [suppression().apart(), marker().apart(), hold().apart()];
        Box::pin(async move { tx.write_last(&writes).await })
    });
    written.await.unwrap();

    let found = stage.store.read(|tx| {
        Box::pin(async move {
            let order = tx.query("SELECT name FROM noted ORDER BY number", &[]).await?;
            let statements = "SELECT COUNT(DISTINCT at) FROM noted";
            let names = order.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
            let statements = tx.query_one(statements, &[]).await?.unwrap();
            Ok((names, statements.count(0)?))
        })
    });
    let (order, statements) = found.await.unwrap();
    assert_eq!(order, ["suppression", "marker", "marker", "provider_hold"]);
    assert_eq!(statements, 1);
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
