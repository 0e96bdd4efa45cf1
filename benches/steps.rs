//! Each step alone: `cargo bench`, or `cargo bench -- render` for those with a word in their name,
//! each beside what it took when it ran last.
//!
//! What a whole message costs, and how fast it goes, is shown by `loa bench`.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::cell::{Cell, LazyCell};
use std::hint::black_box;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use loa::app;
use loa::clock::Clock;
use loa::config::{self, Sources};
use loa::model::address::Channel;
use loa::model::audience::{AudienceQuery, InlineRecipient, Recipients, Resolution, Stranger};
use loa::model::catalogue::{OnUnknown, RetryPolicy};
use loa::model::delivery::{Delivery, Policy, settle};
use loa::model::event::{Arrival, Event, Properties, Transport};
use loa::model::id::{ProviderName, RunId};
use loa::model::message::Dialect;
use loa::model::outcome::{Answer, Outcome, Verdict};
use loa::pipeline::Rulebook;
use loa::plan::{self, Plan, Question};
use loa::record::{self, Tried};
use loa::render::sms;
use loa::store::{
    Acceptance, Accepted, Claimed, DeliveryFilter, EventFacts, Finish, NewDelivery, Place,
    PlannedEvent, Settings, Store,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const CHANNELS: [Channel; 3] = [Channel::Email, Channel::Chat, Channel::Sms];
/// Deliveries of one transaction.
const BATCH: usize = 500;
const LEASE: Duration = Duration::from_mins(10);

static RULEBOOK: LazyLock<Rulebook> = LazyLock::new(rulebook);

criterion_group!(
    steps,
    decode_and_validate,
    plan,
    render,
    sms_parts,
    state_machine,
    accept,
    claim,
    finish,
    search
);
criterion_main!(steps);

fn decode_and_validate(bench: &mut Criterion) {
    let (arrival, now) = (arrival(Channel::Email, 1), now());

    bench.bench_function("decode_and_validate", |bencher| {
        bencher.iter(|| RULEBOOK.decoder.decode(black_box(&arrival), now).unwrap());
    });
}

fn plan(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("plan");
    let now = now();
    for channel in CHANNELS {
        let event = event(channel, 1);

        group.bench_function(channel.as_str(), |bencher| {
            bencher.iter(|| planned(black_box(&event), now));
        });
    }
}

fn render(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("render");
    let now = now();
    for channel in CHANNELS {
        let event = event(channel, 1);
        let (facts, delivery) = (EventFacts::of(&event), deliveries(&event).remove(0));

        group.bench_function(channel.as_str(), |bencher| {
            bencher.iter(|| {
                RULEBOOK.render(black_box(&delivery), &facts, Dialect::SlackMrkdwn, now).unwrap()
            });
        });
    }
}

fn sms_parts(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("sms_parts");
    let sentences =
        [("GSM-7", "Your order is on its way. "), ("UCS-2", "Đơn hàng đang trên đường giao. ")];
    for (encoding, sentence) in sentences {
        let text = sentence.repeat(6);

        group.bench_function(encoding, |bencher| {
            bencher.iter(|| sms::encode(black_box(&text)));
        });
    }
}

fn state_machine(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("state_machine");
    let (delivery, now) = (deliveries(&event(Channel::Email, 1)).remove(0), now());
    let retry = RetryPolicy {
        first: Duration::from_secs(30),
        cap: Duration::from_mins(30),
        max_attempts: 10,
    };
    let policy = Policy { retry, on_unknown: OnUnknown::Hold };
    let verdicts = [
        ("accepted", Verdict::accepted()),
        ("later", Verdict::later()),
        ("bad_address", Verdict::BadAddress),
        ("unknown", Verdict::Unknown),
    ];
    for (name, verdict) in verdicts {
        group.bench_function(name, |bencher| {
            bencher.iter(|| settle(black_box(&delivery), 1, &verdict, policy, (now, 0.5)));
        });
    }
}

fn accept(bench: &mut Criterion) {
    let batch = async |bed: &Bed| bed.batch();

    time_statement(bench, "accept_500", batch, async |bed, batch| bed.accept(batch).await);
}

fn claim(bench: &mut Criterion) {
    let accepted = async |bed: &Bed| bed.accept(bed.batch()).await;

    time_statement(bench, "claim_500", accepted, async |bed, ()| bed.claim().await);
}

fn finish(bench: &mut Criterion) {
    let claimed = async |bed: &Bed| {
        bed.accept(bed.batch()).await;
        bed.claim().await.iter().map(sent).collect()
    };

    time_statement(bench, "finish_500", claimed, async |bed, finishes| bed.finish(finishes).await);
}

fn search(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("store");
    let bed = LazyCell::new(|| {
        let bed = Bed::new();
        bed.runtime.block_on(bed.accept(bed.batch()));
        bed
    });

    group.bench_function("search_by_order", |bencher| {
        bencher.to_async(&bed.runtime).iter(|| bed.search("bench-7"));
    });
}

/// Times what `step` asks of SQLite with a batch that `prepare` makes, the disk's flush within.
///
/// The store grows by a batch each time, to some 100,000 deliveries; the row *growth* of
/// `loa bench` says how little that matters.
fn time_statement<I, O>(
    bench: &mut Criterion,
    name: &str,
    prepare: impl AsyncFn(&Bed) -> I,
    step: impl AsyncFn(&Bed, I) -> O,
) {
    let (bed, mut group) = (LazyCell::new(Bed::new), bench.benchmark_group("store"));
    // Few, for the store not to grow too much.
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));

    group.bench_function(name, |bencher| {
        bencher.to_async(&bed.runtime).iter_custom(async |times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let batch = prepare(&bed).await;
                let started = Instant::now();
                let done = step(&bed, batch).await;
                spent += started.elapsed();
                black_box(done);
            }
            spent
        });
    });
}

