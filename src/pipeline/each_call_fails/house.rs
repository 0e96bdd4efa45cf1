//! The running pipeline of one telling, which is started again when it has died.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tempfile::TempDir;

use super::Trouble;
use super::ground::Ground;
use super::receiver::Receiver;
use crate::app;
use crate::clock::Clock;
use crate::config::{self, Config, Sources};
use crate::lifecycle::Tasks;
use crate::model::delivery::State;
use crate::model::event::Arrival;
use crate::model::message::Dialect;
use crate::pipeline::{OnReject, Parts, Pipeline, Rulebook};
use crate::provider::Provider;
use crate::send::Desk;
use crate::send::only_to::OnlyTo;
use crate::store::{Ages, DeliveryFilter, Repair, Store};
use crate::telemetry::Metrics;

/// Everything goes out by one provider.
const SETTINGS: &str = "[channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
    [providers.sandbox]\nkind = \"sandbox\"\n";
/// A Monday morning in Vietnam.
const BEGINS: &str = "2026-11-23T02:00:00Z";
/// How long a claim lasts.
const LEASE: Duration = Duration::from_mins(1);
/// How often it is looked whether there is still something to do.
const MOST_LOOKS: usize = 3000;

/// What every telling begins with.
pub(super) struct Template {
    ground: Ground,
    config: Config,
    rulebook: Arc<ArcSwap<Rulebook>>,
}

/// One telling.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) receiver: Receiver,
    pub(super) clock: Clock,
    pipeline: Pipeline,
    tasks: Tasks,
    ground: Ground,
    config: Config,
    rulebook: Arc<ArcSwap<Rulebook>>,
}

fn clock() -> Clock {
    Clock::manual(BEGINS.parse().unwrap())
}

fn rulebook(config: &Config) -> Arc<ArcSwap<Rulebook>> {
    Arc::new(ArcSwap::from_pointee(app::rulebook(config).unwrap()))
}

impl Template {
    /// One on a SQLite file.
    pub(super) async fn sqlite() -> Self {
        Self::on(Ground::sqlite(&clock()).await)
    }

    /// One on a database that is called `name`.
    pub(super) async fn postgres(name: &str) -> Self {
        Self::on(Ground::postgres(name, &clock()).await)
    }

    fn on(ground: Ground) -> Self {
        let sources = Sources::defaults().with_text("loa.toml", SETTINGS);
        let config = config::load(&sources).unwrap_or_else(|faults| panic!("{faults}"));
        let rulebook = rulebook(&config);
        Self { ground, config, rulebook }
    }
}

impl House {
    /// A house with an empty store and this trouble.
    pub(super) async fn open(template: &Template, trouble: Option<&Trouble>) -> Self {
        let ground = template.ground.copy().await;
        let config = template.config.clone();
        let remembers = match trouble {
            // With a rulebook of its own, every template version is new to it.
            None => false,
            Some(Trouble::Store(method, ..)) => method != "keep_template_version",
            Some(Trouble::Provider(..)) => true,
        };
        let rulebook = match remembers {
            true => Arc::clone(&template.rulebook),
            false => rulebook(&config),
        };
        let clock = clock();
        let (store, receiver) = (ground.open_store(&clock).await, Receiver::default());
        match trouble {
            Some(Trouble::Store(method, nth, failure)) => {
                store.faults().choose(method, *nth, *failure);
            }
            Some(Trouble::Provider(nth, setback)) => receiver.choose(*nth, *setback),
            None => {}
        }
        let (pipeline, tasks) = start((&store, &config), &rulebook, &clock, &receiver);
        Self { store, receiver, clock, pipeline, tasks, ground, config, rulebook }
    }

    /// The store without its trouble.
    pub(super) fn calm(&self) -> Store {
        self.store.without_faults()
    }

    /// Hands arrivals in until they are accepted, as a transport does.
    pub(super) async fn accept(&mut self, arrivals: Vec<Arrival>) -> Result<(), String> {
        for _ in 0..5 {
            let answers = self.pipeline.acceptor().accept(arrivals.clone(), OnReject::Keep).await;
            self.start_again_if_dead().await;
            if answers.is_ok() {
                return Ok(());
            }
        }
        Err("the events are not accepted".to_owned())
    }

