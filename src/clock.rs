//! Tells the time to everything else; the only place that asks the system for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// The time as this process sees it: the system's, or one moved by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's wall clock and monotonic clock.
    System(Arc<SystemClock>),
    /// A clock that stands still until it is advanced; for the demo and for tests.
    Manual(Arc<ManualClock>),
}

/// When the process began, so that monotonic time has a zero, and what it adds to the machine's time.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
    /// In microseconds; zero unless a database's clock is followed.
    shift: AtomicI64,
}

/// A time in microseconds that only [`Clock::advance`] moves.
#[derive(Debug)]
pub struct ManualClock {
    began: i64,
    micros: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The machine's own clock.
    #[expect(clippy::disallowed_methods, reason = "the clock is where time is asked for")]
    pub fn system() -> Self {
        Self::System(Arc::new(SystemClock { began: Instant::now(), shift: AtomicI64::new(0) }))
    }

    /// A clock that shows `start` until it is advanced.
    pub fn manual(start: Timestamp) -> Self {
        let micros = start.as_microsecond();
        Self::Manual(Arc::new(ManualClock {
            began: micros,
            micros: AtomicI64::new(micros),
            moved: Notify::new(),
        }))
    }

    /// The present moment, cut to whole microseconds as stores keep it.
    #[expect(clippy::disallowed_methods, reason = "the clock is where time is asked for")]
    pub fn now(&self) -> Timestamp {
        let micros = match self {
            Self::System(clock) => {
                Timestamp::now().as_microsecond() + clock.shift.load(Ordering::Relaxed)
            }
            Self::Manual(clock) => clock.micros.load(Ordering::SeqCst),
        };
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Shows from now on what another clock shows, which showed `shown` when `age` less had passed on
    /// this one; says by how much this clock jumps for it.
    ///
    /// All who work on one database go by its clock, whatever their machines' own clocks say. A manual
    /// clock follows nobody.
    pub fn follow(&self, shown: Timestamp, age: Duration) -> SignedDuration {
        let Self::System(clock) = self else { return SignedDuration::ZERO };
        let shown = shown.checked_add(age).unwrap_or(Timestamp::MAX);
        let jump = shown.as_microsecond() - self.now().as_microsecond();
        clock.shift.fetch_add(jump, Ordering::Relaxed);
        SignedDuration::from_micros(jump)
    }

    /// Time since this process began, which no change of the wall clock touches.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(clock) => clock.began.elapsed(),
            Self::Manual(clock) => {
                let passed = clock.micros.load(Ordering::SeqCst) - clock.began;
                Duration::from_micros(u64::try_from(passed).unwrap_or(0))
            }
        }
    }

    /// Whether time moves only by [`Clock::advance`].
    pub fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Moves a manual clock forward and wakes whoever waits on it; a system clock ignores it.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            clock.micros.fetch_add(micros, Ordering::SeqCst);
            clock.moved.notify_waiters();
        }
    }

    /// Moves a manual clock to `moment` if that is later than it shows.
    pub fn advance_to(&self, moment: Timestamp) {
        // Up to the next whole microsecond, so that the moment has come and not almost come.
        let whole = moment.as_microsecond();
        let target = if moment.subsec_nanosecond() % 1000 > 0 { whole + 1 } else { whole };
        let gap = target - self.now().as_microsecond();
        if let Ok(gap) = u64::try_from(gap) {
            self.advance(Duration::from_micros(gap));
        }
    }

    /// Waits until `duration` has passed on this clock.
    ///
    /// On a manual clock it returns once the clock has been advanced far enough.
    pub async fn sleep(&self, duration: Duration) {
        match self {
            Self::System(_) => tokio::time::sleep(duration).await,
            Self::Manual(clock) => {
                let end = self.monotonic() + duration;
                loop {
                    let moved = clock.moved.notified();
                    if self.monotonic() >= end {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_follows_another_shows_what_that_one_shows() {
        let hour = Duration::from_hours(1);
        let (clock, own) = (Clock::system(), Clock::system());

        let jump = clock.follow(own.now() - hour, Duration::from_secs(10));

        let behind = own.now().duration_since(clock.now());
        let expected = SignedDuration::from_secs(3590);
        assert!((behind - expected).abs() < SignedDuration::from_secs(5), "{behind}");
        assert!((jump + expected).abs() < SignedDuration::from_secs(5), "{jump}");
        assert!(clock.monotonic() < hour);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_a_sleeper_only_when_it_has_moved_far_enough() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let sleeper = clock.clone();
        let mut sleep = Box::pin(sleeper.sleep(Duration::from_secs(10)));

        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.advance(Duration::from_secs(1));

        sleep.await;
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }
}
