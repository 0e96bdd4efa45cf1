//! An empty store of a test's own, and the things that tests hand to it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::model::address::{Address, Channel};
use crate::model::catalogue::{Category, Lane};
use crate::model::data::Data;
use crate::model::delivery::{Delivery, Reason, RecipientFacts, Settlement, State};
use crate::model::event::{Arrival, Digest, Event, EventKey, Properties, Transport};
use crate::model::id::{DeliveryId, EventId, LeaseToken, ProviderName, RunId};
use crate::model::outcome::{Answer, Attempt, VerdictClass};
use crate::model::status::StatusEvent;
use crate::store::{
    Acceptance, Accepted, Claimed, Engine, Finish, NewDelivery, Place, PlannedEvent, Settings,
    Store,
};

/// How long claims of tests last.
pub(super) const LEASE: Duration = Duration::from_mins(1);

/// How long a fallback of tests waits for the channel before it.
pub(super) const LINK: Duration = Duration::from_mins(10);

/// A store that nobody else uses.
pub(super) struct Stage {
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// The folder of a SQLite store, removed at the end.
    folder: Option<TempDir>,
}

/// What the program says that disturbs the PostgreSQL of the tests, and may do more there than Loa.
#[expect(clippy::disallowed_methods, reason = "where the database of the tests is")]
fn control(arguments: &[&str]) -> String {
    let program = std::env::var("TEST_POSTGRES_CONTROL").unwrap_or_else(|_| {
        panic!(
            "TEST_POSTGRES_CONTROL is not set: run ./test, which starts a PostgreSQL of its own, or \
             set it to a program as tests/services.sh makes one; ./test fast leaves this test out"
        )
    });
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How a test does what Loa may not: as a superuser, to the database that was made for `name`.
pub(super) fn admin_url(name: &str) -> String {
    let url = control(&["admin"]);
    let (base, _) = url.trim().rsplit_once('/').unwrap();
    format!("{base}/{}", database(name))
}

/// How Loa reaches the database that was made for `name`: with the rights of docs/security.md.
pub(super) fn app_url(name: &str) -> String {
    let url = control(&["admin"]);
    let (_, host) = url.trim().rsplit_once('@').unwrap();
    let (host, _) = host.split_once('/').unwrap();
    let database = database(name);
    format!("postgres://{database}_app:canary-store@{host}/{database}")
}

/// The database of a test; with the ends of its roles its name is as long as one may be.
fn database(name: &str) -> String {
    format!("contract_{name}").chars().take(57).collect()
}

/// Runs statements of a test's own, each outside a transaction.
pub(super) async fn on_postgres(url: &str, statements: &[&str]) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let run = async {
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
    };
    tokio::select! { () = run => {}, _ = connection => panic!("the connection ended") }
}

/// An empty database of the shared PostgreSQL, changed by `change`; its owner's place, and Loa's.
async fn new_database(name: &str, change: &str) -> [Place; 2] {
    let unlike_bytes =
        "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'";
    let urls = control(&["database", &database(name), unlike_bytes]);
    let change = change.replace("{name}", &database(name));
    // Each by itself: together they would be one transaction.
    on_postgres(&admin_url(name), &change.split("; ").collect::<Vec<_>>()).await;
    let place = |url: &str| Place::Postgres { url: url.to_owned().into(), connections: 8 };
    let [owner, app] = urls.lines().map(place).collect::<Vec<_>>().try_into().unwrap();
    [owner, app]
}

/// Settings of a store at `place`.
pub(super) fn settings(place: Place) -> Settings {
    let day = Duration::from_hours(24);
    Settings { place, outbox: true, keys_last: 30 * day, derived_keys_last: day }
}

impl Stage {
    /// Every statement that its store has run so far, as the database reads it.
    pub(super) fn statements(&self) -> Vec<Arc<str>> {
        match &*self.store.engine {
            Engine::Sqlite(sqlite) => sqlite.statements(),
            Engine::Postgres(postgres) => postgres.statements(),
        }
    }

