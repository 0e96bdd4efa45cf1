//! The parts together, where one of them breaks down.

mod in_line;

use futures_util::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{self, Sources};
use crate::intake::encode::{Outgoing, structured};
use crate::model::delivery::{Reason, State};
use crate::model::event::{Arrival, EventKey, Properties, Transport};
use crate::model::message::{Dialect, Envelope};
use crate::model::outcome::{Answer, Outcome, Verdict, VerdictClass};
use crate::pipeline::{self, Acceptor, Deliverer, Desks, OnReject, Seat, Station};
use crate::provider::Provider;
use crate::send::Desk;
use crate::send::only_to::OnlyTo;
use crate::store::{DeliveryFilter, DeliveryStory};

/// An event type that tells whomever an event names, by email, and holds what nobody knows of.
const TYPE: &str = r#"
name = "parcel.sent"
description = "A parcel is on its way."
category = "transactional"
lane = "normal"
expiry = "1 day"
on_unknown = "hold"

[[steps]]
name = "tell"
to = ["recipients"]
channels = ["email"]
template = "order.shipped"

[schema]
type = "object"
"#;

/// A provider with a fault of its own.
struct Broken;

impl Provider for Broken {
    fn send<'a>(&'a self, _: &'a Envelope) -> BoxFuture<'a, Outcome> {
        Box::pin(async { panic!("on purpose") })
    }

