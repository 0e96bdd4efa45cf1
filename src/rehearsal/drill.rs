//! The drill: attacks real workers in processes of their own, then counts at the receivers.
//!
//! Two phases: faults on, chosen by a seed; then all is well again, and the backlog must reach zero
//! in a bounded time. What came to the receivers is held against what was accepted and what the
//! store says: nothing may be lost, and nothing may come twice that was not in flight at a fault.

mod account;
#[cfg(test)]
mod broken;
mod attack;
mod crew;
mod disk;
mod fault;
mod ground;
mod manner;
mod press;
mod receivers;
mod report;
mod run;
mod story;
mod tally;
mod work;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use secrecy::SecretString;

use crate::app;
use crate::broker::{self, Playground, Publisher, Refused};
use crate::clock::Clock;
use crate::config::{Faults, RabbitSettings, Topology};
use crate::lifecycle::Tasks;
use crate::model::id::RunId;
use crate::store::{Onlooker, Store, StoreError};
use crate::telemetry::Metrics;

use attack::{Attack, Controls};
use crew::{Crew, Program};
use disk::Disk;
use fault::Kind;
use ground::{Ground, Whereabouts};
use manner::Manner;
use press::{Press, Way};
use receivers::Receivers;
pub use report::Report;
use run::Run;
use tally::Tally;

/// What is attacked, and how.
#[derive(Clone, Debug)]
pub struct Drill {
    /// An empty folder that the drill may write to.
    pub folder: PathBuf,
    /// A PostgreSQL database with nothing in it, instead of SQLite.
    pub store_url: Option<SecretString>,
    /// A RabbitMQ that events come through, instead of HTTP.
    pub amqp_url: Option<SecretString>,
    /// A program that restarts the database when called with `restart`.
    pub store_control: Option<String>,
    /// A program that restarts the broker when called with `restart`.
    pub amqp_control: Option<String>,
    /// How many processes share the store; SQLite takes one.
    pub workers: usize,
    /// Chooses the faults.
    pub seed: u64,
    /// How much is done.
    pub extent: Extent,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How many faults.
    pub faults: usize,
    /// How many events.
    pub events: u64,
    /// After this no further fault is begun, however many are left.
    pub within: Duration,
}

impl Extent {
    /// Some minutes.
    pub const USUAL: Self = Self { faults: 100, events: 20_000, within: Duration::from_hours(24) };
    /// Less than a minute.
    pub const QUICK: Self = Self { faults: 24, events: 1_200, within: Duration::from_secs(40) };

    /// The same with as many events as lead to about this many deliveries.
    #[must_use]
    pub fn with_deliveries(self, deliveries: u64) -> Self {
        // Of four events one leads to each of two deliveries alone, and two to three each.
        Self { events: deliveries / 2, ..self }
    }
}

/// How far a drill is: faults done, faults in all, and what is being done.
pub type Progress<'a> = (usize, usize, &'a str);

/// Why a drill has no result.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The settings that the drill makes have faults.
    #[error("{0}")]
    Settings(Faults),
    /// The address of a service cannot be used.
    #[error("cannot be attacked: {0}")]
    Url(String),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is not empty.
    #[error("{0}")]
    NotEmpty(super::StoreInUse),
    /// The broker or its virtual host cannot be used.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A worker does not start, or ended by itself.
    #[error("{0}")]
    Worker(String),
    /// Files, ports or processes.
    #[error("cannot set the drill up: {0}")]
    SetUp(#[from] io::Error),
}

