//! Forgets what is older than its age, a round at a time, while everything else goes on.

use std::time::Duration;

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::pipeline::Parts;
use crate::store::waits::Waits;
use crate::store::{Ages, Store};

/// How long nothing is looked for once nothing old is left.
const PAUSE: Duration = Duration::from_secs(30);
/// The most rows of one round and one sort.
const LIMIT: usize = 500;

/// Starts to forget.
pub(super) fn start(parts: &Parts) {
    let retention = Retention {
        store: parts.store.clone(),
        ages: parts.ages,
        limit: LIMIT,
        clock: parts.clock.clone(),
        tasks: parts.tasks.clone(),
    };
    parts.tasks.spawn(retention.run());
}

struct Retention {
    store: Store,
    ages: Ages,
    limit: usize,
    clock: Clock,
    tasks: Tasks,
}

impl Retention {
    async fn run(self) {
        let mut waits = Waits::default();
        loop {
            let is_more = match self.store.purge(self.ages, self.limit).await {
                Ok(is_more) => {
                    waits.over();
                    is_more
                }
                Err(error) => {
                    waits.say("what is old is forgotten later", &error);
                    false
                }
            };
            let pause = if is_more { Duration::ZERO } else { PAUSE };
            tokio::select! {
                biased;
                () = self.tasks.soft().cancelled() => return,
                () = self.clock.sleep(pause) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::model::event::{
        Arrival, Properties, RejectReason, RejectedEvent, Rejection, Transport,
    };
    use crate::model::id::{RejectedId, RunId};
    use crate::store::{Acceptance, Place, Settings};

    const DAY: Duration = Duration::from_hours(24);

    fn rejected(at: Timestamp) -> Acceptance {
        let rejection = Rejection {
            reason: RejectReason::Undecodable,
            place: None,
            message: "no JSON".to_owned(),
            event_type: None,
            key: None,
        };
        let (properties, transport) = (Properties::default(), Transport::Http);
        let arrival = Arrival { bytes: "x".into(), properties, transport, at };
        Acceptance::Rejected(Box::new(RejectedEvent {
            id: RejectedId::new(at),
            arrival,
            rejection,
        }))
    }

    #[tokio::test]
    async fn a_stop_waits_for_one_round_and_not_for_all_that_is_old() {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-03-02T08:00:00Z".parse().unwrap());
        let settings = Settings {
            place: Place::Sqlite(folder.path().join("loa.db")),
            outbox: false,
            keys_last: DAY,
            derived_keys_last: DAY,
        };
        let store = Store::open(settings, clock.clone(), RunId::new(clock.now())).await.unwrap();
        store.accept((0..10).map(|_| rejected(clock.now())).collect()).await.unwrap();
        clock.advance(DAY * 2);
        let tasks = Tasks::new();
        tasks.soft().cancel();
        let ages = Ages { deliveries: DAY, rejected: DAY, captured: DAY };

        Retention { store: store.clone(), ages, limit: 2, clock, tasks }.run().await;

        assert_eq!(store.rejected_events(None, 20).await.unwrap().len(), 8);
    }
}
