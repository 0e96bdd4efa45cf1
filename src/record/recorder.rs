//! Writes outcomes in batches, without a task of its own.
//!
//! Whoever has something to record while few enough write becomes a writer. Whoever comes meanwhile
//! waits; a writer that ends hands all that was queued to the first of those who wait, to be
//! written as one. A writer who comes soon after another one began first gathers what comes within
//! [`GATHER`] of that. So a single outcome is written at once, at a steady pace a few share one
//! transaction, and under load many do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::error;

use crate::model::delivery::Settlement;
use crate::model::outcome::Answer;
use crate::store::waits::Waits;
use crate::store::{Finish, Finished, Store, StoreError};
use crate::telemetry::Metrics;

use super::late::Late;

/// The most outcomes of one transaction.
const MAX_BATCH: usize = 500;
/// For how long after a write began a new writer gathers others, unless [`MANY`] wait for it; a pen
/// that was waited for writes at once. Nobody waits for what is recorded but who looks at the
/// ledger: the slot of the call is free by then.
const GATHER: Duration = Duration::from_millis(20);
/// So many outcomes are not kept waiting.
const MANY: usize = 64;
/// The longest wait before a failed write is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Records outcomes.
#[derive(Clone)]
pub struct Recorder {
    store: Store,
    metrics: Arc<Metrics>,
    desk: Arc<Mutex<Desk>>,
    late: Late,
}

/// What waits to be written, and how many more may write.
struct Desk {
    waiting: Vec<(Finish, oneshot::Sender<Turn>)>,
    free_pens: usize,
    /// When the latest write began.
    began: Option<Instant>,
    /// The writer who gathers, if there is one, is told by this that many wait.
    gatherer: Option<Arc<Notify>>,
}

/// What one who waits gets.
enum Turn {
    /// Its outcome is written.
    Done(Finished),
    /// It is to write these.
    Write(Batch),
}

/// Outcomes to be written as one; the first is the writer's own.
struct Batch {
    finishes: Vec<Finish>,
    /// Those who wait for the others.
    others: Vec<oneshot::Sender<Turn>>,
    pen: Pen,
}

/// The right to write; dropped, it goes to whoever waits.
struct Pen {
    desk: Arc<Mutex<Desk>>,
    /// Whoever holds it gathers what comes until then, or until he is told that many wait.
    gathers_until: Option<(Instant, Arc<Notify>)>,
}

impl Recorder {
    /// A recorder that lets `writers` transactions be under way at once.
    pub fn new(store: Store, metrics: Arc<Metrics>, writers: usize) -> Self {
        let desk = Desk { waiting: Vec::new(), free_pens: writers, began: None, gatherer: None };
        Self { store, metrics, desk: Arc::new(Mutex::new(desk)), late: Late::default() }
    }

    /// Returns once `finish` is committed.
    ///
    /// While the store cannot be reached it goes on trying: the claim's lease ends if it takes too
    /// long, and whoever claims the delivery next records this attempt as unknown.
    pub async fn record(&self, finish: Finish) -> Finished {
        let Settlement { state, reason, .. } = finish.settlement;
        #[cfg(test)]
        if crate::sabotage::is(crate::sabotage::Sabotage::ForgetsToRecord)
            && fastrand::u8(..10) == 0
        {
            return Finished { state, reason, was_claimed: true };
        }
        let turn = match self.sit_down(finish) {
            Ok(batch) => Turn::Write(batch),
            Err(turn) => match turn.await {
                Ok(turn) => turn,
                // The writer broke down half-way: as with a process that died, the lease ends.
                Err(_) => return Finished { state, reason, was_claimed: false },
            },
        };
        match turn {
            Turn::Done(finished) => finished,
            Turn::Write(batch) => {
                let own = self.write(gathered(batch).await).await;
                own.unwrap_or(Finished { state, reason, was_claimed: false })
            }
        }
    }

