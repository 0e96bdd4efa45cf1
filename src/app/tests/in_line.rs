//! More that is due at once than there are slots: it stands in line, and is not claimed besides.

use tokio::sync::Semaphore;

use super::*;

/// How many calls at once the provider of these tests takes.
const SLOTS: usize = 2;

/// A provider whose calls end when the test lets them.
struct Gated {
    begun: Semaphore,
    may_end: Semaphore,
}

impl Gated {
    fn new() -> Arc<Self> {
        Arc::new(Self { begun: Semaphore::new(0), may_end: Semaphore::new(0) })
    }

    /// Returns once `count` more calls have begun.
    async fn began(&self, count: u32) {
        self.begun.acquire_many(count).await.unwrap().forget();
    }

    /// Lets `count` calls end.
    fn end(&self, count: usize) {
        self.may_end.add_permits(count);
    }
}

impl Provider for Gated {
    fn send<'a>(&'a self, _: &'a Envelope) -> BoxFuture<'a, Outcome> {
        Box::pin(async {
            self.begun.add_permits(1);
            self.may_end.acquire().await.unwrap().forget();
            let answer = Answer { code: Some("250".to_owned()), text: String::new() };
            Outcome { verdict: Verdict::accepted(), answer, captured: None }
        })
    }

    fn longest_call(&self) -> Duration {
        Duration::from_mins(1)
    }
}

/// A pipeline whose provider has nothing to claim, so that what is planned goes straight to it.
async fn drained(
    folder: &TempDir,
    provider: &Arc<Gated>,
    on_unknown: &str,
) -> (Pipeline, Store, Clock) {
    let slots = format!("[send]\nconcurrency = {SLOTS}\n");
    let event_type = TYPE.replace("hold", on_unknown);
    let config = settings_of(folder, &event_type, &slots);
    let clock = clock();
    let (pipeline, store) = pipeline_by(&config, Arc::clone(provider) as _, clock.clone()).await;
    accept(&pipeline, 0..1).await;
    provider.began(1).await;
    // By such a call the line has as many places as there are slots.
    clock.advance(Duration::from_millis(100));
    provider.end(1);
    pipeline.run_until_idle().await.unwrap();
    let station = Arc::clone(pipeline.desks().find(&"relay".into()).unwrap());
    while !station.may_skip_queue() {
        tokio::task::yield_now().await;
    }
    (pipeline, store, clock)
}

/// The same with a message in each slot, and as many in line.
async fn full(folder: &TempDir, provider: &Arc<Gated>) -> (Pipeline, Store, Clock) {
    let (pipeline, store, clock) = drained(folder, provider, "retry").await;
    accept(&pipeline, 1..5).await;
    provider.began(2).await;
    (pipeline, store, clock)
}

async fn accept(pipeline: &Pipeline, numbers: std::ops::Range<usize>) {
    let parcels = numbers.map(|number| parcel(&format!("lan{number}@example.test"))).collect();
    pipeline.acceptor().accept(parcels, OnReject::Keep).await.unwrap();
}

/// How many deliveries a claim finds.
async fn left_to_claim(store: &Store) -> usize {
    store.claim(&"relay".into(), 100, Duration::from_mins(1)).await.unwrap().len()
}

async fn states(store: &Store) -> Vec<(State, u32)> {
    let found = store.deliveries(DeliveryFilter::default(), None, 100).await.unwrap();
    found.iter().map(|delivery| (delivery.state, delivery.attempts)).collect()
}

#[tokio::test]
async fn what_finds_no_slot_stands_in_line_and_waits_in_no_store() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, _) = drained(&folder, &provider, "retry").await;

    accept(&pipeline, 1..5).await;
    provider.began(2).await;
    let in_store = left_to_claim(&store).await;
    provider.end(4);
    provider.began(2).await;
    pipeline.run_until_idle().await.unwrap();

    assert_eq!(in_store, 0);
    assert_eq!(states(&store).await, [(State::Sent, 1); 5]);
}