/// A store in a folder of its own.
struct Bed {
    store: Store,
    runtime: Runtime,
    /// The number of the next event.
    next: Cell<u64>,
    _folder: TempDir,
}

impl Bed {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let day = Duration::from_hours(24);
        let settings = Settings {
            place: Place::Sqlite(folder.path().join("loa.db")),
            outbox: true,
            keys_last: 400 * day,
            derived_keys_last: day,
        };
        let clock = Clock::system();
        let run = RunId::new(clock.now());
        let store = runtime.block_on(Store::open(settings, clock, run)).unwrap();
        Self { store, runtime, next: Cell::new(0), _folder: folder }
    }

    fn batch(&self) -> Vec<Acceptance> {
        let first = self.next.get();
        self.next.set(first + BATCH as u64);
        let numbers = first..self.next.get();
        numbers.map(|number| Acceptance::Planned(Box::new(planned_event(number)))).collect()
    }

    async fn accept(&self, batch: Vec<Acceptance>) {
        let accepted = self.store.accept(batch).await.unwrap();
        assert!(accepted.iter().all(|one| matches!(one, Accepted::Planned { .. })));
    }

    async fn claim(&self) -> Vec<Arc<Claimed>> {
        let provider = ProviderName::from("sandbox");
        let claimed = self.store.claim(&provider, BATCH, LEASE).await.unwrap();
        assert_eq!(claimed.len(), BATCH);
        claimed
    }

    async fn finish(&self, finishes: Vec<Finish>) {
        let finished = self.store.finish(finishes).await.unwrap();
        assert!(finished.iter().all(|one| one.was_claimed));
    }

    async fn search(&self, order: &str) -> usize {
        let filter =
            DeliveryFilter { business_key: Some(order.to_owned()), ..DeliveryFilter::default() };
        let found = self.store.deliveries(filter, None, 50).await.unwrap();
        assert_eq!(found.len(), 1);
        found.len()
    }
}

