//! How many calls a second a provider takes, over all processes.
//!
//! A bucket of calls that fills at this process's share of the rate. A call that was taken out and
//! not made goes back, and a changed share fills the same bucket: neither is a new burst.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// The bucket of one provider in this process.
#[derive(Debug)]
pub(super) struct Pace {
    /// Calls a second over all processes.
    rate: f64,
    /// Calls at once after a pause, over all processes.
    burst: f64,
    clock: Clock,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    processes: f64,
    calls: f64,
    /// Calls that were taken out and are neither made nor back.
    held: usize,
    filled_at: Duration,
}

impl Pace {
    /// A full bucket of a process that is alone; `rate` in calls a second.
    pub(super) fn new(rate: f64, burst: u32, clock: Clock) -> Self {
        let burst = f64::from(burst.max(1));
        let bucket = Bucket { processes: 1.0, calls: burst, held: 0, filled_at: clock.monotonic() };
        Self { rate, burst, clock, bucket: Mutex::new(bucket) }
    }

    /// Splits rate and burst among `processes` that are alive; what is in the bucket stays there.
    pub(super) fn share(&self, processes: u32) {
        let mut bucket = self.filled();
        bucket.processes = f64::from(processes.max(1));
        bucket.calls = bucket.calls.min(self.most(&bucket));
    }

    /// Takes one call out, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut bucket = self.filled();
        let is_there = bucket.calls >= 1.0;
        if is_there {
            bucket.calls -= 1.0;
            bucket.held += 1;
        }
        is_there
    }

    /// Notes that a call that was taken out is made.
    pub(super) fn spend(&self) {
        let mut bucket = self.filled();
        bucket.held = bucket.held.saturating_sub(1);
    }

    /// Puts back a call that was not made.
    pub(super) fn give_back(&self) {
        let mut bucket = self.filled();
        bucket.held = bucket.held.saturating_sub(1);
        bucket.calls = (bucket.calls + 1.0).min(self.most(&bucket));
    }

    /// Whether every call that there was is made.
    pub(super) fn is_exhausted(&self) -> bool {
        let bucket = self.filled();
        bucket.held == 0 && bucket.calls < 1.0
    }

    /// How long until there is a call to take; zero if there is one now.
    pub(super) fn ready_in(&self) -> Duration {
        let bucket = self.filled();
        let missing = (1.0 - bucket.calls).max(0.0);
        let wait = Duration::try_from_secs_f64(missing * bucket.processes / self.rate);
        match wait.unwrap_or(Duration::MAX) {
            Duration::ZERO => Duration::ZERO,
            // Up to the next whole microsecond, so that it is there then and not almost there.
            wait => wait.saturating_add(Duration::from_micros(1)),
        }
    }

    /// Waits until there is a call, and takes it.
    pub(super) async fn wait(&self) {
        while !self.take() {
            self.clock.sleep(self.ready_in()).await;
        }
    }

    /// The bucket with what has come into it since it was last looked at.
    fn filled(&self) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let passed = now.saturating_sub(bucket.filled_at).as_secs_f64();
        bucket.calls =
            (bucket.calls + passed * self.rate / bucket.processes).min(self.most(&bucket));
        bucket.filled_at = now;
        bucket
    }

    /// This process's share of the burst.
    fn most(&self, bucket: &Bucket) -> f64 {
        (self.burst / bucket.processes).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn pace(rate: f64, burst: u32) -> (Pace, Clock) {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        (Pace::new(rate, burst, clock.clone()), clock)
    }

    /// How many calls there are now.
    fn take_all(pace: &Pace) -> usize {
        std::iter::repeat_with(|| pace.take()).take_while(|taken| *taken).count()
    }

    #[test]
    fn after_the_burst_calls_come_at_the_rate() {
        let (pace, clock) = pace(2.0, 5);

        assert_eq!(take_all(&pace), 5);
        assert_eq!(pace.ready_in(), Duration::from_micros(500_001));
        clock.advance(Duration::from_secs(2));
        assert_eq!(take_all(&pace), 4);
    }

    #[test]
    fn a_share_that_is_told_again_and_again_is_no_new_burst() {
        let (pace, clock) = pace(10.0 / 3600.0, 1);
        let mut calls = take_all(&pace);

        for _ in 0..120 {
            clock.advance(Duration::from_secs(30));
            pace.share(1);
            calls += take_all(&pace);
        }

        assert!((10..=11).contains(&calls), "{calls} calls in an hour at 10 an hour");
    }

    #[test]
    fn two_processes_have_half_of_everything() {
        let (pace, clock) = pace(4.0, 10);

        pace.share(2);

        assert_eq!(take_all(&pace), 5);
        clock.advance(Duration::from_secs(1));
        assert_eq!(take_all(&pace), 2);
    }

    #[test]
    fn a_call_that_was_not_made_goes_back() {
        let (pace, _clock) = pace(1.0, 1);
        assert!(pace.take());

        pace.give_back();
        pace.give_back();

        assert_eq!(take_all(&pace), 1);
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_next_call() {
        let (pace, clock) = pace(1.0 / 60.0, 1);
        assert!(pace.take());
        let mut wait = Box::pin(pace.wait());
        assert!(futures_util::poll!(&mut wait).is_pending());

        clock.advance(Duration::from_secs(61));

        wait.await;
        assert_eq!(take_all(&pace), 0);
    }
}
