//! The one thread that writes: it takes what is queued, and syncs once for all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::Tx;
use super::super::dialect::Statements;
use super::{BUSY, LARGE_LOG, run};
use crate::clock::Clock;
use crate::store::StoreError;

/// The most transactions that share one sync.
const GROUP: usize = 64;
/// How many transactions may wait; more wait outside.
const QUEUE: usize = 1024;

/// Hands transactions to the writer thread; the thread ends with the last handle.
pub(in crate::store) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        statements: Arc<Statements>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let log = PathBuf::from(format!("{}-wal", path.display()));
        let thread = WriterThread { connection, statements, clock, queue, log };
        std::thread::Builder::new()
            .name("loa-sqlite-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::Broken(format!("cannot start a thread: {error}")))?;
        Ok(Self { jobs })
    }

    /// Runs `work` as one transaction and returns once it is on disk.
    pub(in crate::store) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let closed = || StoreError::Broken("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Work { work, result: None, reply });
        self.jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// A transaction whose caller waits for it.
trait Job: Send {
    /// Does the work; once more if another of its group has failed.
    fn run(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        now: Timestamp,
    ) -> Result<(), ()>;
    /// Tells the caller, once the group is committed or not.
    fn reply(self: Box<Self>, committed: &Result<(), StoreError>);
}

struct Work<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send,
{
    fn run(
        &mut self,
        connection: &mut Connection,
        statements: &Statements,
        now: Timestamp,
    ) -> Result<(), ()> {
        let work = || run(connection, statements, now, |tx| (self.work)(tx));
        // A transaction that panics must not take the writer, and so every other one, with it.
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(StoreError::Broken("a transaction panicked; this is a fault of Loa".to_owned()))
        });
        let outcome = if result.is_ok() { Ok(()) } else { Err(()) };
        self.result = Some(result);
        outcome
    }

    fn reply(self: Box<Self>, committed: &Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.clone()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Broken("a transaction was not run".to_owned())),
        };
        // A caller that is gone was dropped by a stop; what it asked for is done all the same.
        reply_to(self.reply, result);
    }
}

fn reply_to<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

struct WriterThread {
    connection: Connection,
    statements: Arc<Statements>,
    clock: Clock,
    queue: mpsc::Receiver<Box<dyn Job>>,
    log: PathBuf,
}

impl WriterThread {
    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = self.queue.try_recv()
            {
                group.push(next);
            }
            let committed = self.commit_or_undo(&mut group);
            let is_full = matches!(committed, Err(StoreError::Full));
            if is_full {
                self.move_log();
            }
            // Without room for all of them there may be some for each of them.
            let one_by_one = is_full && group.len() > 1;
            for mut job in group {
                match one_by_one {
                    true => {
                        let committed = self.commit_or_undo(std::slice::from_mut(&mut job));
                        job.reply(&committed);
                    }
                    false => job.reply(&committed),
                }
            }
            self.shorten_log();
        }
    }

    fn commit_or_undo(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let committed = self.commit(group);
        if committed.is_err() {
            self.roll_back();
        }
        committed
    }

    /// Runs a group as one transaction. Nearly always nothing fails; savepoints, for which SQLite
    /// copies each page that is written, are made only once something has.
    fn commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.clock.now();
        if !self.run_together(group, now)? {
            self.connection.execute_batch("ROLLBACK")?;
            if group.len() == 1 {
                return Ok(());
            }
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.run_each_alone(group, now)?;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Runs the jobs up to the first that fails; says whether none did.
    fn run_together(
        &mut self,
        group: &mut [Box<dyn Job>],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        for job in group {
            let done = job.run(&mut self.connection, &self.statements, now);
            self.expect_transaction()?;
            if done.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs each job in a savepoint of its own, so that of one that fails nothing stays.
    fn run_each_alone(
        &mut self,
        group: &mut [Box<dyn Job>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for job in group {
            self.connection.execute_batch("SAVEPOINT job")?;
            let done = job.run(&mut self.connection, &self.statements, now);
            self.expect_transaction()?;
            match done {
                Ok(()) => self.connection.execute_batch("RELEASE job")?,
                Err(()) => self.connection.execute_batch("ROLLBACK TO job; RELEASE job")?,
            }
        }
        Ok(())
    }

    /// A full disk ends the whole transaction, as other errors of the disk do; what follows would
    /// commit by itself.
    fn expect_transaction(&self) -> Result<(), StoreError> {
        match self.connection.is_autocommit() {
            true => Err(StoreError::Full),
            false => Ok(()),
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // If even this fails, the next BEGIN does too, and its callers are told.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }

    fn shorten_log(&self) {
        let length = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        if length > LARGE_LOG {
            self.move_log();
        }
    }

    /// Moves the log into the file, and gives its room back. A reader may be in the way: it is not
    /// waited for, and the log stays until this is asked for again.
    fn move_log(&self) {
        drop(self.connection.busy_timeout(Duration::ZERO));
        drop(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        drop(self.connection.busy_timeout(BUSY));
    }
}
