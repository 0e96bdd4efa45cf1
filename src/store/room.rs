//! Whether the store lacked room of late.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::{Store, StoreError};

/// How long it counts as full after it last said so; whoever writes tries more often than that.
const LASTS: Duration = Duration::from_secs(15);

/// When the store last had no room, by the monotonic clock.
#[derive(Default)]
pub(super) struct Room(Mutex<Option<Duration>>);

impl Store {
    /// Notes what a transaction said of the room that there is.
    pub(super) fn note_room<T>(&self, done: &Result<T, StoreError>) {
        if matches!(done, Err(StoreError::Full)) {
            let mut lacked = self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
            *lacked = Some(self.clock.monotonic());
        }
    }

    /// Whether something was refused within the last seconds because there was no room for it.
    pub fn lacks_room(&self) -> bool {
        let lacked = *self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        lacked.is_some_and(|at| self.clock.monotonic().saturating_sub(at) < LASTS)
    }
}