    /// A SQLite file in a folder of its own.
    pub(super) async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let place = Place::Sqlite(folder.path().join("loa.db"));
        Self::open(place, Some(folder)).await
    }

    /// A database of the shared PostgreSQL that sorts text by the rules of English: `a` before `B`.
    /// Its owner has made the schema; the store is Loa's, with the rights of docs/security.md.
    pub(super) async fn postgres(name: &str) -> Self {
        Self::postgres_after(name, "SELECT 1").await
    }

    /// The same, changed by `change` (where `{name}` is the database) before it is opened.
    pub(super) async fn postgres_after(name: &str, change: &str) -> Self {
        let [owner, app] = new_database(name, change).await;
        Self::open(owner, None).await;
        Self::as_it_is(app, None)
    }

    /// Another store on the database that was made for this `name`, as a second process opens it.
    pub(super) fn again(name: &str, clock: Clock) -> Store {
        let place = Place::Postgres { url: app_url(name).into(), connections: 8 };
        let run = RunId::new(clock.now());
        Store::open_as_it_is(settings(place), clock, run).unwrap()
    }

    /// Where the SQLite file is.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("loa.db")
    }

    /// Opens the store at `place`.
    async fn open(place: Place, folder: Option<TempDir>) -> Self {
        let stage = Self::as_it_is(place, folder);
        stage.store.migrate().await.unwrap();
        stage
    }

    /// Opens the store at `place` without a schema.
    fn as_it_is(place: Place, folder: Option<TempDir>) -> Self {
        let clock = Clock::manual("2026-03-02T08:00:00Z".parse().unwrap());
        let run = RunId::new(clock.now());
        let store = Store::open_as_it_is(settings(place), clock.clone(), run).unwrap();
        Self { store, clock, folder }
    }

    /// A SQLite file without a schema.
    pub(super) fn bare_sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let place = Place::Sqlite(folder.path().join("loa.db"));
        Self::as_it_is(place, Some(folder))
    }

    /// A database of the shared PostgreSQL without a schema, for whoever makes one: its owner.
    pub(super) async fn bare_postgres(name: &str) -> Self {
        let [owner, _] = new_database(name, "SELECT 1").await;
        Self::as_it_is(owner, None)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An order's delay with this id.
    pub(super) fn event(&self, id: &str) -> Event {
        Event {
            id: EventId::new(self.now()),
            key: EventKey { source: "shop".to_owned(), id: id.to_owned() },
            key_is_derived: false,
            event_type: "order.delayed".into(),
            time: self.now(),
            received_at: self.now(),
            not_before: None,
            business_key: Some(format!("DH-{id}")),
            partner: Some("minh-phat".into()),
            correlation_id: None,
            traceparent: None,
            only: None,
            data: Data::new(json!({ "order_id": id })),
            digest: Digest([7; 32]),
            transport: Transport::Http,
        }
    }

    /// A delivery by email to recipient number `number`.
    pub(super) fn delivery(&self, event: &Event, number: usize) -> NewDelivery {
        let key = format!("contact-{number}");
        let delivery = Delivery {
            id: DeliveryId::new(self.now()),
            event: event.id,
            event_type: event.event_type.clone(),
            step: "notice".into(),
            recipient_key: key.clone(),
            contact: Some(key.as_str().into()),
            partner: event.partner.clone(),
            business_key: event.business_key.clone(),
            channel: Channel::Email,
            provider: Some("relay".into()),
            address: Some(email(&key)),
            locale: "vi".to_owned(),
            time_zone: "Asia/Ho_Chi_Minh".to_owned(),
            recipient: RecipientFacts { name: Some("Minh Phát".to_owned()), ..Default::default() },
            template: "order.delayed".to_owned(),
            category: Category::Transactional,
            lane: Lane::Normal,
            state: State::Waiting,
            reason: Reason::Scheduled,
            detail: None,
            due_at: self.now(),
            expires_at: self.now() + Duration::from_hours(48),
            window: None,
            attempts: 0,
            after: None,
            version: 1,
            provider_message_id: None,
            is_captured: false,
            created_at: self.now(),
            updated_at: self.now(),
        };
        NewDelivery { delivery, unless: Vec::new(), lease: None }
    }

    /// An event with `count` deliveries.
    pub(super) fn planned(&self, id: &str, count: usize) -> PlannedEvent {
        let event = self.event(id);
        let deliveries = (0..count).map(|number| self.delivery(&event, number)).collect();
        planned(event, deliveries)
    }

    /// Accepts one event and says what became of it.
    pub(super) async fn accept(&self, planned: PlannedEvent) -> Accepted {
        let batch = vec![Acceptance::Planned(Box::new(planned))];
        self.store.accept(batch).await.unwrap().remove(0)
    }

    /// Accepts an event with `count` deliveries, and returns their ids.
    pub(super) async fn plan(&self, id: &str, count: usize) -> Vec<DeliveryId> {
        let planned = self.planned(id, count);
        let ids = planned.deliveries.iter().map(|new| new.delivery.id).collect();
        assert!(matches!(self.accept(planned).await, Accepted::Planned { .. }));
        ids
    }

    /// Plans one event whose three deliveries follow one another, each [`LINK`] after the one
    /// before.
    pub(super) async fn plan_chain(&self, id: &str) -> Vec<DeliveryId> {
        let mut planned = self.planned(id, 3);
        let ids: Vec<DeliveryId> = planned.deliveries.iter().map(|new| new.delivery.id).collect();
        let mut due_at = self.now();
        for (new, before) in planned.deliveries.iter_mut().skip(1).zip(&ids) {
            due_at += LINK;
            (new.delivery.after, new.delivery.due_at) = (Some(*before), due_at);
            new.delivery.reason = Reason::Fallback;
        }
        self.accept(planned).await;
        ids
    }

    /// Claims all that is due.
    pub(super) async fn claim(&self) -> Vec<Arc<Claimed>> {
        self.store.claim(&relay(), 100, LEASE).await.unwrap()
    }

    /// Claims `id` alone, which is due.
    pub(super) async fn claim_only(&self, id: DeliveryId) -> Arc<Claimed> {
        let (mut wanted, others): (Vec<_>, Vec<_>) =
            self.claim().await.into_iter().partition(|claim| claim.delivery.id == id);
        self.store.finish(others.iter().map(given_back).collect()).await.unwrap();
        wanted.remove(0)
    }

    /// Claims the fallback `id` once it is due; returns what its claim is known by.
    pub(super) async fn claim_fallback(&self, id: DeliveryId) -> (DeliveryId, LeaseToken) {
        self.clock.advance(2 * LINK);
        let claim = self.claim_only(id).await;
        (id, claim.token)
    }

    /// The status events that wait; they count as published from then on.
    pub(super) async fn told(&self) -> Vec<StatusEvent> {
        let mut taken = self.store.take_outbox(None, 10_000).await.unwrap().bundles;
        let told = taken.iter_mut().flat_map(|bundle| std::mem::take(&mut bundle.events));
        let told = told.collect();
        self.store.settle_outbox(taken).await.unwrap();
        told
    }

    /// Where one delivery stands.
    pub(super) async fn state(&self, id: DeliveryId) -> State {
        self.store.find_delivery(id).await.unwrap().unwrap().delivery.state
    }

    /// Fails unless the ledger closes and the counters agree with the rows.
    pub(super) async fn assert_closed(&self) {
        let ledger = self.store.ledger().await.unwrap();
        assert!(ledger.closes, "{ledger:?}");
        assert_eq!(self.store.audit().await.unwrap(), []);
    }

    /// The end of `claim` as if a provider had answered with `class`.
    pub(super) fn answered(
        &self,
        claim: &Arc<Claimed>,
        class: VerdictClass,
        state: State,
        reason: Reason,
    ) -> Finish {
        let (now, delivery) = (self.now(), &claim.delivery);
        let attempt = Attempt {
            delivery: delivery.id,
            number: claim.attempt,
            provider: relay(),
            started_at: now,
            finished_at: now,
            class,
            answer: Answer::new(Some("250".to_owned()), "ok"),
            template_version: None,
        };
        let settlement =
            Settlement { counts: true, ..Settlement::uncounted(state, reason, delivery.due_at) };
        let claimed = Arc::clone(claim);
        Finish { claimed, attempt: Some(attempt), settlement, captured: None }
    }

    /// The end of `claim` as if the provider had accepted.
    pub(super) fn sent(&self, claim: &Arc<Claimed>) -> Finish {
        self.answered(claim, VerdictClass::Accepted, State::Sent, Reason::Accepted)
    }
}

/// The end of a claim without a try.
pub(super) fn given_back(claim: &Arc<Claimed>) -> Finish {
    let Delivery { reason, due_at, .. } = claim.delivery;
    let settlement = Settlement::uncounted(State::Waiting, reason, due_at);
    Finish { claimed: Arc::clone(claim), attempt: None, settlement, captured: None }
}

/// The provider of the deliveries of tests.
pub(super) fn relay() -> ProviderName {
    "relay".into()
}

/// An address at the tests' own domain.
pub(super) fn email(local: &str) -> Address {
    Address::Email { email: format!("{local}@example.test") }
}

/// What an arrival of `bytes` looks like.
pub(super) fn arrival(bytes: &str, at: Timestamp) -> Arrival {
    Arrival {
        bytes: bytes.to_owned().into(),
        properties: Properties::default(),
        transport: Transport::Http,
        at,
    }
}

/// An event with its plan.
pub(super) fn planned(event: Event, deliveries: Vec<NewDelivery>) -> PlannedEvent {
    let arrival = arrival("{}", event.received_at);
    let (cancels, change, pages) = (Vec::new(), None, Vec::new());
    PlannedEvent { arrival, event, deliveries, cancels, change, pages }
}
