//! Starts, counts and stops everything that runs in the background.
//!
//! A stop has two steps. *Soft*: take no new work, finish what is in flight. *Hard*: the grace is
//! over, drop what you hold. What tells of the work of others hears of the soft stop *last*, once
//! they have ended.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// The background tasks of one running Loa, and the two signals that end them.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    last_tracker: TaskTracker,
    soft: CancellationToken,
    last: CancellationToken,
    hard: CancellationToken,
    broken: CancellationToken,
}

impl Tasks {
    /// A set with nothing running yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` in the background until it ends by itself or the hard stop drops it.
    ///
    /// One that panics is [`broken`](Self::broken): nobody does its work any more, so that the
    /// whole process should end and begin anew.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_in(&self.tracker, task);
    }

    /// The same for a task that goes on until all those of [`Tasks::spawn`] have ended.
    pub fn spawn_last<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_in(&self.last_tracker, task);
    }

    fn spawn_in<F>(&self, tracker: &TaskTracker, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (hard, broken) = (self.hard.clone(), self.broken.clone());
        tracker.spawn(async move {
            tokio::select! {
                // Once the grace is over nobody takes up what another one was dropped from.
                biased;
                () = hard.cancelled() => {}
                ended = AssertUnwindSafe(task).catch_unwind() => {
                    if ended.is_err() {
                        error!("a part of Loa broke down; Loa stops");
                        broken.cancel();
                    }
                }
            }
        });
    }

    /// The signal that a task has panicked.
    pub fn broken(&self) -> &CancellationToken {
        &self.broken
    }

    /// The signal that asks tasks to take no new work and finish.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// The signal that a stop was asked for and all tasks but the last ones have ended.
    pub fn last(&self) -> &CancellationToken {
        &self.last
    }

    /// The signal that the grace period is over.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Whether a stop has been asked for.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Asks every task to finish, the last ones after the others, waits for them up to `grace`,
    /// then drops the rest; the hard signal ends the wait early.
    ///
    /// Returns whether all of them finished by themselves.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        self.last_tracker.close();
        let waited = tokio::time::timeout(grace, self.all_ended()).await;
        let finished = waited.is_ok() && !self.hard.is_cancelled();
        self.hard.cancel();
        if !finished {
            self.all_ended().await;
        }
        finished
    }

    async fn all_ended(&self) {
        self.tracker.wait().await;
        self.last.cancel();
        self.last_tracker.wait().await;
    }
}

/// Why work that blocks came to nothing. The words of a panic are left out, since they may quote a
/// message; where it happened is logged when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutOff {
    /// It panicked.
    #[error("it broke down")]
    BrokeDown,
    /// The process is ending.
    #[error("it was given up")]
    GivenUp,
}

impl From<JoinError> for CutOff {
    fn from(error: JoinError) -> Self {
        if error.is_panic() { Self::BrokeDown } else { Self::GivenUp }
    }
}

/// What the system or a person asks of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT (Ctrl-C): stop.
    Stop,
    /// SIGHUP: read everything anew.
    Reload,
}

/// Hears the signals that this process is sent, from the moment it is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the process may not install a signal handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next wish.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Returns when a stop is wished for; wishes to reload are passed over.
    pub async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Waits for SIGTERM or SIGINT (Ctrl-C).
///
/// # Errors
/// When the process may not install a signal handler.
pub async fn wait_for_stop_signal() -> std::io::Result<()> {
    Signals::listen()?.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_outlasts_the_grace_is_dropped_and_said_so() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());

        let finished = tasks.stop(Duration::from_millis(10)).await;

        assert!(!finished);
    }

    #[tokio::test]
    async fn the_hard_signal_ends_the_grace_early() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        tasks.hard().cancel();

        let finished = tasks.stop(Duration::from_hours(1)).await;

        assert!(!finished);
    }

    #[tokio::test]
    async fn a_task_that_panics_says_that_loa_is_broken() {
        let tasks = Tasks::new();
        tasks.spawn(async { panic!("on purpose") });

        tasks.broken().cancelled().await;

        assert!(tasks.stop(Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn what_was_cut_off_by_a_panic_tells_none_of_its_words() {
        let broken = tokio::task::spawn_blocking(|| panic!("canary@example.test")).await;

        let told = broken.map_err(CutOff::from).unwrap_err();

        assert_eq!(told, CutOff::BrokeDown);
        assert!(!format!("{told} {told:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_task_that_heeds_the_soft_stop_ends_in_time() {
        let tasks = Tasks::new();
        let soft = tasks.soft().clone();
        tasks.spawn(async move { soft.cancelled().await });

        let finished = tasks.stop(Duration::from_secs(10)).await;

        assert!(finished);
    }

    #[tokio::test]
    async fn a_last_task_hears_of_the_stop_once_the_others_have_ended() {
        let (tasks, (done, mut seen)) = (Tasks::new(), tokio::sync::mpsc::unbounded_channel());
        let (soft, last, others) = (tasks.soft().clone(), tasks.last().clone(), done.clone());
        tasks.spawn(async move {
            soft.cancelled().await;
            tokio::task::yield_now().await;
            others.send("others").unwrap();
        });
        tasks.spawn_last(async move {
            last.cancelled().await;
            done.send("last").unwrap();
        });

        let finished = tasks.stop(Duration::from_secs(10)).await;

        assert!(finished);
        assert_eq!((seen.recv().await, seen.recv().await), (Some("others"), Some("last")));
    }
}