/// The end of a claim as if its provider had accepted.
fn sent(claim: &Arc<Claimed>) -> Finish {
    let outcome = Outcome {
        verdict: Verdict::accepted(),
        answer: Answer::new(Some("250".to_owned()), "2.0.0 taken"),
        captured: None,
    };
    let (started_at, finished_at) = (now(), now());
    let tried = Tried { outcome, started_at, finished_at, template_version: None };
    record::outcome(claim, tried, &RULEBOOK.catalogue, 0.5)
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// The rules of a Loa with the event types of `loa bench`, all channels by the sandbox.
fn rulebook() -> Rulebook {
    let folder = TempDir::new().unwrap();
    let catalogue = folder.path().join("event-types");
    std::fs::create_dir(&catalogue).unwrap();
    for channel in CHANNELS {
        let text = include_str!("../src/rehearsal/bench/event_type.toml")
            .replace("CHANNEL", channel.as_str())
            // `loa bench` sends no text messages, so its event type knows no phone numbers.
            .replace("chat = {", "phone = { type = \"string\" }, chat = {");
        std::fs::write(catalogue.join(format!("bench.{channel}.toml")), text).unwrap();
    }
    let text = "alarms = false\n\
                [channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
                [providers.sandbox]\nkind = \"sandbox\"\n";
    let sources = Sources::defaults()
        .with_text("bench.toml", text)
        .with_override("data_dir", &folder.path().display().to_string(), "--data-dir")
        .with_override("catalogue_dir", &catalogue.display().to_string(), "the benchmark");
    let config = config::load(&sources).unwrap_or_else(|faults| panic!("{faults}"));
    app::rulebook(&config).unwrap()
}

/// An event to one person, in the words of a shop.
fn arrival(channel: Channel, number: u64) -> Arrival {
    let recipient = match channel {
        Channel::Email => {
            serde_json::json!({ "name": "Trần Thị Bích", "email": format!("b{number}@sink.example") })
        }
        Channel::Chat => serde_json::json!({ "name": "Trần Thị Bích", "chat": "sandbox" }),
        Channel::Sms => serde_json::json!({ "name": "Trần Thị Bích", "phone": "+84901234567" }),
    };
    let event = serde_json::json!({
        "specversion": "1.0", "id": number.to_string(), "source": "loa/bench",
        "type": format!("bench.{channel}"),
        "data": {
            "order_id": format!("bench-{number}"), "partner_id": "minh-phat",
            "shipped_at": "2026-12-03T14:20:00+07:00", "expected_at": "2026-12-05",
            "carrier": "Viettel Post", "packages": 24,
            "lines": [
                { "name": "Cà phê Robusta rang xay 1 kg", "quantity": 20, "unit": "thùng" },
                { "name": "Cà phê Arabica Cầu Đất 500 g", "quantity": 4, "unit": "thùng" },
            ],
            "recipients": [recipient],
        },
    });
    let properties = Properties {
        content_type: Some("application/cloudevents+json".to_owned()),
        ..Properties::default()
    };
    let bytes = event.to_string().into();
    Arrival { bytes, properties, transport: Transport::Http, at: now() }
}

fn event(channel: Channel, number: u64) -> Event {
    RULEBOOK.decoder.decode(&arrival(channel, number), now()).unwrap()
}

/// The plan of an event by a directory that knows nobody.
fn planned(event: &Event, now: Timestamp) -> Plan {
    let event_type = RULEBOOK.event_type(event).unwrap();
    let questions = plan::questions(event, event_type, &RULEBOOK.rules).unwrap();
    let answers: Vec<_> = questions.into_iter().filter_map(answered_by_nobody).collect();
    plan::plan(event, event_type, &answers, &RULEBOOK.rules, now).unwrap()
}

fn answered_by_nobody(question: Question) -> Option<(Question, Resolution)> {
    let AudienceQuery::Inline(people) = &question.query else { return None };
    let stranger = |recipient: &InlineRecipient| Stranger {
        recipient: recipient.clone(),
        suppressed: Vec::new(),
        consents: Vec::new(),
    };
    let recipients =
        Recipients { strangers: people.iter().map(stranger).collect(), ..Recipients::default() };
    Some((question, Resolution::Recipients(recipients)))
}

fn deliveries(event: &Event) -> Vec<Delivery> {
    planned(event, now()).deliveries.into_iter().map(|planned| planned.delivery).collect()
}

/// An event with its plan, due a second ago.
fn planned_event(number: u64) -> PlannedEvent {
    let event = event(Channel::Email, number);
    let deliveries = planned(&event, now()).deliveries.into_iter().map(|planned| {
        let mut delivery = planned.delivery;
        delivery.due_at = delivery.due_at.saturating_sub(SignedDuration::from_secs(1)).unwrap();
        NewDelivery { delivery, unless: planned.unless, lease: None }
    });
    PlannedEvent {
        arrival: arrival(Channel::Email, number),
        deliveries: deliveries.collect(),
        event,
        cancels: Vec::new(),
        change: None,
        pages: Vec::new(),
    }
}
