//! The benchmark: what keeping every state costs, as a ratio within one run.
//!
//! Three ways are measured on the same work, turn by turn, with receivers on loopback: *unstored*
//! (decode, validate, plan, render, send), *accept* (up to the commit, nothing due) and *durable*
//! (all of it, every state stored). Absolute figures drift from machine to machine and hour to hour;
//! the ratio of durable to unstored does not.

mod bed;
mod pace;
mod queue;
mod report;
mod sink;
mod unstored;
mod usage;
mod work;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::app::{App, StartError};
use crate::broker::{Playground, Refused};
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::lifecycle::Tasks;
use crate::model::address::Channel;
use crate::store::StoreError;

use bed::{Bed, Way};
pub use report::Report;
use report::{ChannelReport, Sample};
use sink::Sinks;

/// What is measured, and on what.
#[derive(Clone, Debug)]
pub struct Bench {
    /// An empty folder that the benchmark may write to.
    pub data_dir: PathBuf,
    /// A PostgreSQL database with nothing in it, instead of SQLite.
    pub store_url: Option<String>,
    /// A RabbitMQ that events come through, instead of being handed in; its virtual host holds
    /// nothing of Loa's.
    pub amqp_url: Option<SecretString>,
    /// How long and how often things are measured.
    pub extent: Extent,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The app does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds something that the benchmark did not make.
    #[error("{0} holds something that the benchmark did not make; name an empty one")]
    NotEmpty(String),
    /// The broker or its virtual host cannot be used.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The broker does not take the events.
    #[error("RabbitMQ did not take the events of the benchmark: {0}")]
    Broker(String),
    /// The events of the benchmark are not taken as they should be.
    #[error("{0}")]
    Broken(String),
    /// Files or ports.
    #[error("cannot set the benchmark up: {0}")]
    SetUp(#[from] io::Error),
}

/// How long and how often things are measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Events of the first, unmeasured run of each way; no measurement takes fewer.
    warm_up: u64,
    rounds: usize,
    /// How long one measurement of the durable way should take.
    round: Duration,
    /// How long events come at a steady pace; whole seconds.
    paced: Duration,
}

impl Extent {
    /// Some minutes, for figures to rely on.
    pub const FULL: Self = Self {
        warm_up: 1_500,
        rounds: 5,
        round: Duration::from_secs(5),
        paced: Duration::from_secs(20),
    };
    /// Less than a minute.
    pub const QUICK: Self = Self {
        warm_up: 1_500,
        rounds: 2,
        round: Duration::from_secs(2),
        paced: Duration::from_secs(4),
    };
    /// Only long enough to see that it works.
    #[cfg(test)]
    const SMOKE: Self =
        Self { warm_up: 50, rounds: 1, round: Duration::ZERO, paced: Duration::from_secs(1) };
}

/// Calls at once, of the gateway and of the relay.
const CALLS: (usize, usize) = (256, 128);

impl Bench {
    /// Measures everything; `tell` gets a line for people whenever something is done.
    ///
    /// # Errors
    /// When something does not start, or fails half-way: figures of a broken run are none.
    pub async fn run(&self, mut tell: impl FnMut(&str)) -> Result<Report, BenchError> {
        let clock = Clock::system();
        let sinks = Sinks::start(&clock)?;
        let config = config::load(&self.sources(&sinks)?).map_err(StartError::Faults)?;
        let playground = match &config.rabbitmq {
            Some(settings) => Some(Playground::claim(settings).await?),
            None => None,
        };
        let app = App::build(config, clock, Tasks::new()).await?;
        if !app.store.is_empty().await? {
            return Err(BenchError::NotEmpty(app.store.describe()));
        }
        let mut bed = Bed::new(&app, &sinks).await?;
        let mut channels = Vec::new();
        for channel in [Channel::Chat, Channel::Email] {
            tell(&format!("{channel}: warming up"));
            channels.push(self.channel(&mut bed, channel, &mut tell).await?);
        }
        let report = bed.report(channels).await?;
        drop(bed);
        app.stop().await;
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        Ok(report)
    }

    async fn channel(
        &self,
        bed: &mut Bed<'_>,
        channel: Channel,
        tell: &mut impl FnMut(&str),
    ) -> Result<ChannelReport, BenchError> {
        let extent = self.extent;
        bed.measure(Way::Unstored, channel, extent.warm_up).await?;
        let first = bed.measure(Way::Durable, channel, extent.warm_up).await?;
        let count = events_for(&first, extent);
        let mut report = ChannelReport::new(channel);
        for round in 1..=extent.rounds {
            for way in [Way::Unstored, Way::Accept, Way::Durable] {
                report.add(way, bed.measure(way, channel, count).await?);
            }
            let rounds = extent.rounds;
            tell(&format!("{channel}: round {round} of {rounds}: {}", report.last_round()));
        }
        report.pace = Some(bed.pace(channel, extent.paced).await?);
        Ok(report)
    }

    /// Settings that send everything to the sinks.
    fn sources(&self, sinks: &Sinks) -> io::Result<Sources> {
        let catalogue = self.data_dir.join("event-types");
        fs::create_dir_all(&catalogue)?;
        for channel in [Channel::Chat, Channel::Email] {
            let file = catalogue.join(format!("bench.{channel}.toml"));
            fs::write(file, work::event_type(channel))?;
        }
        let ((chat, email), smtp) = (CALLS, sinks.smtp.port());
        let text = format!(
            "alarms = false\n\
             [channels]\nchat = \"chat\"\nemail = \"email\"\n\
             [send]\nallow_private_addresses = true\n\
             [providers.chat]\nkind = \"slack\"\nurl = \"http://{}/\"\nconcurrency = {chat}\n\
             [providers.email]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {smtp}\n\
             tls = \"none\"\nconcurrency = {email}\n\
             [email]\nfrom_name = \"Cà phê Sao Mai\"\nfrom = \"tin@saomai.example\"\n\
             dkim = \"relay\"\n",
            sinks.http
        );
        let mut sources = Sources::defaults()
            .with_text("bench.toml", &text)
            .with_override("data_dir", &self.data_dir.display().to_string(), "--data-dir")
            .with_override("catalogue_dir", &catalogue.display().to_string(), "the benchmark");
        if let Some(url) = &self.store_url {
            sources = sources.with_override("store.url", url, "--store");
        }
        if let Some(url) = &self.amqp_url {
            sources = sources.with_override("rabbitmq.url", url.expose_secret(), "--amqp");
        }
        Ok(sources)
    }
}

/// As many events as take about a round at the pace of `sample`.
fn events_for(sample: &Sample, extent: Extent) -> u64 {
    let events = sample.per_second() * extent.round.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded between 0 and 500,000 just before"
    )]
    let events = events.clamp(0.0, 500_000.0) as u64;
    events.max(extent.warm_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bench_measures_both_channels_and_its_ledger_closes() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        let bench = Bench { data_dir, store_url: None, amqp_url: None, extent: Extent::SMOKE };

        let report = bench.run(|_| {}).await.unwrap().json();

        for channel in ["chat", "email"] {
            assert!(report["ratio"][channel].as_f64().unwrap() > 0.0, "{report}");
            assert_eq!(report["channels"][channel]["paced"]["messages"], 200);
        }
    }
}
