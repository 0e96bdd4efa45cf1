//! How long a claim may be acted upon, as the process that holds it sees it.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// The end of a lease, counted from before the store was asked for it.
///
/// A worker that stood still wakes without knowing it, and somebody else may have its delivery. The
/// monotonic clock counts the time in which a process was stopped (SIGSTOP) but, on Linux, not that
/// in which the machine was suspended; the wall clock counts both but may be set. So the lease is
/// over as soon as either says so: whoever gives up too early only gives the claim back. On
/// PostgreSQL the wall clock is the database's, which a machine that was suspended sees at its next
/// look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    monotonic: Duration,
    wall: Timestamp,
}

impl Term {
    /// A lease of this length that is asked for now.
    pub(super) fn of(lease: Duration, clock: &Clock) -> Self {
        let wall = clock.now().checked_add(lease).unwrap_or(Timestamp::MAX);
        Self { monotonic: clock.monotonic() + lease, wall }
    }

    /// Whether somebody else may have taken over by now.
    pub(super) fn is_over(&self, clock: &Clock) -> bool {
        clock.monotonic() >= self.monotonic || clock.now() >= self.wall
    }
}
