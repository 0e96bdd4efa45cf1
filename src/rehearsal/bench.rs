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

use secrecy::SecretString;

use crate::app::{App, StartError};
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
    /// A RabbitMQ that events come through, instead of being handed in.
    pub amqp_url: Option<SecretString>,
    /// Ends within a minute.
    pub is_quick: bool,
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
    #[error("{0} holds events that the benchmark did not make; name an empty one")]
    NotEmpty(String),
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
struct Extent {
    rounds: usize,
    /// How long one measurement of the durable way should take.
    round: Duration,
    paced: Duration,
}

/// Events of the first, unmeasured run of each way.
const WARM_UP: u64 = 1_500;
/// Calls at once, of the gateway and of the relay.
const CALLS: (usize, usize) = (64, 32);

impl Bench {
    /// Measures everything; `tell` gets a line for people whenever something is done.
    ///
    /// # Errors
    /// When something does not start, or fails half-way: figures of a broken run are none.
    pub async fn run(&self, mut tell: impl FnMut(&str)) -> Result<Report, BenchError> {
        let clock = Clock::system();
        let sinks = Sinks::start(&clock)?;
        let config = config::load(&self.sources(&sinks)?).map_err(StartError::Faults)?;
        let app = App::build(config, clock, Tasks::new()).await?;
        if !app.store.counters().await?.is_empty() {
            return Err(BenchError::NotEmpty(app.store.describe()));
        }
        let mut bed = Bed::new(&app, &sinks).await?;
        let mut channels = Vec::new();
        for channel in [Channel::Chat, Channel::Email] {
            tell(&format!("{channel}: warming up"));
            channels.push(self.channel(&mut bed, channel, &mut tell).await?);
        }
        let report = bed.report(channels).await?;
        bed.tear_down().await;
        app.stop().await;
        Ok(report)
    }

    async fn channel(
        &self,
        bed: &mut Bed<'_>,
        channel: Channel,
        tell: &mut impl FnMut(&str),
    ) -> Result<ChannelReport, BenchError> {
        let extent = self.extent();
        bed.measure(Way::Unstored, channel, WARM_UP).await?;
        let first = bed.measure(Way::Durable, channel, WARM_UP).await?;
        let count = events_for(&first, extent.round);
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

    fn extent(&self) -> Extent {
        let seconds = Duration::from_secs;
        match self.is_quick {
            true => Extent { rounds: 2, round: seconds(2), paced: seconds(4) },
            false => Extent { rounds: 5, round: seconds(5), paced: seconds(20) },
        }
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
            sources = queue::point_to(sources, url);
        }
        Ok(sources)
    }
}

/// As many events as take about `round` at the pace of `sample`.
fn events_for(sample: &Sample, round: Duration) -> u64 {
    let events = sample.per_second() * round.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded between 1,000 and 500,000 just before"
    )]
    let events = events.clamp(1_000.0, 500_000.0) as u64;
    events.next_multiple_of(500)
}
