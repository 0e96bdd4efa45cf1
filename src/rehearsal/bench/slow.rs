//! The row *slow*: a provider that hangs beside one that does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::bed::{Bed, PATIENCE, Way};
use super::findings::{Figures, Findings, median};
use super::settings::Stage;
use super::sink::Sinks;
use super::ways::events_for;
use super::work::{self, arrival};
use super::{Bench, BenchError, usage};
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;

/// Calls at once of the provider that hangs.
const HANGING: u64 = 64;
/// Deliveries that wait for it.
const WAITING: u64 = 2_000;
/// How often it is looked whether calls hang, or are over.
const LOOK: Duration = Duration::from_millis(5);
const SLOW: &str = "bench.slow";

impl Bench {
    pub(super) async fn slow(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let sinks = Sinks::start(&Clock::system())?;
        let silent = Tasks::new();
        let (hold, held) = watch::channel(true);
        let stage = stage(&silent, held).await?;
        let (app, playground) = self.open(&sinks, &stage).await?;
        let mut bed = Bed::new(&app, &sinks).await?;
        let first = bed.measure(Way::Durable, Channel::Chat, self.extent.warm_up).await?;
        let count = events_for(&first, self.extent);

        let (mut alone, mut beside, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for round in (1..).take(self.extent.rounds) {
            let by_itself = bed.fast(count).await?;
            hold.send_replace(true);
            bed.hang(round).await?;
            let with_slow = bed.fast(count).await?;
            hold.send_replace(false);
            bed.unstick().await?;
            tell(&format!("round {round}: alone {by_itself:.0}/s, beside it {with_slow:.0}/s"));
            alone.push(by_itself);
            beside.push(with_slow);
            kept.push(with_slow / by_itself.max(f64::EPSILON));
        }
        let mut figures = Figures::default();
        figures.add(("fast one alone, messages/s", "alone_per_second"), median(alone), 0);
        figures.add(("beside the slow one, messages/s", "beside_per_second"), median(beside), 0);
        figures.add(("share kept", "share_kept"), median(kept), 3);
        figures.count(("calls that hang", "hanging"), HANGING);
        figures.count(("deliveries that wait for the slow one", "waiting"), WAITING - HANGING);
        figures.count(("peak memory, MiB", "peak_memory_mib"), usage::peak_memory() >> 20);
        let store = app.store.describe();
        drop(bed);
        app.stop().await;
        silent.hard().cancel();
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        Ok(figures.findings(&store))
    }
}

/// Settings with a second provider of chats, whose gateway does not answer while it is `held`.
async fn stage(tasks: &Tasks, held: watch::Receiver<bool>) -> Result<Stage, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    answer_later(listener, held, tasks);
    let event_type = work::named_event_type(Channel::Chat, SLOW, "normal")
        .replace("template =", "providers = { chat = \"slow\" }\ntemplate =");
    let providers = format!(
        "[providers.slow]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         concurrency = {HANGING}\ntimeout = \"30s\"\n"
    );
    let event_types = vec![(SLOW.to_owned(), event_type)];
    Ok(Stage { event_types, providers, ..Stage::default() })
}

impl Bed<'_> {
    /// Messages a second of the provider that does not hang.
    async fn fast(&mut self, count: u64) -> Result<f64, BenchError> {
        Ok(self.measure(Way::Durable, Channel::Chat, count).await?.per_second())
    }

    /// Plans deliveries for the provider that hangs, and returns once all its calls hang.
    async fn hang(&mut self, round: u64) -> Result<(), BenchError> {
        let now = self.app.clock.now();
        let numbers = round * WAITING..(round + 1) * WAITING;
        let events =
            numbers.map(|number| arrival(work::event(SLOW, Channel::Chat, number, None), now));
        self.accept(events.collect()).await?;
        while (self.app.pipeline.in_flight() as u64) < HANGING {
            tokio::time::sleep(LOOK).await;
        }
        self.stuck = self.app.pipeline.in_flight();
        Ok(())
    }

    /// Returns once all that hung or waited is sent.
    async fn unstick(&mut self) -> Result<(), BenchError> {
        self.stuck = 0;
        let sent = async {
            loop {
                let agenda = self.app.store.agenda().await?;
                if agenda.next_due.is_none() && agenda.claimed == 0 {
                    return self.settled().await;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.map_err(|_| BenchError::Broken("what hung was never sent".to_owned()))?
    }
}

/// Takes connections and reads what comes; answers once it is not `held`.
fn answer_later(listener: TcpListener, held: watch::Receiver<bool>, tasks: &Tasks) {
    let all = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let held = held.clone();
            all.spawn(async move {
                // A connection that ends is one that is made anew.
                drop(answer(stream, held).await);
            });
        }
    });
}

async fn answer(mut stream: TcpStream, mut held: watch::Receiver<bool>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer).await? > 0 && held.wait_for(|held| !held).await.is_ok() {
        let text = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(text).await?;
        stream.shutdown().await?;
    }
    Ok(())
}
