//! A thread beside Loa's own, for what is not Loa's work: what it uses is counted by itself.

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::usage;

/// A runtime on a thread of its own, and the threads that were started from it.
pub(super) struct SideThread {
    handle: Handle,
    threads: BTreeSet<String>,
    _stop: DropGuard,
}

impl SideThread {
    /// Starts the thread and does `work` on it; the threads that come meanwhile count as its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) async fn start<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let before = usage::threads();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::Builder::new().name("side".to_owned()).spawn(move || {
            runtime.block_on(stopped.cancelled());
        })?;
        let done = handle.spawn(work).await.map_err(io::Error::other)?;
        let threads = usage::threads().difference(&before).cloned().collect();
        Ok((Self { handle, threads, _stop: stop.drop_guard() }, done))
    }

    /// Where further work of its own runs.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Processor time of its threads so far.
    pub(super) fn time(&self) -> Duration {
        self.threads.iter().map(|thread| usage::thread_time(thread)).sum()
    }
}
