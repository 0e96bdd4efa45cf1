//! Stops calling a provider that does not answer, and finds out when it does again.
//!
//! Only failures that blame the provider count: a refused address or a full mailbox says nothing
//! about it.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::BreakerSettings;
use crate::model::outcome::{Obstacle, Verdict};

/// How many times the first pause it stays open at most, however often probes fail: what is new
/// waits no longer than this after the provider came back. A probe costs one call.
const LONGEST_PAUSE: u32 = 2;

/// What the breaker thinks of its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No calls until the pause is over.
    Open,
    /// A single call at a time finds out whether the provider is back.
    HalfOpen,
}

impl BreakerState {
    /// The state's word in JSON, metrics and console.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Watches one provider's answers.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
    /// Whether each of the last answers was a failure of the provider.
    answers: VecDeque<bool>,
    /// No calls before this, whatever the state: an open breaker, or the provider's own wish.
    closed_until: Option<Timestamp>,
    pause: Duration,
    probes: u32,
    /// How many calls may be under way after closing: 1, 2, 4 … until it no longer matters.
    slow_start: usize,
}

impl Breaker {
    /// A closed breaker that has seen no answer yet.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: BreakerState::Closed,
            answers: VecDeque::new(),
            closed_until: None,
            pause: settings.open_for,
            probes: 0,
            slow_start: usize::MAX,
        }
    }

    /// The present state.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// When calls may begin again, if not now.
    pub fn opens_at(&self) -> Option<Timestamp> {
        self.closed_until
    }

    /// How many calls may begin at `now`.
    pub fn allowance(&mut self, now: Timestamp) -> usize {
        if self.closed_until.is_some_and(|until| now < until) {
            return 0;
        }
        self.closed_until = None;
        match self.state {
            BreakerState::Open => {
                self.state = BreakerState::HalfOpen;
                self.probes = 0;
                1
            }
            BreakerState::HalfOpen => 1,
            BreakerState::Closed => self.slow_start,
        }
    }

    /// Takes an answer into account; `random` in `[0, 1)` spreads the pauses of many processes.
    pub fn learn(&mut self, verdict: &Verdict, now: Timestamp, random: f64) {
        if let Verdict::Later { after: Some(after), obstacle: Obstacle::Provider } = verdict {
            self.close_for(*after, now);
        }
        let failed = verdict.blames_provider();
        match (self.state, failed) {
            (BreakerState::Closed, _) => self.count(failed, now, random),
            (BreakerState::HalfOpen, true) => self.open(now, random),
            (BreakerState::HalfOpen, false) => {
                self.probes += 1;
                if self.probes >= self.settings.probes {
                    *self = Self { slow_start: 1, ..Self::new(self.settings) };
                }
            }
            // A call that began before the breaker opened; the probes decide.
            (BreakerState::Open, _) => {}
        }
    }

    fn count(&mut self, failed: bool, now: Timestamp, random: f64) {
        self.answers.push_back(failed);
        if self.answers.len() > self.settings.window as usize {
            self.answers.pop_front();
        }
        if !failed {
            self.slow_start = self.slow_start.saturating_mul(2);
        }
        let (calls, failures) =
            (self.answers.len(), self.answers.iter().filter(|failed| **failed).count());
        let share = self.settings.failure_percent as usize;
        if calls >= self.settings.least_calls as usize && failures * 100 >= calls * share {
            self.open(now, random);
        }
    }

    fn open(&mut self, now: Timestamp, random: f64) {
        let jitter = 0.5 + random.clamp(0.0, 1.0) / 2.0;
        self.close_for(self.pause.mul_f64(jitter), now);
        self.state = BreakerState::Open;
        self.pause = self.settings.open_for * LONGEST_PAUSE;
        self.answers.clear();
    }

    fn close_for(&mut self, pause: Duration, now: Timestamp) {
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        self.closed_until = Some(self.closed_until.map_or(until, |earlier| earlier.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings {
            window: 20,
            least_calls: 5,
            failure_percent: 50,
            open_for: Duration::from_secs(15),
            probes: 3,
        })
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        for _ in 0..5 {
            breaker.learn(&Verdict::later(), at(0), 1.0);
        }
        breaker
    }

    #[test]
    fn failures_open_it_for_a_while() {
        let mut breaker = opened();

        assert_eq!(breaker.allowance(at(14)), 0);
        assert_eq!(breaker.allowance(at(15)), 1);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[test]
    fn what_the_receiver_says_never_opens_it() {
        let mut breaker = breaker();

        for _ in 0..100 {
            breaker.learn(&Verdict::Refused, at(0), 1.0);
            breaker.learn(&Verdict::later_for_receiver(), at(0), 1.0);
        }

        assert_eq!(breaker.allowance(at(0)), usize::MAX);
    }

    #[test]
    fn a_probe_that_only_the_receiver_put_off_succeeded() {
        let mut breaker = opened();
        assert_eq!(breaker.allowance(at(15)), 1);

        for _ in 0..3 {
            breaker.learn(&Verdict::later_for_receiver(), at(15), 1.0);
        }

        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_doubles_the_pause() {
        let mut breaker = opened();
        assert_eq!(breaker.allowance(at(15)), 1);

        breaker.learn(&Verdict::Unknown, at(15), 1.0);

        assert_eq!(breaker.allowance(at(44)), 0);
        assert_eq!(breaker.allowance(at(45)), 1);
    }

    #[test]
    fn a_provider_that_was_away_for_long_is_asked_as_often_as_one_that_was_not() {
        let mut breaker = opened();
        let mut now = 15;
        for _ in 0..20 {
            assert_eq!(breaker.allowance(at(now)), 1);
            breaker.learn(&Verdict::Unknown, at(now), 1.0);
            now += 30;
        }

        assert_eq!(breaker.allowance(at(now - 1)), 0);
        assert_eq!(breaker.allowance(at(now)), 1);
    }

    #[test]
    fn calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() {
        let mut breaker = opened();

        for _ in 0..20 {
            breaker.learn(&Verdict::Unknown, at(1), 1.0);
        }

        assert_eq!(breaker.allowance(at(15)), 1);
    }

    #[test]
    fn after_three_good_probes_it_closes_and_starts_slowly() {
        let mut breaker = opened();
        assert_eq!(breaker.allowance(at(15)), 1);

        for _ in 0..3 {
            breaker.learn(&Verdict::accepted(), at(16), 1.0);
        }

        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.allowance(at(16)), 1);
        breaker.learn(&Verdict::accepted(), at(17), 1.0);
        assert_eq!(breaker.allowance(at(17)), 2);
    }

    #[test]
    fn the_providers_own_time_closes_it_even_without_failures() {
        let mut breaker = breaker();
        let after = Some(Duration::from_secs(30));

        breaker.learn(&Verdict::Later { after, obstacle: Obstacle::Provider }, at(0), 0.0);

        assert_eq!(breaker.allowance(at(29)), 0);
        assert_eq!(breaker.allowance(at(30)), usize::MAX);
    }
}
