//! Counts failed tries to sign in, so that nobody keeps the store busy by guessing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many tries may fail from one place within [`WINDOW`].
const ALLOWED: u32 = 10;
/// How long failures are remembered.
const WINDOW: Duration = Duration::from_mins(1);
/// The most places that are remembered at once; when there are more, all are forgotten.
const PLACES: usize = 10_000;

/// Failed tries by place; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    failures: Arc<Mutex<HashMap<IpAddr, Failures>>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Duration,
    count: u32,
}

impl Attempts {
    /// How long `from` has to wait before its next try, if it failed too often.
    pub(super) fn wait(&self, from: IpAddr, now: Duration) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failures.get(&one_place(from)).filter(|failed| failed.count >= ALLOWED)?;
        (failed.since + WINDOW).checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// Notes a failure; `now` is monotonic.
    pub(super) fn failed(&self, from: IpAddr, now: Duration) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, failed| now < failed.since + WINDOW);
        if failures.len() >= PLACES {
            failures.clear();
        }
        failures.entry(one_place(from)).or_insert(Failures { since: now, count: 0 }).count += 1;
    }
}

/// The network that one household or host has to itself: the address, or the /64 of IPv6.
pub(in crate::web) fn one_place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_failures_a_place_waits_and_another_does_not() {
        let attempts = Attempts::default();
        let (guesser, other) = ("2001:db8::1", "192.0.2.1");
        let (guesser, other): (IpAddr, IpAddr) = (guesser.parse().unwrap(), other.parse().unwrap());
        let start = Duration::from_secs(100);
        assert_eq!(attempts.wait(guesser, start), None);

        for _ in 0..ALLOWED {
            attempts.failed(guesser, start);
        }

        let neighbour = "2001:db8::2".parse().unwrap();
        assert_eq!(attempts.wait(neighbour, start + WINDOW / 2), Some(WINDOW / 2));
        assert_eq!(attempts.wait(guesser, start + WINDOW), None);
        assert_eq!(attempts.wait(other, start), None);
    }
}