    /// A batch of this outcome alone if there is a pen for it, or to gather others with; else its
    /// turn comes later.
    fn sit_down(&self, finish: Finish) -> Result<Batch, oneshot::Receiver<Turn>> {
        let mut desk = lock(&self.desk);
        if desk.free_pens > 0 && desk.gatherer.is_none() {
            desk.free_pens -= 1;
            let now = Instant::now();
            let mut pen = Pen { desk: Arc::clone(&self.desk), gathers_until: None };
            let next = desk.began.map(|began| began + GATHER).filter(|next| *next > now);
            match next.filter(|_| desk.waiting.len() < MANY) {
                Some(next) => {
                    let told = Arc::new(Notify::new());
                    desk.gatherer = Some(Arc::clone(&told));
                    pen.gathers_until = Some((next, told));
                }
                None => desk.began = Some(now),
            }
            return Ok(Batch { finishes: vec![finish], others: Vec::new(), pen });
        }
        let (sender, turn) = oneshot::channel();
        desk.waiting.push((finish, sender));
        if let Some(gatherer) = desk.gatherer.as_ref().filter(|_| desk.waiting.len() >= MANY) {
            gatherer.notify_one();
        }
        Err(turn)
    }

    /// Writes a batch as one transaction, and tells the others; returns what is the writer's own.
    async fn write(&self, batch: Batch) -> Option<Finished> {
        let Batch { finishes, others, pen } = batch;
        let mut finished = self.write_until_done(finishes).await.into_iter();
        drop(pen);
        let own = finished.next();
        for (other, finished) in others.into_iter().zip(finished) {
            // One that is gone was dropped by a hard stop; its outcome is recorded.
            drop(other.send(Turn::Done(finished)));
        }
        own
    }

    /// Tries until the store takes it; the caller's lease or a hard stop bounds how long.
    ///
    /// What it will never take, it is not asked for again and again: such a batch is written in
    /// halves, and the one that is to blame without its provider's words.
    async fn write_until_done(&self, finishes: Vec<Finish>) -> Vec<Finished> {
        let mut wait = Duration::from_millis(100);
        let (mut waiting, mut waits) = (None, Waits::default());
        loop {
            let began = Instant::now();
            match self.store.finish(finishes.clone()).await {
                Ok(finished) => {
                    self.metrics.count_batch("finish", finished.len() as u64, began.elapsed());
                    return finished;
                }
                Err(StoreError::Broken(why) | StoreError::Refused(why)) => {
                    return self.write_in_halves(finishes, &why).await;
                }
                Err(error) => {
                    let what = format!("{} outcomes wait to be recorded", finishes.len());
                    waits.say(&what, &error);
                    waiting.get_or_insert_with(|| self.late.wait(finishes.len() as u64));
                }
            }
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn write_in_halves<'a>(
        &'a self,
        mut finishes: Vec<Finish>,
        why: &'a str,
    ) -> BoxFuture<'a, Vec<Finished>> {
        Box::pin(async move {
            let rest = finishes.split_off(finishes.len() / 2);
            if finishes.is_empty() {
                let mut finished = Vec::new();
                for finish in rest {
                    finished.push(self.write_plainly(finish, why).await);
                }
                return finished;
            }
            let mut finished = self.write_until_done(finishes).await;
            finished.extend(self.write_until_done(rest).await);
            finished
        })
    }

    /// Writes one outcome without what its provider said; if that does not go either, the lease
    /// ends.
    async fn write_plainly(&self, finish: Finish, why: &str) -> Finished {
        let id = finish.claimed.delivery.id;
        let Settlement { state, reason, .. } = finish.settlement;
        error!(delivery.id = %id, error = why, "the store does not take the answer about delivery {id}: {why}");
        match self.store.finish(vec![plain(finish)]).await {
            Ok(finished) => finished.into_iter().next(),
            Err(error) => {
                error!(delivery.id = %id, %error, "could not record delivery {id}; its lease will end");
                None
            }
        }
        .unwrap_or(Finished { state, reason, was_claimed: false })
    }
}