    /// Lets time pass until `end`, from one moment at which there is something to do to the next.
    pub(super) async fn pass(&mut self, end: Timestamp) -> Result<(), String> {
        for _ in 0..MOST_LOOKS {
            self.start_again_if_dead().await;
            let told = |error: crate::store::StoreError| error.to_string();
            let agenda = self.calm().agenda().await.map_err(told)?;
            let now = self.clock.now();
            match agenda.next_due {
                _ if self.pipeline.in_flight() > 0 => {}
                // Claimed by nobody who knows of it: the lease must end.
                _ if agenda.claimed > 0 => self.clock.advance(LEASE / 4),
                _ if self.let_go().await? => {}
                Some(due) if due <= now => self.pipeline.desks().wake_all(),
                Some(due) if due < end => self.clock.advance_to(due),
                Some(_) | None => {
                    self.clock.advance_to(end);
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let agenda = self.calm().agenda().await;
        Err(format!("there is still something to do: {agenda:?}"))
    }

    /// What an operator does: lets go what is held. Says whether there was something.
    async fn let_go(&self) -> Result<bool, String> {
        let (calm, told) = (self.calm(), |error: crate::store::StoreError| error.to_string());
        let filter = DeliveryFilter { states: vec![State::Held], ..DeliveryFilter::default() };
        let held = calm.deliveries(filter, None, 100).await.map_err(told)?;
        let holds = calm.provider_holds().await.map_err(told)?;
        let is_something = !held.is_empty() || !holds.is_empty();
        if !held.is_empty() {
            let ids = held.iter().map(|delivery| delivery.id).collect();
            calm.repair(ids, Repair::Release, "lan").await.map_err(told)?;
        }
        for hold in holds {
            calm.release_provider(hold.provider.clone()).await.map_err(told)?;
            self.pipeline.desks().heed_hold(&hold.provider, false);
            // It takes a moment to mend what is misconfigured.
            self.clock.advance(Duration::from_secs(1));
        }
        Ok(is_something)
    }

    async fn start_again_if_dead(&mut self) {
        if self.receiver.takes_death() {
            self.store.faults().die();
        }
        if !self.store.faults().is_dead() {
            return;
        }
        self.tasks.hard().cancel();
        self.tasks.stop(Duration::ZERO).await;
        if self.ground.has_one_user() {
            // What the dead process held is let go before the next.
            let elsewhere = Ground::Sqlite(TempDir::new().unwrap());
            self.start_on(elsewhere.open_store(&self.clock).await);
        }
        self.start_on(self.ground.open_store(&self.clock).await);
    }

    fn start_on(&mut self, store: Store) {
        self.store = store;
        let parts = (&self.store, &self.config);
        (self.pipeline, self.tasks) = start(parts, &self.rulebook, &self.clock, &self.receiver);
    }

    /// Ends the telling and leaves nothing of it.
    pub(super) async fn close(self) {
        self.tasks.hard().cancel();
        self.ground.remove().await;
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.tasks.soft().cancel();
        self.tasks.hard().cancel();
    }
}

fn start(
    (store, config): (&Store, &Config),
    rulebook: &Arc<ArcSwap<Rulebook>>,
    clock: &Clock,
    receiver: &Receiver,
) -> (Pipeline, Tasks) {
    let tasks = Tasks::new();
    let provider: Arc<dyn Provider> = Arc::new(receiver.clone());
    let way = (provider, Dialect::CommonMark);
    let settings = config.providers[&"sandbox".into()].clone();
    let desk = Desk::new(settings, way, OnlyTo::default(), clock.clone());
    let age = Duration::from_hours(24 * 90);
    let pipeline = Pipeline::start(Parts {
        store: store.clone(),
        rulebook: Arc::clone(rulebook),
        desks: vec![Arc::new(desk)],
        clock: clock.clone(),
        tasks: tasks.clone(),
        metrics: Arc::new(Metrics::new("test")),
        lease: LEASE,
        ages: Ages { deliveries: age, rejected: age, captured: age },
        alarms: false,
    });
    (pipeline, tasks)
}
