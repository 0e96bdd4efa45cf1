//! Says that this process lives, and splits the rates of providers among those that do.
//!
//! Beside the sweep and not in it: however long the sweep takes, a process that lives says so in
//! time, and does so until it has ended.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::pipeline::desks::Desks;
use crate::pipeline::{Parts, Pipeline};
use crate::store::Store;
use crate::store::waits::Waits;
use crate::telemetry::Metrics;

/// How often a process says that it lives; a sixth of the silence after which it counts as dead.
const BEAT: Duration = Duration::from_secs(5);

/// Starts to say so.
pub(super) fn start(pipeline: &Pipeline, parts: &Parts) {
    let pulse = Pulse {
        store: parts.store.clone(),
        desks: Arc::clone(&pipeline.desks),
        clock: parts.clock.clone(),
        tasks: parts.tasks.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    parts.tasks.spawn_last(pulse.run());
}

struct Pulse {
    store: Store,
    desks: Arc<Desks>,
    clock: Clock,
    tasks: Tasks,
    metrics: Arc<Metrics>,
}

impl Pulse {
    async fn run(self) {
        let mut alive = 1;
        let mut waits = Waits::default();
        loop {
            match self.store.beat().await {
                Ok(found) => {
                    alive = self.share(alive, found);
                    waits.over();
                }
                Err(error) => waits.say("that this process lives is said later", &error),
            }
            tokio::select! {
                () = self.tasks.last().cancelled() => return,
                () = self.clock.sleep(BEAT) => {}
            }
        }
    }

    /// Takes notice of how many processes live now; the rates are split anew only if that changed.
    fn share(&self, before: u32, alive: u32) -> u32 {
        self.metrics.show_processes(alive);
        if alive != before {
            info!("{alive} processes share the rates of the providers, before {before}");
            self.desks.stations().for_each(|station| station.desk.share_rate(alive));
        }
        alive
    }
}