    fn longest_call(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A provider that answers one address in letters that PostgreSQL does not take.
struct Odd;

impl Provider for Odd {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        let is_odd = envelope.to.value().starts_with("odd");
        let code = if is_odd { "a\0b" } else { "250" };
        let answer = Answer { code: Some(code.to_owned()), text: String::new() };
        let outcome = Outcome { verdict: Verdict::accepted(), answer, captured: None };
        Box::pin(async { outcome })
    }

    fn longest_call(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// The settings of a database of its own on the PostgreSQL of the tests, with the rights of
/// docs/security.md: its owner has made the schema.
#[expect(clippy::disallowed_methods, reason = "where the database of the tests is")]
async fn postgres() -> String {
    let program = std::env::var("TEST_POSTGRES_CONTROL").expect("./test starts a PostgreSQL");
    let made = std::process::Command::new(program).args(["database", "app_parts"]).output();
    let urls = String::from_utf8(made.unwrap().stdout).unwrap();
    let [owner, app] = urls
        .lines()
        .map(|url| format!("[store]\nurl = \"{url}\"\n"))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let (folder, clock) = (TempDir::new().unwrap(), Clock::system());
    open_store(&settings(&folder, &owner), &clock, None).await.unwrap();
    app
}

/// Settings in `folder` with one event type and one provider; `more` is added.
fn settings(folder: &TempDir, more: &str) -> Config {
    settings_of(folder, TYPE, more)
}

fn settings_of(folder: &TempDir, event_type: &str, more: &str) -> Config {
    let types = folder.path().join("event-types");
    std::fs::create_dir(&types).unwrap();
    std::fs::write(types.join("parcel.sent.toml"), event_type).unwrap();
    let text = format!(
        "alarms = false\n[channels]\nemail = \"relay\"\n\
         [providers.relay]\nkind = \"sandbox\"\n[email]\ndkim = \"relay\"\n{more}"
    );
    let sources = Sources::defaults()
        .with_text("loa.toml", &text)
        .with_override("data_dir", &folder.path().display().to_string(), "the test")
        .with_override("catalogue_dir", &types.display().to_string(), "the test");
    config::load(&sources).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A pipeline over an empty store whose one provider is `provider`.
async fn pipeline(config: &Config, provider: Arc<dyn Provider>) -> (Pipeline, Store) {
    pipeline_by(config, provider, clock()).await
}

/// A clock that stands still.
fn clock() -> Clock {
    Clock::manual("2026-11-23T02:00:00Z".parse().unwrap())
}

async fn pipeline_by(
    config: &Config,
    provider: Arc<dyn Provider>,
    clock: Clock,
) -> (Pipeline, Store) {
    let store = open_store(config, &clock, None).await.unwrap();
    let settings = config.providers[&"relay".into()].clone();
    let only_to = OnlyTo::new(&[]);
    let desk = Desk::new(settings, (provider, Dialect::CommonMark), only_to, clock.clone());
    let pipeline = Pipeline::start(Parts {
        store: store.clone(),
        rulebook: Arc::new(ArcSwap::from_pointee(rulebook(config).unwrap())),
        desks: vec![Arc::new(desk)],
        clock,
        tasks: Tasks::new(),
        metrics: Arc::new(Metrics::new("test")),
        lease: config.send.lease,
        ages: Ages {
            deliveries: config.retention.deliveries,
            rejected: config.retention.rejected,
            captured: config.retention.captured,
        },
        alarms: false,
    });
    (pipeline, store)
}

/// A parcel for the owner of `email`.
fn parcel(email: &str) -> Arrival {
    let data = json!({
        "order_id": "DH-1", "shipped_at": "2026-12-03T14:20:00+07:00", "carrier": "Viettel Post",
        "recipients": [{ "name": "Lan", "email": email }]
    });
    let event_type = "parcel.sent".to_owned();
    let key = Some(EventKey { source: "shop".to_owned(), id: email.to_owned() });
    let text = structured(&Outgoing { event_type, key, data, ..Outgoing::default() });
    let (properties, transport) = (Properties::default(), Transport::Http);
    let at = "2026-11-23T02:00:00Z".parse().unwrap();
    Arrival { bytes: text.into(), properties, transport, at }
}

async fn the_only_delivery(store: &Store) -> DeliveryStory {
    let found = store.deliveries(DeliveryFilter::default(), None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    store.find_delivery(found[0].id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_call_that_breaks_down_is_an_attempt_whose_outcome_is_unknown() {
    let folder = TempDir::new().unwrap();
    let (pipeline, store) = pipeline(&settings(&folder, ""), Arc::new(Broken)).await;
    let arrival = parcel("lan@example.test");

    let answers = pipeline.acceptor().accept(vec![arrival], OnReject::Keep).await.unwrap();
    pipeline.run_until_idle().await.unwrap();

    assert!(matches!(answers[0], pipeline::Answer::Planned { deliveries: 1, .. }), "{answers:?}");
    let DeliveryStory { delivery, attempts, .. } = the_only_delivery(&store).await;
    assert_eq!((delivery.state, delivery.reason), (State::Held, Reason::UnknownOutcome));
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].class, VerdictClass::Unknown);
    assert_eq!(pipeline.in_flight(), 0);
}

#[tokio::test]
async fn what_is_accepted_is_sent_though_its_publisher_has_gone_away() {
    let folder = TempDir::new().unwrap();
    let (pipeline, store) = pipeline(&settings(&folder, ""), Arc::new(Broken)).await;
    let arrival = parcel("lan@example.test");

    {
        let accept = pipeline.acceptor().accept(vec![arrival], OnReject::Answer);
        let mut accept = Box::pin(accept);
        assert!(futures_util::poll!(&mut accept).is_pending());
    }
    while store.counters().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    pipeline.run_until_idle().await.unwrap();

    assert_eq!(the_only_delivery(&store).await.attempts.len(), 1);
}

#[tokio::test]
async fn of_an_array_that_is_refused_only_what_is_wrong_is_counted() {
    let folder = TempDir::new().unwrap();
    let config = settings(&folder, "");
    let (clock, metrics) = (clock(), Arc::new(Metrics::new("test")));
    let store = open_store(&config, &clock, None).await.unwrap();
    let rulebook = Arc::new(ArcSwap::from_pointee(rulebook(&config).unwrap()));
    let times = (clock.clone(), Tasks::new());
    let deliverer =
        Deliverer::new(store.clone(), Arc::clone(&rulebook), times, Arc::clone(&metrics));
    let nobody = Arc::new(Desks::new(Vec::new(), deliverer, config.send.lease));
    let acceptor = Acceptor::new(store, rulebook, nobody, clock, Arc::clone(&metrics));
    let first = || parcel("lan@example.test");
    let broken = Arrival { bytes: "{".into(), ..parcel("binh@example.test") };
    let counted = |result: &str| {
        let sample = format!("loa_events_total{{result=\"{result}\"}} ");
        let text = metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(sample.as_str()));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };

    acceptor.accept(vec![first()], OnReject::Answer).await.unwrap();
    let array = vec![first(), parcel("an@example.test"), broken];
    let answers = acceptor.accept(array, OnReject::Answer).await.unwrap();

    assert!(matches!(answers[0], pipeline::Answer::Repeat { .. }), "{answers:?}");
    assert_eq!(["planned", "repeated", "refused"].map(counted), [1, 0, 1]);
    acceptor.accept(vec![first()], OnReject::Answer).await.unwrap();
    assert_eq!(["planned", "repeated", "refused"].map(counted), [1, 1, 1]);
}

#[tokio::test]
async fn an_answer_that_the_store_never_takes_stops_no_other_postgres() {
    let folder = TempDir::new().unwrap();
    let settings = settings(&folder, &postgres().await);
    let (pipeline, store) = pipeline(&settings, Arc::new(Odd)).await;
    let odd = (0..4).map(|number| parcel(&format!("odd{number}@example.test")));
    let plain = (0..20).map(|number| parcel(&format!("lan{number}@example.test")));

    pipeline.acceptor().accept(odd.chain(plain).collect(), OnReject::Keep).await.unwrap();
    pipeline.run_until_idle().await.unwrap();

    let found = store.deliveries(DeliveryFilter::default(), None, 100).await.unwrap();
    assert_eq!(found.len(), 24);
    assert!(found.iter().all(|delivery| delivery.state == State::Sent));
}

#[tokio::test]
async fn a_worker_that_wakes_after_its_lease_sends_nothing() {
    let folder = TempDir::new().unwrap();
    let config = settings(&folder, "");
    let clock = clock();
    let store = open_store(&config, &clock, None).await.unwrap();
    let rulebook = Arc::new(ArcSwap::from_pointee(rulebook(&config).unwrap()));
    let (tasks, metrics) = (Tasks::new(), Arc::new(Metrics::new("test")));
    let times = (clock.clone(), tasks.clone());
    let deliverer =
        Deliverer::new(store.clone(), Arc::clone(&rulebook), times, Arc::clone(&metrics));
    let nobody = Arc::new(Desks::new(Vec::new(), deliverer.clone(), config.send.lease));
    let acceptor = Acceptor::new(store.clone(), rulebook, nobody, clock.clone(), metrics);
    let relay = config.providers[&"relay".into()].clone();
    let way = (Arc::new(Odd) as Arc<dyn Provider>, Dialect::CommonMark);
    let desk = Desk::new(relay, way, OnlyTo::new(&[]), clock.clone());
    let station = Arc::new(Station::new(Arc::new(desk)));
    acceptor.accept(vec![parcel("lan@example.test")], OnReject::Keep).await.unwrap();

    let deliver = async |stands_still: Duration| {
        let term = deliverer.term(config.send.lease);
        let claimed = store.claim(&"relay".into(), 1, config.send.lease).await.unwrap().remove(0);
        clock.advance(stands_still);
        let slot = station.desk.wait_for_slot().await.unwrap();
        deliverer.start(Arc::clone(&station), (claimed, term), Seat::Slot(slot));
        while deliverer.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
        the_only_delivery(&store).await
    };
    let late = deliver(config.send.lease).await;
    let in_time = deliver(config.send.lease / 2).await;

    assert_eq!((late.delivery.state, late.delivery.attempts), (State::Waiting, 0));
    assert_eq!(late.attempts.len(), 0);
    assert_eq!((in_time.delivery.state, in_time.attempts.len()), (State::Sent, 1));
}