#[tokio::test]
async fn what_is_held_if_nobody_knows_of_it_stands_in_no_line() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, _) = drained(&folder, &provider, "hold").await;

    accept(&pipeline, 1..5).await;
    provider.began(2).await;

    assert_eq!(left_to_claim(&store).await, 2);
    provider.end(2);
}

/// Accepts what finds no place, does `meanwhile` once somebody waits for one, and says how much of
/// it waits in the store in the end.
async fn accept_without_room(
    (pipeline, store): (&Pipeline, &Store),
    meanwhile: impl FnOnce(),
) -> usize {
    let station = Arc::clone(pipeline.desks().find(&"relay".into()).unwrap());
    let meanwhile = async {
        while !station.is_waited_for() {
            tokio::task::yield_now().await;
        }
        meanwhile();
    };
    let ((), ()) = tokio::join!(accept(pipeline, 5..7), meanwhile);
    left_to_claim(store).await
}

#[tokio::test]
async fn what_finds_no_place_waits_for_one() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, _) = full(&folder, &provider).await;

    let in_store = accept_without_room((&pipeline, &store), || provider.end(2)).await;

    assert_eq!(in_store, 0);
    provider.end(4);
    provider.began(4).await;
}

#[tokio::test]
async fn what_finds_no_place_for_a_while_waits_in_the_store() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, clock) = full(&folder, &provider).await;

    let time_passes = || clock.advance(Duration::from_millis(250));
    let in_store = accept_without_room((&pipeline, &store), time_passes).await;

    assert_eq!(in_store, 2);
    provider.end(4);
    provider.began(2).await;
}

#[tokio::test]
async fn what_stands_in_line_when_the_provider_is_put_on_hold_goes_back() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, _) = full(&folder, &provider).await;

    pipeline.desks().heed_hold(&"relay".into(), true);
    provider.end(2);
    while pipeline.in_flight() > 0 {
        tokio::task::yield_now().await;
    }

    let mut states = states(&store).await;
    states.sort_by_key(|(state, _)| state.as_str());
    assert_eq!(states[..3], [(State::Sent, 1); 3]);
    assert_eq!(states[3..], [(State::Waiting, 0); 2]);
}

#[tokio::test]
async fn a_stop_waits_for_nobody_in_line() {
    let folder = TempDir::new().unwrap();
    let provider = Gated::new();
    let (pipeline, store, _) = full(&folder, &provider).await;

    pipeline.desks().tasks().soft().cancel();
    while pipeline.in_flight() > 2 {
        tokio::task::yield_now().await;
    }
    let called = provider.begun.available_permits();
    provider.end(2);
    while pipeline.in_flight() > 0 {
        tokio::task::yield_now().await;
    }

    assert_eq!(called, 0, "nobody else was called");
    let mut states = states(&store).await;
    states.sort_by_key(|(state, _)| state.as_str());
    assert_eq!(states[3..], [(State::Waiting, 0); 2]);
}

#[tokio::test]
async fn who_finds_no_slot_for_a_second_leaves_the_line() {
    let folder = TempDir::new().unwrap();
    let config = settings(&folder, "[send]\nconcurrency = 1\n");
    let way = (Gated::new() as Arc<dyn Provider>, Dialect::CommonMark);
    let relay = config.providers[&"relay".into()].clone();
    let (clock, tasks) = (clock(), Tasks::new());
    let desk = Desk::new(relay, way, OnlyTo::new(&[]), clock.clone());
    let station = Station::new(Arc::new(desk));
    station.note_claim(true);
    station.note_call(Duration::from_millis(100));
    let _only_slot = station.reserve(true).unwrap();
    let in_line = station.reserve(true).unwrap();
    assert!(matches!(in_line, Seat::InLine(_)));
    assert!(station.reserve(true).is_none(), "the line is full");
    let mut seated = Box::pin(station.seated(in_line, (&clock, &tasks)));
    assert!(futures_util::poll!(&mut seated).is_pending());

    clock.advance(Duration::from_secs(1));

    assert!(seated.await.is_none());
    assert!(station.reserve(true).is_some(), "its place is free");
    assert!(station.reserve(false).is_none(), "what may not stand there is not let in");
}