impl Drill {
    /// Attacks, heals, and counts; `tell` hears how far it is.
    ///
    /// # Errors
    /// When something cannot be set up: a broken promise is none, and stands in the report.
    pub async fn run(&self, tell: impl FnMut(Progress<'_>)) -> Result<Report, DrillError> {
        self.run_with((Program::own()?, None), tell).await
    }

    /// The same with workers of another program, and only these kinds of faults.
    async fn run_with(
        &self,
        (program, only): (Program, Option<&[Kind]>),
        tell: impl FnMut(Progress<'_>),
    ) -> Result<Report, DrillError> {
        fs::create_dir_all(&self.folder)?;
        let disk = match self.folders().first() {
            Some(folder) if self.store_url.is_none() => Disk::prepare(folder).await?,
            _ => None,
        };
        let tasks = Tasks::new();
        let report = match self.stage(program, disk.as_ref(), &tasks).await {
            Ok(mut staged) => {
                staged.possible.retain(|kind| only.is_none_or(|only| only.contains(kind)));
                staged.run(tell).await
            }
            Err(error) => Err(error),
        };
        tasks.hard().cancel();
        report
    }

    /// Everything that a drill needs, and refuses to have of others.
    async fn stage<'a>(
        &'a self,
        program: Program,
        disk: Option<&'a Disk>,
        tasks: &Tasks,
    ) -> Result<Run<'a>, DrillError> {
        let clock = Clock::system();
        let has_clocks = !program.by_environment;
        let receivers = Receivers::start(Tally::new(clock.clone(), self.seed), tasks).await?;
        let folders = self.folders();
        let whereabouts =
            Whereabouts { store_url: self.store_url.clone(), amqp_url: self.amqp_url.clone() };
        let data = folders.first().cloned().unwrap_or_default();
        let ground = Ground::prepare(&self.folder, &data, &whereabouts, &receivers).await?;
        let rabbitmq = ground.own.rabbitmq.clone();
        let playground = match rabbitmq {
            Some(settings) => Some((Playground::claim(&settings).await?, settings)),
            None => None,
        };
        let store = describe_empty(&ground, &clock).await?;
        let has_quota = disk.is_some_and(Disk::is_quota);
        let crew = Arc::new(Crew::new(program, ground.settings.clone(), &folders, has_quota)?);
        let way = match &playground {
            Some((_, settings)) => by_broker(settings, &clock, tasks),
            None => Way::Http(Arc::clone(&crew)),
        };
        let onlooker = Onlooker::new(&app::place(&ground.own), clock.clone())?;
        let press = Press::start(way, self.seed, tasks);
        let controls =
            Controls { broker: self.amqp_control.clone(), store: self.store_control.clone() };
        let rng = Rng::with_seed(self.seed);
        let (seconds_ahead, began) = (0, clock.monotonic());
        let attack = Attack {
            crew,
            receivers,
            ground,
            onlooker,
            press,
            controls,
            disk,
            clock,
            rng,
            seconds_ahead,
        };
        let possible = self.possible(disk.is_some(), has_clocks);
        let (struck, broken) = (Vec::new(), Vec::new());
        Ok(Run { drill: self, attack, playground, possible, store, began, struck, broken })
    }

    /// A data folder for each worker; the first holds the SQLite file.
    fn folders(&self) -> Vec<PathBuf> {
        let workers = if self.store_url.is_some() { self.workers } else { 1 };
        (1..=workers).map(|number| self.folder.join(format!("worker-{number}"))).collect()
    }

    /// What can be done here.
    fn possible(&self, has_disk: bool, has_clocks: bool) -> Vec<Kind> {
        let mut kinds = vec![Kind::Kill, Kind::KillAtStart, Kind::Stop, Kind::Terminate];
        kinds.extend([Kind::ReceiversCut, Kind::ReceiversAway, Kind::Again]);
        kinds.extend(Manner::ALL.map(Kind::Receivers));
        if has_disk {
            kinds.push(Kind::DiskFull);
        }
        if has_clocks {
            kinds.extend([Kind::ClockAhead, Kind::ClockBehind]);
        }
        if self.amqp_url.is_some() {
            kinds.extend([Kind::BrokerCut, Kind::BrokerSilent]);
            kinds.extend(self.amqp_control.is_some().then_some(Kind::BrokerRestart));
        }
        if self.store_url.is_some() {
            kinds.extend([Kind::StoreCut, Kind::StoreSilent]);
            kinds.extend(self.store_control.is_some().then_some(Kind::StoreRestart));
        }
        kinds
    }
}

/// A publisher on a connection of its own that no fault touches, but a restart.
fn by_broker(settings: &RabbitSettings, clock: &Clock, tasks: &Tasks) -> Way {
    let exchange = settings.exchange.clone();
    let settings = RabbitSettings {
        // Whoever publishes events does not care for the exchange of status events.
        status_exchange: exchange.clone(),
        topology: Topology::Check,
        ..settings.clone()
    };
    let publisher = Publisher::start(&broker::Parts {
        settings: Arc::new(settings),
        clock: clock.clone(),
        tasks: tasks.clone(),
        metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))),
    });
    Way::RabbitMq(publisher, exchange)
}

/// What kind of store it is, if nobody has anything there.
async fn describe_empty(ground: &Ground, clock: &Clock) -> Result<String, DrillError> {
    let run = RunId::new(clock.now());
    let store = Store::open_as_it_is(app::store_settings(&ground.own), clock.clone(), run)?;
    match store.is_empty().await.map_err(|error| error.of_store_at(&store.describe()))? {
        true => store.migrate().await?,
        false => return Err(DrillError::NotEmpty(super::StoreInUse::of(&store))),
    };
    Ok(store.describe())
}

async fn open(ground: &Ground, clock: &Clock) -> Result<Store, StoreError> {
    let run = RunId::new(clock.now());
    Store::open(app::store_settings(&ground.own), clock.clone(), run).await
}

/// Leaves nothing on the virtual host; the connection that claimed it may be gone by now.
async fn clear(playground: Playground, settings: &RabbitSettings) -> Result<(), Refused> {
    match playground.clear().await {
        Ok(()) => Ok(()),
        Err(_) => Playground::claim(settings).await?.clear().await,
    }
}
