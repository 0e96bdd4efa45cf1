//! What is known of a delivery that broke a promise: messages, attempts and faults, as they came.

use std::time::Duration;

use jiff::Timestamp;

use super::attack::Struck;
use super::tally::Taken;
use crate::model::id::DeliveryId;
use crate::model::outcome::Attempt;

/// Faults that began or ended within this time of a message are told beside it.
const AROUND: Duration = Duration::from_secs(10);

/// Everything that is known of one delivery.
pub(super) struct Story<'a> {
    pub(super) id: DeliveryId,
    /// The provider that it went to.
    pub(super) provider: &'a str,
    /// The messages that came.
    pub(super) taken: &'a [Taken],
    /// What is on record.
    pub(super) attempts: &'a [Attempt],
    /// Every fault of the drill.
    pub(super) struck: &'a [Struck],
    /// What the wall clock said when the drill's monotonic clock was at zero.
    pub(super) zero: Timestamp,
    /// When the drill began, by its monotonic clock: times are told from then.
    pub(super) began: Duration,
}

impl Story<'_> {
    /// One line, in the order of time.
    ///
    /// The times of attempts are by the clock of their worker, which a fault may have moved.
    pub(super) fn tell(&self) -> String {
        let mut told: Vec<(f64, String)> = Vec::new();
        for taken in self.taken {
            let manner = taken.manner.map_or("", |manner| manner.as_str());
            told.push((self.seconds(taken.at), format!("taken {manner}").trim_end().to_owned()));
        }
        for attempt in self.attempts {
            let (from, to) = (self.by_wall(attempt.started_at), self.by_wall(attempt.finished_at));
            let (number, class) = (attempt.number, attempt.class.as_str());
            let text = &attempt.answer.text;
            told.push((from, format!("attempt {number} until {to:.3}: {class} ({text})")));
        }
        for struck in self.struck.iter().filter(|struck| self.is_near(struck)) {
            let (kind, until) = (struck.kind.as_str(), self.seconds(struck.ended));
            let held =
                if struck.in_flight.contains(&self.id) { "in flight" } else { "not in flight" };
            told.push((self.seconds(struck.began), format!("{kind} until {until:.3} ({held})")));
        }
        told.sort_by(|one, other| one.0.total_cmp(&other.0));
        let told: Vec<String> = told.iter().map(|(at, text)| format!("{at:.3} {text}")).collect();
        format!("delivery {} by {}: {}", self.id, self.provider, told.join("; "))
    }

    fn is_near(&self, struck: &Struck) -> bool {
        let near =
            |taken: &Taken| struck.began <= taken.at + AROUND && taken.at <= struck.ended + AROUND;
        self.taken.iter().any(near)
    }

    fn seconds(&self, at: Duration) -> f64 {
        at.as_secs_f64() - self.began.as_secs_f64()
    }

    fn by_wall(&self, at: Timestamp) -> f64 {
        at.duration_since(self.zero).as_secs_f64() - self.began.as_secs_f64()
    }
}
