//! The row *slow*: a provider that hangs beside one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::bed::{Bed, PATIENCE, Way, events_for};
use super::findings::{Figures, Findings, median};
use super::ground::insist_that_it_closes;
use super::settings::Stage;
use super::sink::Sinks;
use super::work::{self, arrival};
use super::{Bench, BenchError, usage};
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;

/// Calls at once of the provider that hangs.
const HANGING: u64 = 64;
/// How long it lets a call hang before it is given up, in seconds; longer than all rounds take: once
/// some were given up, its breaker would open and nothing hang any more.
const TIMEOUT: u64 = 120;
/// Deliveries that wait for it.
const WAITING: u64 = 2_000;
const SLOW: &str = "bench.slow";

impl Bench {
    pub(super) async fn slow(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let sinks = Sinks::start(&Clock::system())?;
        let silent = Silent::default();
        let stage = stage(&silent).await?;
        let (app, playground) = self.open(&sinks, &stage).await?;
        let mut bed = Bed::new(&app, &sinks).await?;
        let first = bed.measure(Way::Durable, Channel::Chat, self.extent.warm_up).await?;
        let count = events_for(&first, self.extent);

        let alone = self.fast(&mut bed, count).await?;
        tell(&format!("the fast one alone: {alone:.0}/s"));
        bed.hang(&silent).await?;
        let beside = self.fast(&mut bed, count).await?;
        let hanging = silent.calls();
        if hanging < HANGING {
            let text = format!("only {hanging} of {HANGING} calls of the slow one hang at the end");
            return Err(BenchError::Broken(text));
        }
        tell(&format!("beside the slow one: {beside:.0}/s"));
        let mut figures = Figures::default();
        figures.add(("fast one alone, messages/s", "alone_per_second"), alone, 0);
        figures.add(("beside the slow one, messages/s", "beside_per_second"), beside, 0);
        figures.add(("share kept", "share_kept"), beside / alone.max(f64::EPSILON), 3);
        figures.count(("calls that hang", "hanging"), hanging);
        figures.count(("deliveries that wait for the slow one", "waiting"), WAITING - hanging);
        figures.count(("peak memory, MiB", "peak_memory_mib"), usage::peak_memory() >> 20);
        let store = app.store.clone();
        drop(bed);
        // The calls that hang would hang on.
        app.tasks.hard().cancel();
        app.stop().await;
        silent.tasks.hard().cancel();
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        insist_that_it_closes(&store).await?;
        Ok(figures.findings(&store.describe()))
    }

    /// Messages a second of the provider that does not hang: the median of the rounds.
    async fn fast(&self, bed: &mut Bed<'_>, count: u64) -> Result<f64, BenchError> {
        let mut speeds = Vec::new();
        for _ in 0..self.extent.rounds {
            speeds.push(bed.measure(Way::Durable, Channel::Chat, count).await?.per_second());
        }
        Ok(median(speeds))
    }
}

/// Settings with a second provider of chats, whose gateway takes everything and never answers.
async fn stage(silent: &Silent) -> Result<Stage, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    silent.listen(listener);
    let event_type = work::named_event_type(Channel::Chat, SLOW, "normal");
    let providers = format!(
        "[providers.slow]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         concurrency = {HANGING}\ntimeout = \"{TIMEOUT}s\"\n"
    );
    let event_types = vec![(SLOW.to_owned(), event_type)];
    Ok(Stage { event_types, providers, ..Stage::default() })
}

/// An event to somebody whose chat is the provider that hangs.
fn to_slow(number: u64) -> Bytes {
    let event = work::event(SLOW, Channel::Chat, number, None);
    let text = String::from_utf8_lossy(&event);
    text.replace("\"chat\":\"chat\"", "\"chat\":\"slow\"").into()
}

impl Bed<'_> {
    /// Plans deliveries for the provider that hangs, and returns once all its calls hang and what
    /// stood in line behind them waits in the store.
    async fn hang(&mut self, silent: &Silent) -> Result<(), BenchError> {
        let now = self.app.clock.now();
        let events = (0..WAITING).map(|number| arrival(to_slow(number), now));
        self.accept(events.collect()).await?;
        let in_flight = || self.app.pipeline.in_flight() as u64;
        let hang = async {
            while silent.calls() < HANGING || in_flight() > HANGING {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, hang).await.is_err() {
            let calls = silent.calls();
            let text = format!("{calls} calls reached the slow provider instead of {HANGING}");
            return Err(BenchError::Broken(text));
        }
        self.stuck = self.app.pipeline.in_flight();
        Ok(())
    }
}

/// A gateway that takes connections and reads what comes, and never answers.
#[derive(Default)]
struct Silent {
    tasks: Tasks,
    calls: Arc<AtomicU64>,
}

impl Silent {
    /// How many calls wait for an answer.
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn listen(&self, listener: TcpListener) {
        let (all, calls) = (self.tasks.clone(), Arc::clone(&self.calls));
        self.tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let calls = Arc::clone(&calls);
                all.spawn(async move {
                    let mut buffer = [0; 4096];
                    if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        return;
                    }
                    calls.fetch_add(1, Ordering::SeqCst);
                    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                    calls.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }
}
