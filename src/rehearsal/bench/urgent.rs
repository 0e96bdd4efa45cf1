//! The row *urgent*: how soon urgent messages come while bulk ones wait and are sent.

use std::time::Duration;

use super::findings::{Figures, Findings, as_float, percentile};
use super::ground::insist_that_it_closes;
use super::seed::Seed;
use super::settings::Stage;
use super::sink::Sinks;
use super::work::{self, arrival};
use super::{Bench, BenchError, usage};
use crate::app::App;
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;
use crate::pipeline::OnReject;
use crate::store::Acceptance;

/// How many bulk deliveries wait.
const WAITING: u64 = 1_000_000;
/// Urgent events a second.
const PACE: u32 = 50;
/// The number of the first urgent event; the bulk ones carry smaller ones.
const FIRST: u64 = 1_000_000_000;
/// How long the last urgent message may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);
const BULK: &str = "bench.bulk";
const URGENT: &str = "bench.urgent";

impl Bench {
    pub(super) async fn urgent(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let clock = Clock::system();
        let sinks = Sinks::start(&clock)?;
        let event_types = [(BULK, "bulk"), (URGENT, "urgent")].map(|(name, lane)| {
            (name.to_owned(), work::named_event_type(Channel::Chat, name, lane))
        });
        let stage = Stage { event_types: event_types.into(), ..Stage::default() };
        let waiting = self.size(WAITING);
        tell(&format!("filling the store with {waiting} bulk deliveries that are due"));
        let config = self.config(&sinks, &stage)?;
        {
            let mut seed = Seed::open(&config).await?;
            let planned = seed.planned(BULK, Channel::Chat, None)?;
            let original = planned.event.id;
            seed.store.accept(vec![Acceptance::Planned(Box::new(planned))]).await?;
            seed.store.copy_event(original, 0..waiting, seed.spread(waiting)).await?;
            seed.store.analyze().await?;
        }
        let app = App::build(config, clock, Tasks::new()).await?;
        sinks.tally.reach(1_000.min(waiting / 10)).await;
        tell("bulk deliveries are being sent; urgent events come");
        let mut figures = Figures::default();
        self.time_urgent(&app, &sinks, &mut figures).await?;
        let left = app.store.ledger().await?.deliveries.states.get("waiting").copied();
        let left = left.unwrap_or(0).unsigned_abs();
        figures.count(("bulk deliveries still waiting", "still_waiting"), left);
        figures.count(("peak memory, MiB", "peak_memory_mib"), usage::peak_memory() >> 20);
        let store = app.store.clone();
        // Nobody wants the rest.
        app.tasks.hard().cancel();
        app.stop().await;
        insist_that_it_closes(&store).await?;
        if left == 0 {
            let text = "all bulk deliveries were sent too soon; ask for more with --rows";
            return Err(BenchError::Broken(text.to_owned()));
        }
        Ok(figures.findings(&store.describe()))
    }

    /// Hands urgent events in at a steady pace, and sees when their messages come.
    async fn time_urgent(
        &self,
        app: &App,
        sinks: &Sinks,
        figures: &mut Figures,
    ) -> Result<(), BenchError> {
        let count = self.extent.paced.as_secs() * u64::from(PACE);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACE);
        let (before, began) = (sinks.tally.count(), app.clock.monotonic());
        sinks.tally.begin_times();
        let mut handed_in = Vec::new();
        for number in FIRST..FIRST + count {
            ticks.tick().await;
            let event = arrival(work::event(URGENT, Channel::Chat, number, None), app.clock.now());
            handed_in.push(app.clock.monotonic());
            app.pipeline.acceptor().accept(vec![event], OnReject::Keep).await?;
        }
        let all = sinks.tally.count() - before;
        let lasted = app.clock.monotonic().saturating_sub(began);
        let took = urgent_times(sinks, count, &handed_in).await?;
        figures.count(("urgent messages", "urgent_messages"), took.len() as u64);
        for (what, key, percent) in
            [("p50, ms", "p50_ms", 50), ("p99, ms", "p99_ms", 99), ("worst, ms", "worst_ms", 100)]
        {
            figures.add((what, key), percentile(&took, percent), 1);
        }
        let bulk = as_float(all.saturating_sub(count)) / lasted.as_secs_f64();
        figures.add(("bulk messages/s meanwhile", "bulk_per_second"), bulk, 0);
        Ok(())
    }
}

/// How long each urgent message took, in order of size; waits until the last has come.
async fn urgent_times(
    sinks: &Sinks,
    count: u64,
    handed_in: &[Duration],
) -> Result<Vec<Duration>, BenchError> {
    let mut took = Vec::new();
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        let times = sinks.tally.take_times().into_iter();
        sinks.tally.begin_times();
        took.extend(times.filter_map(|(number, came)| {
            let index = usize::try_from(number.checked_sub(FIRST)?).ok()?;
            came.checked_sub(*handed_in.get(index)?)
        }));
        if took.len() as u64 >= count {
            took.sort_unstable();
            return Ok(took);
        }
        tokio::time::sleep(LOOK).await;
    }
    let text = format!("{} of {count} urgent messages came", took.len());
    Err(BenchError::Broken(text))
}
