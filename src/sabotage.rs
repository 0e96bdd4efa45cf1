//! What a worker does wrong on purpose, so that a drill can be seen to find it; compiled for tests
//! only.

use std::sync::OnceLock;

/// A way in which a worker is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Says that events are taken before they are committed.
    AcknowledgesBeforeTheCommit,
    /// Leaves out to record one outcome in ten.
    ForgetsToRecord,
    /// Claims what somebody else has claimed.
    IgnoresLeases,
    /// Tries again where an unknown outcome is to be held.
    RetriesWhatIsHeld,
}

static DONE: OnceLock<Sabotage> = OnceLock::new();

/// Breaks this process for good.
pub(crate) fn commit(sabotage: Sabotage) {
    DONE.set(sabotage).ok();
}

/// Whether this process is broken in this way.
pub(crate) fn is(sabotage: Sabotage) -> bool {
    DONE.get() == Some(&sabotage)
}