/// An outcome without texts that come from outside.
fn plain(mut finish: Finish) -> Finish {
    if let Some(attempt) = &mut finish.attempt {
        attempt.answer = Answer::new(None, "the store did not take what the provider answered");
    }
    finish.settlement.provider_message_id = None;
    finish.settlement.detail = None;
    finish.captured = None;
    finish
}

/// A batch with all that comes until it is to be written.
async fn gathered(mut batch: Batch) -> Batch {
    let Some((until, told)) = &batch.pen.gathers_until else { return batch };
    tokio::select! {
        () = tokio::time::sleep_until(*until) => {}
        () = told.notified() => {}
    }
    batch.pen.gathers_until = None;
    let mut desk = lock(&batch.pen.desk);
    desk.gatherer = None;
    desk.began = Some(Instant::now());
    for (finish, other) in desk.take_waiting(MAX_BATCH - batch.finishes.len()) {
        batch.finishes.push(finish);
        batch.others.push(other);
    }
    let rest = if desk.waiting.is_empty() { 0 } else { desk.free_pens };
    desk.free_pens -= rest;
    drop(desk);
    // Each goes to whoever of the rest waits first, with what else waits, or back.
    let pen = || Pen { desk: Arc::clone(&batch.pen.desk), gathers_until: None };
    drop((0..rest).map(|_| pen()).collect::<Vec<_>>());
    batch
}

