//! Builds every part once and runs until stopped.

mod reload;
pub mod server_file;
mod template_place;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::SecretString;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::broker::{self, BrokerState, Consumer, Publisher};
use crate::clock::Clock;
use crate::config::{Config, Faults, KindFacts, Place, check_config};
use crate::intake::Decoder;
use crate::lifecycle::Tasks;
use crate::model::address::Channel;
use crate::model::catalogue::Catalogue;
use crate::model::id::{ProviderName, RunId};
use crate::pipeline::{Batching, Parts, Pipeline, Rulebook};
use crate::plan::{Routes, Rules};
use crate::provider::{self, KINDS, Surroundings};
use crate::render::{Company, Letterhead, TemplateFault, Templates, Unsubscribe};
use crate::send::Desk;
use crate::send::only_to::OnlyTo;
use crate::store::{self, Ages, Store, StoreError};
use crate::telemetry::Metrics;
use crate::web;

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
    Faults(Faults),
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
        let mut app = Self::build(config, clock, tasks).await?;
        app.connect();
        Ok(app)
    }

    /// As [`App::start`], but takes no event from the broker and publishes nothing.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn build(config: Config, clock: Clock, tasks: Tasks) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let surroundings = Surroundings::new(clock.clone(), &config);
        let desks = desks(&config, &surroundings);
        let rulebook = rulebook(&config);
        check(&config);
        if config.places.faults.has_errors() {
            return Err(StartError::Faults(config.places.faults.clone()));
        }
        let Some(rulebook) = rulebook else {
            return Err(StartError::Faults(config.places.faults.clone()));
        };
        let rulebook = Arc::new(ArcSwap::from_pointee(rulebook));
        let (store, broker) = tokio::join!(open_store(&config, &clock), look_at_broker(&config));
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
        info!("Loa is ready with {}", store.describe());
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
    /// Leaves `server.json` in the data folder, readable by its owner alone, by which the command
    /// line finds this Loa.
    ///
    /// # Errors
    /// When the address is taken, or the file cannot be written.
    pub async fn serve(&self) -> Result<SocketAddr, StartError> {
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
        let address = web::serve(surroundings, &self.tasks).await?;
        server_file::write(&self.config.data_dir, (address, self.store.run()), &token)?;
        Ok(address)
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
        if !self.tasks.stop(self.config.send.grace).await {
            warn!("the stop cut off what was still being done; what was being sent is unknown");
        }
        self.pipeline.record_what_is_left().await;
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

async fn open_store(config: &Config, clock: &Clock) -> Result<Store, StoreError> {
    let mut wait = Duration::from_millis(250);
    let mut said: Option<String> = None;
    let run = RunId::new(clock.now());
    loop {
        match Store::open(store_settings(config), clock.clone(), run).await {
            Err(error) if error.is_temporary() => {
                let text = error.to_string();
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

/// Makes a desk for each provider; what is wrong with one goes to the config's faults.
pub fn desks(config: &Config, surroundings: &Surroundings) -> Vec<Arc<Desk>> {
    let only_to = OnlyTo::new(&config.send.only_to);
    let desk = |settings: &crate::config::ProviderSettings| {
        let provider = provider::build(settings, surroundings)?;
        let kind = provider::find_kind(&settings.kind)?;
        let clock = surroundings.clock.clone();
        let way = (provider, kind.dialect);
        Some(Arc::new(Desk::new(settings.clone(), way, only_to.clone(), clock)))
    };
    config.providers.values().filter_map(desk).collect()
}

/// Everything that can be checked without a store; faults go to the config's list.
pub fn check(config: &Config) {
    let kinds: Vec<KindFacts<'_>> = KINDS
        .iter()
        .map(|kind| KindFacts {
            name: kind.name,
            channels: kind.channels,
            captures: kind.name == "sandbox",
        })
        .collect();
    check_config(config, &kinds);
}

/// What the steps decide by; faults of templates and schemas go to the config's list.
pub fn rulebook(config: &Config) -> Option<Rulebook> {
    let faults = &config.places.faults;
    let catalogue = Arc::new(config.catalogue.clone());
    let note = |found: Vec<TemplateFault>| {
        for fault in found {
            let place = template_place::of_fault(config, &fault);
            faults.error(place, fault.fault.message, "mend the template");
        }
    };
    let templates = Templates::load(&config.templates, &config.defaults.locale).map_err(note).ok();
    let letterhead = letterhead(config);
    if let Some(templates) = &templates {
        note(templates.check(&catalogue, &letterhead));
    }
    // After the templates, so that the faults of both are told at once.
    let decoder = decoder(config, &catalogue)?;
    let rules = Rules {
        routes: routes(config),
        locale: config.defaults.locale.clone(),
        time_zone: config.defaults.time_zone.clone(),
        region: config.defaults.region.clone(),
    };
    Some(Rulebook::new(catalogue, decoder, rules, (templates?, letterhead)))
}

/// What reads arrivals; none if a schema does not compile, which was told where it stands.
fn decoder(config: &Config, catalogue: &Arc<Catalogue>) -> Option<Decoder> {
    let faults = &config.places.faults;
    let decoder = Decoder::new(Arc::clone(catalogue), config.intake.max_event_size);
    let tell = |what: String| {
        if !faults.has_errors() {
            let place = Place::Named("catalogue".to_owned());
            faults.error(place, what, "mend the schema of this event type");
        }
    };
    decoder.map_err(tell).ok()
}

fn letterhead(config: &Config) -> Letterhead {
    let company = config.company.clone();
    let links = config.http.public_url.clone().zip(config.unsubscribe_secret.clone());
    Letterhead {
        company: Company {
            name: company.name.unwrap_or_else(|| config.email.from_name.clone()),
            address: company.address,
            phone: company.phone,
        },
        email: config.email.clone(),
        sms: config.sms.clone(),
        unsubscribe: links.map(|(public_url, secret)| Unsubscribe { public_url, secret }),
    }
}

/// The routes of `config`; a channel that only one provider serves goes that way.
fn routes(config: &Config) -> Routes {
    let serves = |settings: &crate::config::ProviderSettings| -> BTreeSet<Channel> {
        provider::find_kind(&settings.kind)
            .map(|kind| kind.channels.iter().copied().collect())
            .unwrap_or_default()
    };
    let providers: BTreeMap<ProviderName, BTreeSet<Channel>> =
        config.providers.iter().map(|(name, settings)| (name.clone(), serves(settings))).collect();
    let mut defaults = config.routes.clone();
    for channel in Channel::ALL {
        let mut serving = providers.iter().filter(|(_, channels)| channels.contains(&channel));
        if let (Some((only, _)), None) = (serving.next(), serving.next()) {
            defaults.entry(channel).or_insert_with(|| only.clone());
        }
    }
    Routes { providers, defaults }
}

#[cfg(test)]
mod tests;
