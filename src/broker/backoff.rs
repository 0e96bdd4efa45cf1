//! How long to wait before connecting again.

use std::time::Duration;

/// The longest wait before the second try; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait after a fault that may pass by itself.
const CAP: Duration = Duration::from_secs(30);
/// The longest wait after a fault that someone has to mend.
const SLOW_CAP: Duration = Duration::from_mins(1);
/// A connection that stood this long was a good one.
const STEADY: Duration = Duration::from_secs(30);
/// No wait is shorter, so that a broker that accepts and drops is not hammered.
const LEAST: Duration = Duration::from_millis(100);

/// Waits that grow while tries fail.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after a connection that failed after it had `stood` for so long.
    ///
    /// `random` is in `[0, 1)`: full jitter, so that many clients do not come back at one moment.
    pub(super) fn wait(&mut self, stood: Duration, is_slow: bool, random: f64) -> Duration {
        if stood >= STEADY {
            self.failures = 0;
        }
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        if is_slow {
            // Half of it at least: nobody mends a topology within a second.
            return SLOW_CAP.min(FIRST * (1 << doublings)).mul_f64(0.5 + random / 2.0).max(LEAST);
        }
        CAP.min(FIRST * (1 << doublings)).mul_f64(random).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew_after_a_steady_connection() {
        let mut backoff = Backoff::default();
        let mut wait = |stood| backoff.wait(stood, false, 1.0).as_millis();

        let waits: Vec<_> = (0..8).map(|_| wait(BRIEF)).collect();

        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(wait(STEADY), 500);
    }

    #[test]
    fn no_wait_is_too_short() {
        assert_eq!(Backoff::default().wait(BRIEF, false, 0.0), LEAST);
    }

    #[test]
    fn what_someone_has_to_mend_is_tried_more_slowly() {
        let mut backoff = Backoff { failures: 10 };

        assert_eq!(backoff.wait(BRIEF, true, 0.0), Duration::from_secs(30));
        assert_eq!(backoff.wait(BRIEF, true, 1.0), SLOW_CAP);
    }
}
