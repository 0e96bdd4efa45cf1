//! The benchmark: what Loa can do on this machine, a row at a time.
//!
//! The first row, *ways*, measures what keeping every state costs, on the same work, turn by turn,
//! with receivers on loopback: *unstored* (decode, validate, plan, render, send), *accept* (up to
//! the commit, nothing due) and *durable* (all of it, every state stored). Absolute figures drift
//! from machine to machine and hour to hour; the ratio of durable to unstored does not. The others
//! each show one promise: that nothing slows down as tables grow, that urgent ones overtake, and so
//! on.

mod audience;
mod bed;
mod findings;
mod growth;
mod ground;
mod pace;
mod queue;
mod report;
mod seed;
mod settings;
mod side_thread;
mod sink;
mod slow;
mod smtp;
mod stand;
mod start;
mod unstored;
mod urgent;
mod usage;
mod ways;
mod work;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::app::StartError;
use crate::broker::Refused;
use crate::store::StoreError;

pub use findings::Findings;
pub use stand::stand;

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
    /// How many deliveries the store holds, for rows that ask for it; as many as the row says if
    /// none is given.
    pub sizes: Vec<u64>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// What keeping every state costs, and how soon messages come at a steady pace.
    Ways,
    /// The SMTP provider alone, over 16 connections.
    Smtp,
    /// How soon urgent messages come while others wait and are sent.
    Urgent,
    /// Accept, claim, record and search as the tables grow.
    Growth,
    /// A provider that hangs beside one that does not.
    Slow,
    /// One event to a large segment.
    Audience,
    /// From start to ready, and memory at rest.
    Start,
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
    /// The store is not empty.
    #[error("{0}")]
    NotEmpty(super::StoreInUse),
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
    /// Some minutes, and as long as it takes to fill a store, for figures to rely on.
    pub const FULL: Self = Self {
        warm_up: 1_500,
        rounds: 5,
        round: Duration::from_secs(5),
        paced: Duration::from_secs(20),
    };
    /// Less than a minute beside what it takes to fill a store.
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

impl Bench {
    /// Measures one row; `tell` gets a line for people whenever something is done.
    ///
    /// # Errors
    /// When something does not start, or fails half-way: figures of a broken run are none.
    pub async fn run(
        &self,
        row: Row,
        tell: impl FnMut(&str) + Send,
    ) -> Result<Findings, BenchError> {
        match row {
            Row::Ways => self.ways(tell).await,
            Row::Smtp => self.smtp(tell).await,
            Row::Urgent => self.urgent(tell).await,
            Row::Growth => self.growth(tell).await,
            Row::Slow => self.slow(tell).await,
            Row::Audience => self.audience(tell).await,
            Row::Start => self.start(tell).await,
        }
    }

    /// How many deliveries the store is to hold.
    fn size(&self, usual: u64) -> u64 {
        self.sizes.first().copied().unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn smoke(row: Row, sizes: &[u64]) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench {
            data_dir: folder.path().to_owned(),
            store_url: None,
            amqp_url: None,
            extent: Extent::SMOKE,
            sizes: sizes.to_vec(),
        };
        bench.run(row, |_| {}).await.unwrap().json
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bench_measures_both_channels_and_its_ledger_closes() {
        let report = smoke(Row::Ways, &[]).await;

        for channel in ["chat", "email"] {
            assert!(report["ratio"][channel].as_f64().unwrap() > 0.0, "{report}");
            assert_eq!(report["channels"][channel]["paced"]["messages"], 200);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn smtp_alone_is_measured_with_a_long_and_a_short_mail() {
        let report = smoke(Row::Smtp, &[]).await;

        for mail in ["order", "short"] {
            assert!(report[format!("{mail}_per_second")].as_f64().unwrap() > 0.0, "{report}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn urgent_messages_are_timed_while_others_wait() {
        let report = smoke(Row::Urgent, &[20_000]).await;

        assert_eq!(report["urgent_messages"], 50, "{report}");
        assert!(report["still_waiting"].as_u64().unwrap() > 0, "{report}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn growth_is_measured_at_each_size() {
        let report = smoke(Row::Growth, &[500, 2_000]).await;

        assert_eq!(report["sizes"][1]["rows"], 2_000, "{report}");
        assert!(report["sizes"][1]["claim"]["times_the_smallest"].as_f64().unwrap() > 0.0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_provider_that_hangs_is_measured_beside_one_that_does_not() {
        let report = smoke(Row::Slow, &[]).await;

        assert!(report["share_kept"].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["hanging"].as_u64().unwrap() > 0, "{report}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_audience_is_planned_to_its_end() {
        let report = smoke(Row::Audience, &[3_000]).await;

        assert_eq!(report["recipients"], 3_000, "{report}");
        assert!(report["planned_in_s"].as_f64().unwrap() > 0.0, "{report}");
    }
}
