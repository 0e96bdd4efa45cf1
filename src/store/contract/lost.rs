//! What a PostgreSQL does that is reached over a bad line: transactions that do not begin, and
//! answers to a COMMIT that get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::stage::{LEASE, Stage, app_url, email, relay, settings};
use crate::lifecycle::Tasks;
use crate::model::audience::AudienceQuery;
use crate::model::contact::Suppression;
use crate::model::delivery::State;
use crate::model::id::RunId;
use crate::store::{Acceptance, Accepted, NewPage, Place, Store, StoreError, TakenOver};

/// What each transaction begins with.
const BEGINNING: &[u8] = b"START TRANSACTION";

/// A line to the PostgreSQL of the tests that can spoil the beginning of a transaction, or lose the
/// answer to its COMMIT.
struct BadLine {
    store: Store,
    spoils: Arc<AtomicBool>,
    loses: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Drop for BadLine {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

impl BadLine {
    /// A store that is reached by this line, on the database that was made for `name`.
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
    let line = BadLine::to(&stage, "spoilt").await;
    let batch = |id| vec![Acceptance::Planned(Box::new(stage.planned(id, 2)))];
    let suppression =
        |who| Suppression { address: email(who), reason: "operator".to_owned(), at: stage.now() };
    // Statements are prepared by then, so that all go out at once.
    line.store.accept(batch("1")).await.unwrap();
    line.store.suppress(suppression("nobody")).await.unwrap();
    let before = stage.store.ledger().await.unwrap();

    line.spoil_next_beginning();
    line.assert_spoilt(line.store.accept(batch("2")).await);
    line.spoil_next_beginning();
    line.assert_spoilt(line.store.suppress(suppression("somebody")).await);

    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!(format!("{ledger:?}"), format!("{before:?}"));
    assert_eq!(stage.store.suppressions(None, 0, 10).await.unwrap().len(), 1);
    let again = line.store.accept(batch("2")).await.unwrap();
    assert!(matches!(again[0], Accepted::Planned { planned: 2, .. }), "{again:?}");
    assert_eq!(line.store.claim(&relay(), 10, LEASE).await.unwrap().len(), 4);
    stage.assert_closed().await;
}

#[tokio::test]
async fn an_event_whose_commit_was_not_heard_of_is_a_repeat_when_it_comes_again() {
    let stage = Stage::postgres("lost_accept").await;
    let line = BadLine::to(&stage, "lost_accept").await;
    // It is decoded anew each time that it comes, and has another id of Loa's own then.
    let batch = || vec![Acceptance::Planned(Box::new(stage.planned("1", 2)))];

    line.lose_next_answer();
    line.assert_lost(line.store.accept(batch()).await);
    let again = line.store.accept(batch()).await.unwrap();

    assert!(matches!(again[0], Accepted::Repeat { .. }), "{again:?}");
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.planned, 2);
    stage.assert_closed().await;
}

#[tokio::test]
async fn an_outcome_whose_commit_was_not_heard_of_is_recorded_once() {
    let stage = Stage::postgres("lost_finish").await;
    let line = BadLine::to(&stage, "lost_finish").await;
    let id = stage.plan("1", 1).await.remove(0);
    let claim = line.store.claim(&relay(), 1, LEASE).await.unwrap().remove(0);

    line.lose_next_answer();
    line.assert_lost(line.store.finish(vec![stage.sent(&claim)]).await);
    let again = line.store.finish(vec![stage.sent(&claim)]).await.unwrap();

    assert_eq!(again[0].state, State::Sent);
    let story = stage.store.find_delivery(id).await.unwrap().unwrap();
    assert_eq!((story.delivery.state, story.attempts.len()), (State::Sent, 1));
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.states["sent"], 1);
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_claim_whose_commit_was_not_heard_of_is_taken_over_when_its_lease_ends() {
    let stage = Stage::postgres("lost_claim").await;
    let line = BadLine::to(&stage, "lost_claim").await;
    let id = stage.plan("1", 1).await.remove(0);

    line.lose_next_answer();
    line.assert_lost(line.store.claim(&relay(), 1, LEASE).await);
    let meanwhile = line.store.claim(&relay(), 1, LEASE).await.unwrap();
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let taken = line.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();

    assert_eq!(meanwhile.len(), 0, "nobody else may have it while its lease lasts");
    assert_eq!(taken.iter().map(|claim| claim.delivery.id).collect::<Vec<_>>(), [id]);
    stage.store.finish(vec![stage.sent(&taken[0])]).await.unwrap();
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_page_whose_commit_was_not_heard_of_is_planned_once() {
    let stage = Stage::postgres("lost_page").await;
    let line = BadLine::to(&stage, "lost_page").await;
    let mut big = stage.planned("1", 0);
    let query = AudienceQuery::Segment("everyone".into());
    big.pages = vec![NewPage { step: "notice".into(), query }];
    stage.accept(big).await;
    let page = line.store.claim_page(LEASE).await.unwrap().unwrap();
    let planned = || (0..3).map(|number| stage.delivery(&page.event, number)).collect();

    line.lose_next_answer();
    line.assert_lost(line.store.finish_page(page.clone(), planned(), None).await);
    line.store.finish_page(page.clone(), planned(), None).await.unwrap();

    let ledger = stage.store.ledger().await.unwrap();
    assert_eq!((ledger.events.planned, ledger.deliveries.planned), (1, 3));
    stage.assert_closed().await;
}

#[tokio::test]
async fn a_fallback_whose_taking_over_was_not_heard_of_takes_over_once() {
    let stage = Stage::postgres("lost_take_over").await;
    let line = BadLine::to(&stage, "lost_take_over").await;
    let ids = stage.plan_chain("1").await;

    let fallback = stage.claim_fallback(ids[1]).await;

    line.lose_next_answer();
    line.assert_lost(line.store.take_over_from(ids[0], fallback).await);
    let again = line.store.take_over_from(ids[0], fallback).await.unwrap();

    assert_eq!(again, TakenOver::Done);
    assert_eq!(stage.state(ids[0]).await, State::Cancelled);
    assert_eq!(stage.store.ledger().await.unwrap().deliveries.states["cancelled"], 1);
    stage.assert_closed().await;
}
