//! Counts the outcomes that wait for the store, and tells of them once they are recorded.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::info;

/// The outcomes that the store did not take at once; clones share it.
///
/// That the store is away, the store itself tells; this tells what that meant for deliveries.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// How many wait now.
    now: u64,
    /// How many have waited since one began to.
    all: u64,
    since: Option<Instant>,
}

/// Some outcomes that wait; dropped, they are recorded or given up.
pub(super) struct Wait {
    late: Late,
    count: u64,
}

impl Late {
    /// Notes that `count` outcomes wait from now on.
    pub(super) fn wait(&self, count: u64) -> Wait {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.now += count;
        waiting.all += count;
        waiting.since.get_or_insert_with(Instant::now);
        Wait { late: self.clone(), count }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.late.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.now -= self.count;
        if waiting.now > 0 {
            return;
        }
        let Waiting { all: count, since, .. } = std::mem::take(&mut *waiting);
        let waited = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        info!(count, "{count} outcomes waited up to {waited:.1} s to be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::logged;

    #[test]
    fn what_waited_is_told_once_when_the_last_of_it_is_recorded() {
        let late = Late::default();

        let lines = logged("info", || {
            let waits: Vec<Wait> = (0..13).map(|_| late.wait(2)).collect();
            drop(waits);
            drop(late.wait(1));
        });

        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("26 outcomes waited up to 0.0 s"), "{}", lines[0]);
        assert!(lines[1].contains("1 outcomes waited up to 0.0 s"), "{}", lines[1]);
    }
}