impl Desk {
    /// The first who wait, no more than `most`.
    fn take_waiting(&mut self, most: usize) -> Vec<(Finish, oneshot::Sender<Turn>)> {
        let count = self.waiting.len().min(most);
        self.waiting.drain(..count).collect()
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        let mut batch = {
            let mut desk = lock(&self.desk);
            if self.gathers_until.is_some() {
                desk.gatherer = None;
            }
            // Whoever gathers takes them along.
            let most = if desk.gatherer.is_some() { 0 } else { MAX_BATCH };
            let batch = desk.take_waiting(most);
            match batch.is_empty() {
                true => desk.free_pens += 1,
                false => desk.began = Some(Instant::now()),
            }
            batch.into_iter()
        };
        let Some((own, writer)) = batch.next() else { return };
        let (rest, others): (Vec<_>, Vec<_>) = batch.unzip();
        let finishes = std::iter::once(own).chain(rest).collect();
        let pen = Self { desk: Arc::clone(&self.desk), gathers_until: None };
        // If the one who waited is gone, the pen comes back with the batch and goes on from here.
        drop(writer.send(Turn::Write(Batch { finishes, others, pen })));
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::lifecycle::Tasks;
    use crate::model::delivery::{Reason, State};
    use crate::model::id::{DeliveryId, RunId};
    use crate::record::tests::claimed;
    use crate::store::{Place, Settings};

    async fn recorder(folder: &tempfile::TempDir) -> Recorder {
        let settings = Settings {
            place: Place::Sqlite(folder.path().join("loa.db")),
            outbox: false,
            keys_last: Duration::from_hours(1),
            derived_keys_last: Duration::from_hours(1),
        };
        let run = RunId::new(Timestamp::UNIX_EPOCH);
        let store = Store::open(settings, Clock::system(), run).await.unwrap();
        Recorder::new(store, Arc::new(Metrics::new("test")), 2)
    }

    fn finish() -> Finish {
        let at = Timestamp::UNIX_EPOCH;
        let mut claimed = claimed();
        claimed.delivery.id = DeliveryId(Uuid::from_u128(fastrand::u128(..)));
        Finish {
            claimed: Arc::new(claimed),
            attempt: None,
            settlement: Settlement::uncounted(State::Waiting, Reason::Scheduled, at),
            captured: None,
        }
    }

    #[tokio::test]
    async fn all_who_record_at_once_get_their_answer_and_the_pens_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;

        let finished = join_all((0..2_000).map(|_| recorder.record(finish()))).await;

        assert_eq!(finished.len(), 2_000);
        assert!(lock(&recorder.desk).waiting.is_empty());
        assert_eq!(lock(&recorder.desk).free_pens, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_dropped_passes_its_pen_on() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        let first = recorder.sit_down(finish()).ok().unwrap();
        tokio::time::advance(GATHER).await;
        let writers = (first, recorder.sit_down(finish()).ok().unwrap());
        assert!(lock(&recorder.desk).gatherer.is_none());
        let mut third = Box::pin(recorder.record(finish()));
        assert!((&mut third).now_or_never().is_none(), "it waits");

        drop(writers);

        assert_eq!(third.await.state, State::Waiting);
        assert_eq!(lock(&recorder.desk).free_pens, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_outcome_is_written_at_once_and_those_soon_after_it_together() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        let began = Instant::now();

        let first = recorder.sit_down(finish()).ok().unwrap();
        let second = recorder.sit_down(finish()).ok().unwrap();
        assert!(recorder.sit_down(finish()).is_err(), "it goes with the second");
        let (first, second) = (gathered(first).await, gathered(second).await);

        assert_eq!((first.finishes.len(), second.finishes.len()), (1, 2));
        assert_eq!(began.elapsed(), GATHER);
    }

    #[tokio::test(start_paused = true)]
    async fn many_outcomes_are_not_kept_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        let began = Instant::now();

        let first = recorder.sit_down(finish()).ok().unwrap();
        let second = recorder.sit_down(finish()).ok().unwrap();
        let turns: Vec<_> = (0..MANY).map(|_| recorder.sit_down(finish()).err()).collect();
        let second = gathered(second).await;

        assert!(turns.iter().all(Option::is_some));
        assert_eq!(second.finishes.len(), 1 + MANY);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop((first, second));
        assert_eq!(lock(&recorder.desk).free_pens, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_one_batch_that_waits_goes_to_all_pens() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        drop(recorder.sit_down(finish()));
        let gatherer = recorder.sit_down(finish()).ok().unwrap();
        let mut turns: Vec<_> =
            (0..MAX_BATCH + 9).map(|_| recorder.sit_down(finish()).err().unwrap()).collect();

        let gathered = gathered(gatherer).await;

        assert_eq!(gathered.finishes.len(), MAX_BATCH);
        let Ok(Turn::Write(rest)) = turns[MAX_BATCH - 1].try_recv() else { panic!("it waits") };
        assert_eq!(rest.finishes.len(), 10);
        assert!(lock(&recorder.desk).waiting.is_empty());
        drop((gathered, rest));
        assert_eq!(lock(&recorder.desk).free_pens, 2);
    }

    #[tokio::test]
    async fn a_hard_stop_leaves_all_who_wait_for_a_writer_to_be_told_as_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        let (tasks, ended) = (Tasks::new(), Arc::<AtomicUsize>::default());
        let writers: Vec<_> = [(), ()].map(|()| recorder.sit_down(finish()).ok().unwrap()).into();
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(writers);
        });
        for _ in 0..3 {
            let (recorder, ended) = (recorder.clone(), Arc::clone(&ended));
            tasks.spawn(async move {
                recorder.record(finish()).await;
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        while lock(&recorder.desk).waiting.len() < 3 {
            tokio::task::yield_now().await;
        }

        tasks.hard().cancel();
        tasks.stop(Duration::ZERO).await;

        assert_eq!(ended.load(Ordering::SeqCst), 0);
        assert_eq!(lock(&recorder.desk).free_pens, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_dropped_while_it_gathers_leaves_what_came_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(&folder).await;
        let first = recorder.sit_down(finish()).ok().unwrap();
        let second = recorder.sit_down(finish()).ok().unwrap();
        let mut third = Box::pin(recorder.record(finish()));
        assert!((&mut third).now_or_never().is_none(), "it waits");
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "it goes with the second");
        assert_eq!(lock(&recorder.desk).waiting.len(), 1);
        assert_eq!(lock(&recorder.desk).free_pens, 1);

        drop(second);

        assert_eq!(third.await.state, State::Waiting);
        assert_eq!(lock(&recorder.desk).free_pens, 2);
        assert!(lock(&recorder.desk).gatherer.is_none());
    }
}
