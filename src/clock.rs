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

/// When the process began, so that monotonic time has a zero, and what is known better than the
/// machine.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
    /// Added to the machine's wall clock, in microseconds; a drill does so.
    shift: AtomicI64,
    /// The wall time at which the process began, by a better clock than the machine's.
    anchor: AtomicI64,
}

/// No anchor: the machine's wall clock counts.
const ADRIFT: i64 = i64::MIN;

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
        let (shift, anchor) = (AtomicI64::new(0), AtomicI64::new(ADRIFT));
        Self::System(Arc::new(SystemClock { began: Instant::now(), shift, anchor }))
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
            Self::System(clock) => match clock.anchor.load(Ordering::SeqCst) {
                ADRIFT => Timestamp::now().as_microsecond() + clock.shift.load(Ordering::SeqCst),
                anchor => anchor.saturating_add(micros(clock.began.elapsed())),
            },
            Self::Manual(clock) => clock.micros.load(Ordering::SeqCst),
        };
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
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

    /// Shows from now on what another clock shows, which showed `shown` when `age` less had passed
    /// on this one; says by how much this clock jumps for it.
    ///
    /// All who work on one database go by its clock, whatever their machines' own wall clocks say
    /// or do. A manual clock follows nobody.
    pub fn follow(&self, shown: Timestamp, age: Duration) -> SignedDuration {
        let Self::System(clock) = self else { return SignedDuration::ZERO };
        let shown = shown.checked_add(age).unwrap_or(Timestamp::MAX).as_microsecond();
        let jump = shown - self.now().as_microsecond();
        let began = shown.saturating_sub(micros(clock.began.elapsed()));
        clock.anchor.store(began, Ordering::SeqCst);
        SignedDuration::from_micros(jump)
    }

    /// Makes the machine's wall clock seem to be wrong by so much; only drills do so.
    pub fn shift(&self, by: SignedDuration) {
        if let Self::System(clock) = self {
            let by = i64::try_from(by.as_micros()).unwrap_or(0);
            clock.shift.store(by, Ordering::SeqCst);
        }
    }

    /// Whether time moves only by [`Clock::advance`].
    pub fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Moves a manual clock forward and wakes whoever waits on it; a system clock ignores it.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(clock) = self {
            clock.micros.fetch_add(micros(by), Ordering::SeqCst);
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

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchored_clock_heeds_the_wall_clock_of_the_machine_no_more() {
        let clock = Clock::system();
        let known: Timestamp = "2026-11-23T02:00:00Z".parse().unwrap();

        clock.follow(known, Duration::ZERO);
        clock.shift(SignedDuration::from_hours(1));

        let passed = clock.now().duration_since(known);
        assert!((0..60).contains(&passed.as_secs()), "{passed}");
    }

    #[test]
    fn a_clock_that_is_shifted_is_wrong_by_so_much() {
        let (right, wrong) = (Clock::system(), Clock::system());

        wrong.shift(-SignedDuration::from_hours(1));

        let behind = right.now().duration_since(wrong.now());
        assert!((3590..3610).contains(&behind.as_secs()), "{behind}");
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
