//! Read-only connections beside the writer, a few for each purpose.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::super::Tx;
use super::super::dialect::Statements;
use super::{connect, run};
use crate::clock::Clock;
use crate::store::StoreError;

/// After how many of SQLite's own steps a read looks whether it is still wanted.
const STEPS: i32 = 10_000;

/// What connections are for.
#[derive(Clone, Copy)]
pub(super) struct Purpose {
    /// How many read at once.
    pub(super) many: usize,
    /// How long a read may take, the wait for its turn included; none for as long as it needs.
    pub(super) longest: Option<Duration>,
    /// How much of the file each of them keeps in memory.
    pub(super) cache_kib: u32,
}

/// Connections that share one purpose: whoever reads for another never waits for these.
pub(super) struct Readers {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    purpose: Purpose,
    statements: Arc<Statements>,
    clock: Clock,
}

/// Ends a read whose caller is gone.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Readers {
    pub(super) fn new(
        path: &Path,
        purpose: Purpose,
        statements: Arc<Statements>,
        clock: Clock,
    ) -> Self {
        let (free, turns) = (Mutex::default(), Arc::new(Semaphore::new(purpose.many)));
        Self { path: path.to_owned(), free, turns, purpose, statements, clock }
    }

    /// Runs `work` on a snapshot, on a thread for blocking work.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let end = self.purpose.longest.map(|longest| Instant::now() + longest);
        let turn = self.take_turn(end).await?;
        let (this, wanted) = (Arc::clone(self), Arc::new(AtomicBool::new(true)));
        let _caller = Wanted(Arc::clone(&wanted));
        let is_over =
            move || !wanted.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            this.read_blocking(work, is_over)
        });
        read.await.map_err(|error| StoreError::cut_off("a read", error))?
    }

    async fn take_turn(&self, end: Option<Instant>) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = match end {
            None => turn.await,
            Some(end) => {
                tokio::time::timeout_at(end, turn).await.map_err(|_| StoreError::TooLong)?
            }
        };
        turn.map_err(|_| StoreError::Broken("the store is closed".to_owned()))
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // Less than nothing: KiB instead of pages (sqlite.org/pragma.html#pragma_cache_size).
        let cache = -i64::from(self.purpose.cache_kib);
        connection.pragma_update(None, "cache_size", cache)?;
        Ok(connection)
    }

    fn read_blocking<T, F>(
        &self,
        work: F,
        is_over: impl FnMut() -> bool + Send + 'static,
    ) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match free {
            Some(connection) => connection,
            None => self.open()?,
        };
        connection.execute_batch("BEGIN")?;
        let now = self.clock.now();
        connection.progress_handler(STEPS, Some(is_over))?;
        let result = run(&mut connection, &self.statements, now, work);
        connection.progress_handler(0, None::<fn() -> bool>)?;
        connection.execute_batch("ROLLBACK")?;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}
