//! Every metric of Loa, listed once.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

type Label = (&'static str, Cow<'static, str>);
type Counters<const N: usize> = Family<[Label; N], Counter>;
type Gauges<const N: usize> = Family<[Label; N], Gauge>;
type Histograms = Family<[Label; 1], Histogram>;
type FloatGauge = Gauge<f64, AtomicU64>;

/// From a fast gateway on the next machine to one at its deadline, in seconds.
const LATENCY_SECONDS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From a quick disk to one that is in trouble, in seconds.
const BATCH_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Items in one transaction.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// Planned in full.
    Planned,
    /// Accepted; its audience is planned in pages.
    Planning,
    /// Kept as a rejected event.
    Rejected,
    /// Answered with a refusal, and not kept.
    Refused,
    /// Seen before.
    Repeated,
}

/// Whether calls to a provider are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They are.
    Closed,
    /// Probes are.
    HalfOpen,
    /// None are.
    Open,
}

/// One of the two connections to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Events come through it.
    Consume,
    /// Status events go through it.
    Publish,
}

/// The metrics of one process; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    list: List,
}

#[derive(Clone, Debug)]
struct List {
    events: Counters<1>,
    rejected: Counters<1>,
    planned: Counter,
    deliveries: Gauges<1>,
    overdue: Gauge,
    ledger_gap: Gauge,
    attempts: Counters<2>,
    oldest_due: Family<[Label; 1], FloatGauge>,
    provider_latency: Histograms,
    breaker: Gauges<1>,
    held: Gauges<1>,
    processes: Gauge,
    broker_connected: Gauges<1>,
    status_events: Counters<1>,
    outbox: Gauge,
    batch_size: Histograms,
    batch_seconds: Histograms,
}

impl Metrics {
    /// Registers every metric; `version` is the program's own.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("loa");
        registry.register("build", "The program that runs", Info::new([("version", version)]));
        let list = List::register(&mut registry);
        Self { registry: Arc::new(registry), list }
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a text cannot fail; a metric that cannot be written shows as no metric.
            Err(_) => String::from("# EOF\n"),
        }
    }
}

/// Events and deliveries.
impl Metrics {
    /// Counts `count` arrivals that came to `result`.
    pub fn count_events(&self, result: EventResult, count: u64) {
        let word = match result {
            EventResult::Planned => "planned",
            EventResult::Planning => "planning",
            EventResult::Rejected => "rejected",
            EventResult::Refused => "refused",
            EventResult::Repeated => "repeated",
        };
        add(&self.list.events, &[label("result", word)], count);
    }

    /// Counts a rejected or refused arrival by the word of its reason.
    pub fn count_rejected(&self, reason: &'static str) {
        add(&self.list.rejected, &[label("reason", reason)], 1);
    }

    /// Counts `count` planned deliveries.
    pub fn count_planned(&self, count: u64) {
        self.list.planned.inc_by(count);
    }

    /// Shows how many deliveries are in `state` now.
    pub fn show_deliveries(&self, state: &'static str, count: u64) {
        set(&self.list.deliveries, &[label("state", state)], whole(count));
    }

    /// Shows how many deliveries have been due for five minutes and are unclaimed.
    pub fn show_overdue(&self, count: u64) {
        self.list.overdue.set(whole(count));
    }

    /// Shows by how many deliveries the ledger is open; 0 means that it closes.
    pub fn show_ledger_gap(&self, gap: i64) {
        self.list.ledger_gap.set(gap);
    }

    /// Shows how long the oldest due delivery of a lane has been due; zero without one.
    pub fn show_oldest_due(&self, lane: &'static str, age: Duration) {
        let gauge = self.list.oldest_due.get_or_create_owned(&[label("lane", lane)]);
        gauge.set(age.as_secs_f64());
    }

    /// Counts what became of `count` status events: `confirmed`, `unroutable`,
    /// `failed`, `unreadable`.
    pub fn count_status_events(&self, result: &'static str, count: u64) {
        add(&self.list.status_events, &[label("result", result)], count);
    }

    /// Shows how many status events wait to be published.
    pub fn show_outbox(&self, count: u64) {
        self.list.outbox.set(whole(count));
    }
}

/// What Loa stands on: providers, broker, store.
impl Metrics {
    /// Counts one attempt at `provider` by the word of its class, and how long the answer took.
    pub fn count_attempt(&self, provider: &str, class: &'static str, took: Duration) {
        let provider = label("provider", provider.to_owned());
        let latency =
            self.list.provider_latency.get_or_create_owned(std::array::from_ref(&provider));
        latency.observe(took.as_secs_f64());
        add(&self.list.attempts, &[provider, label("class", class)], 1);
    }

