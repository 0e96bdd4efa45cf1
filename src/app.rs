//! Builds every part once and runs until stopped.

mod checked;
mod reload;
pub mod server_file;
mod template_place;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::broker::{self, BrokerState, Consumer, Publisher};
use crate::clock::Clock;
use crate::config::{Config, Faults};
use crate::lifecycle::Tasks;
use crate::model::id::RunId;
use crate::pipeline::{Batching, CutOff, Parts, Pipeline, Rulebook};
use crate::provider::Surroundings;
use crate::store::{self, Ages, Store, StoreError};
use crate::telemetry::Metrics;
use crate::web::{self, Door};

pub use checked::{Checked, check, desks, rulebook};

/// The name of the SQLite file in the data folder.
const DATABASE: &str = "loa.db";
/// The longest wait between two tries to reach a store.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long the start waits for the broker to let Loa in or not.
const LOOK_AT_BROKER: Duration = Duration::from_secs(3);

/// One running Loa.
pub struct App {
    /// What it was started with.
    pub config: Arc<Config>,
    /// The store.
    pub store: Store,
    /// The two halves.
    pub pipeline: Pipeline,
    /// What the steps decide by.
    pub rulebook: Arc<ArcSwap<Rulebook>>,
    /// The time.
    pub clock: Clock,
    /// Everything that runs in the background.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What providers share; the demo lets some play dead.
    pub surroundings: Surroundings,
    /// How the connections to the broker stand; none without a broker.
    links: Vec<(&'static str, watch::Receiver<BrokerState>)>,
}

/// Why Loa does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings, catalogue or templates have faults; all of them are listed.
    #[error("{0}")]
    Faults(#[from] Faults),
    /// Nobody can reach this Loa.
    #[error("{0}; name another address with http.listen")]
    Serve(#[from] web::ServeError),
    /// The data folder cannot be written, or the system gives no random numbers.
    #[error("cannot write server.json to the data folder: {0}")]
    ServerFile(#[from] std::io::Error),
    /// The store is not as it must be.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The broker lets Loa in nowhere.
    #[error("{0}; mend rabbitmq.url")]
    Broker(#[from] broker::Refused),
}

impl App {
    /// Builds and starts everything but what listens to HTTP.
    ///
    /// A store that cannot be reached is waited for, and said so once.
    ///
    /// # Errors
    /// All faults of settings, catalogue and templates, or what is wrong with the store.
    pub async fn start(config: Config, clock: Clock, tasks: Tasks) -> Result<Self, StartError> {
        Self::start_behind(Checked::of(config, &clock)?, tasks, None).await
    }

    /// As [`App::start`], and says at the `door` what is waited for.
    ///
    /// # Errors
    /// What is wrong with the store, or that the broker lets Loa in nowhere.
    pub async fn start_behind(
        checked: Checked,
        tasks: Tasks,
        door: Option<&Door>,
    ) -> Result<Self, StartError> {
        let mut app = Self::build_behind(checked, tasks, door).await?;
        app.connect();
        Ok(app)
    }

    /// As [`App::start`], but takes no event from the broker and publishes nothing.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn build(config: Config, clock: Clock, tasks: Tasks) -> Result<Self, StartError> {
        Self::build_behind(Checked::of(config, &clock)?, tasks, None).await
    }

    async fn build_behind(
        checked: Checked,
        tasks: Tasks,
        door: Option<&Door>,
    ) -> Result<Self, StartError> {
        let Checked { config, surroundings, desks, rulebook } = checked;
        let clock = surroundings.clock.clone();
        let rulebook = Arc::new(ArcSwap::from_pointee(rulebook));
        let (store, broker) =
            tokio::join!(open_store(&config, &clock, door), look_at_broker(&config));
        let store = store?;
        broker?;
        store.warn_of_replicas().await;
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let pipeline = Pipeline::start(Parts {
            store: store.clone(),
            rulebook: Arc::clone(&rulebook),
            desks,
            clock: clock.clone(),
            tasks: tasks.clone(),
            metrics: Arc::clone(&metrics),
            lease: config.send.lease,
            ages: Ages {
                deliveries: config.retention.deliveries,
                rejected: config.retention.rejected,
                captured: config.retention.captured,
            },
            alarms: config.alarms,
        });
        let links = Vec::new();
        let app =
            Self { config, store, pipeline, rulebook, clock, tasks, metrics, surroundings, links };
        app.release_render_held().await;
        Ok(app)
    }

    /// Connects to the broker, if one is configured: one connection consumes, another publishes.
    fn connect(&mut self) {
        let Some(parts) = self.broker_parts(&self.tasks) else { return };
        let (consumer, publisher) = (Consumer::start(&parts), Publisher::start(&parts));
        self.links =
            vec![("rabbitmq (events)", consumer.state()), ("rabbitmq (status)", publisher.state())];
        self.pipeline.consume(consumer, self.batching(), &self.tasks);
        self.pipeline.tell(publisher, &self.metrics, &self.tasks);
    }

    /// What connections to the configured broker are made of; they live in `tasks`.
    pub fn broker_parts(&self, tasks: &Tasks) -> Option<broker::Parts> {
        Some(broker::Parts {
            settings: Arc::new(self.config.rabbitmq.clone()?),
            clock: self.clock.clone(),
            tasks: tasks.clone(),
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// How arrivals are gathered into batches.
    pub fn batching(&self) -> Batching {
        let intake = &self.config.intake;
        Batching { size: intake.batch, wait: intake.batch_wait }
    }

    /// Serves API and console where the settings say; returns the address.
    ///
    /// # Errors
    /// As [`App::open`], and when the address is taken.
    pub async fn serve(&self) -> Result<SocketAddr, StartError> {
        let door = Door::open(&self.config, &self.tasks).await?;
        self.open(&door)?;
        Ok(door.address())
    }

    /// Serves API and console at the `door`.
    ///
    /// Leaves `server.json` in the data folder, readable by its owner alone, by which the command
    /// line finds this Loa.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(&self, door: &Door) -> Result<(), StartError> {
        let token = web::random_secret()?;
        let surroundings = web::Surroundings {
            store: self.store.clone(),
            pipeline: self.pipeline.clone(),
            config: Arc::clone(&self.config),
            clock: self.clock.clone(),
            local_token: SecretString::from(token.clone()),
            attempts: web::Attempts::default(),
            rates: web::Rates::start(self.store.clone(), self.clock.clone(), &self.tasks),
            readiness: Arc::new(readiness(&self.links)),
        };
        door.let_in(surroundings);
        let address = door.address();
        server_file::write(&self.config.data_dir, (address, self.store.run()), &token)?;
        info!("Loa is ready with {} and listens on {address}", self.store.describe());
        Ok(())
    }

    /// A new link by which whoever starts Loa signs in to its console, once and within minutes;
    /// none if the user for that was removed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn login_link(&self, address: SocketAddr) -> Result<Option<String>, StartError> {
        let secret = web::random_secret()?;
        Ok(web::local_link(&self.store, &self.config, address, &secret).await?)
    }

    /// Returns once both connections to the broker stand; at once without a broker.
    pub async fn broker_is_connected(&self) {
        for (_, state) in &self.links {
            // A link that has ended will not come to stand any more.
            state.clone().wait_for(BrokerState::is_connected).await.ok();
        }
    }

    /// Takes no new work, finishes what is in flight within the grace, records the rest.
    pub async fn stop(self) {
        server_file::remove(&self.config.data_dir, self.store.run());
        let (began, grace) = (Instant::now(), self.config.send.grace);
        let count = self.pipeline.in_flight();
        let most = grace.as_secs_f64();
        info!(count, "stopping: {count} deliveries in flight have up to {most} s to end");
        self.tasks.stop(grace).await;
        let cut_off = self.pipeline.record_what_is_left().await;
        let took = began.elapsed().as_secs_f64();
        let ended = count.saturating_sub(cut_off.unknown + cut_off.given_back);
        match cut_off {
            CutOff { unknown: 0, given_back: 0 } => {
                info!("stopped after {took:.1} s: nothing was cut off");
            }
            CutOff { unknown, given_back } => warn!(
                "stopped after {took:.1} s: {ended} of the deliveries in flight ended, {given_back} \
                 were given back, {unknown} were cut off while being sent and are unknown"
            ),
        }
    }
}

/// Asks the connections to the broker what is not as it should be.
fn readiness(
    links: &[(&'static str, watch::Receiver<BrokerState>)],
) -> impl Fn() -> Vec<(String, String)> + Send + Sync + use<> {
    let links = links.to_vec();
    move || {
        let missing = links.iter().filter_map(|(name, state)| {
            let state = state.borrow();
            let why = state.fault().unwrap_or("not connected yet").to_owned();
            (!state.is_connected()).then(|| ((*name).to_owned(), why))
        });
        missing.collect()
    }
}

/// Where the store of `config` is.
pub fn place(config: &Config) -> store::Place {
    match &config.store.url {
        Some(url) => {
            store::Place::Postgres { url: url.clone(), connections: config.store.connections }
        }
        None => store::Place::Sqlite(database(config)),
    }
}

/// The SQLite file of `config`.
pub fn database(config: &Config) -> PathBuf {
    config.data_dir.join(DATABASE)
}

/// What the store is opened with.
pub fn store_settings(config: &Config) -> store::Settings {
    store::Settings {
        place: place(config),
        outbox: config.rabbitmq.is_some(),
        keys_last: config.retention.keys,
        derived_keys_last: config.retention.derived_keys,
    }
}

/// Fails if somebody has to mend how Loa logs in; a broker that is not there is waited for later.
async fn look_at_broker(config: &Config) -> Result<(), broker::Refused> {
    let Some(settings) = &config.rabbitmq else { return Ok(()) };
    match tokio::time::timeout(LOOK_AT_BROKER, broker::try_login(settings)).await {
        Ok(Err(refused)) if refused.is_standing => Err(refused),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens the store, and waits for it where it is away.
async fn open_store(
    config: &Config,
    clock: &Clock,
    door: Option<&Door>,
) -> Result<Store, StoreError> {
    let mut wait = Duration::from_millis(250);
    let mut said: Option<String> = None;
    let run = RunId::new(clock.now());
    loop {
        match Store::open(store_settings(config), clock.clone(), run).await {
            Err(error) if error.is_temporary() => {
                let text = format!("{}: {error}", place(config).describe());
                if let Some(door) = door {
                    door.waits_for("store", &text);
                }
                if said.as_ref() != Some(&text) {
                    warn!(error = %text, "waiting for the store: {text}");
                    said = Some(text);
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