    /// Shows the breaker of `provider`.
    pub fn show_breaker(&self, provider: &str, state: BreakerState) {
        let number = match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        set(&self.list.breaker, &[label("provider", provider.to_owned())], number);
    }

    /// Shows whether `provider` is on hold.
    pub fn show_held(&self, provider: &str, is_held: bool) {
        set(&self.list.held, &[label("provider", provider.to_owned())], is_held.into());
    }

    /// Shows how many processes live on the store.
    pub fn show_processes(&self, alive: u32) {
        self.list.processes.set(alive.into());
    }

    /// Shows whether a connection to the broker stands.
    pub fn show_broker(&self, link: Link, is_connected: bool) {
        let word = match link {
            Link::Consume => "consume",
            Link::Publish => "publish",
        };
        set(&self.list.broker_connected, &[label("link", word)], is_connected.into());
    }

    /// Counts one transaction of the store: `accept`, `claim`, `finish`.
    pub fn count_batch(&self, what: &'static str, items: u64, took: Duration) {
        let what = [label("what", what)];
        let items = f64::from(u32::try_from(items).unwrap_or(u32::MAX));
        self.list.batch_size.get_or_create_owned(&what).observe(items);
        self.list.batch_seconds.get_or_create_owned(&what).observe(took.as_secs_f64());
    }
}

impl List {
    fn register(to: &mut Registry) -> Self {
        let latency: Histograms = Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS));
        let seconds: Histograms = Family::new_with_constructor(|| Histogram::new(BATCH_SECONDS));
        let sizes: Histograms = Family::new_with_constructor(|| Histogram::new(BATCH_SIZES));
        Self {
            events: add_to(to, "events", "Arrivals by result"),
            rejected: add_to(to, "events_rejected", "Rejected and refused arrivals by reason"),
            planned: add_to(to, "deliveries_planned", "Planned deliveries"),
            deliveries: add_to(to, "deliveries", "Deliveries by state, now"),
            overdue: add_to(to, "overdue", "Deliveries due for five minutes and unclaimed"),
            ledger_gap: add_to(to, "ledger_gap", "Deliveries by which the ledger is open"),
            attempts: add_to(to, "attempts", "Attempts by provider and class"),
            oldest_due: add_to(
                to,
                "oldest_due_seconds",
                "Age of the oldest due delivery of a lane",
            ),
            provider_latency: put(to, "provider_latency_seconds", "Time to an answer", latency),
            breaker: add_to(to, "provider_breaker", "0 closed, 1 half open, 2 open"),
            held: add_to(to, "provider_held", "1 while a provider is on hold"),
            processes: add_to(to, "processes", "Processes that live on the store"),
            broker_connected: add_to(to, "broker_connected", "1 while a connection stands"),
            status_events: add_to(to, "status_events", "Status events by what became of them"),
            outbox: add_to(to, "status_events_waiting", "Status events that wait for the broker"),
            batch_size: put(to, "store_batch_items", "Items in one transaction", sizes),
            batch_seconds: put(to, "store_batch_seconds", "Time of one transaction", seconds),
        }
    }
}

fn add_to<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    put(registry, name, help, M::default())
}

fn put<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn label(name: &'static str, value: impl Into<Cow<'static, str>>) -> Label {
    (name, value.into())
}

// Owned handles, never guards: two guards of one family that live together can deadlock.
fn add<const N: usize>(counters: &Counters<N>, labels: &[Label; N], count: u64) {
    counters.get_or_create_owned(labels).inc_by(count);
}

fn set<const N: usize>(gauges: &Gauges<N>, labels: &[Label; N], value: i64) {
    gauges.get_or_create_owned(labels).set(value);
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_stands_in_the_text() {
        let metrics = Metrics::new("1.2.3");

        metrics.count_events(EventResult::Planned, 3);
        metrics.clone().count_events(EventResult::Planned, 2);
        metrics.count_attempt("relay", "accepted", Duration::from_millis(20));
        metrics.show_breaker("relay", BreakerState::Open);
        metrics.show_oldest_due("urgent", Duration::from_millis(1500));

        let text = metrics.text();
        for line in [
            "loa_build_info{version=\"1.2.3\"} 1",
            "loa_events_total{result=\"planned\"} 5",
            "loa_attempts_total{provider=\"relay\",class=\"accepted\"} 1",
            "loa_provider_latency_seconds_bucket{le=\"0.025\",provider=\"relay\"} 1",
            "loa_provider_breaker{provider=\"relay\"} 2",
            "loa_oldest_due_seconds{lane=\"urgent\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
