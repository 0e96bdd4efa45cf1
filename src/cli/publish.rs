//! `loa publish`: hands events to a running Loa, or to RabbitMQ.

mod http;
mod input;
mod rabbitmq;

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Server;
use super::{Failure, Output, cell};
use crate::intake::encode::Outgoing;
use crate::model::event::EventKey;
use http::Http;
use input::{Input, Item};
use rabbitmq::RabbitMq;

/// How many events of a file are handed over at once.
const BATCH: usize = 200;

/// Hand one event, or a file of them, to a running Loa or to RabbitMQ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa publish order.delayed --data order.json\n  \
    loa publish order.delayed --data - --dry-run < order.json\n  \
    loa publish order.delayed --data orders.ndjson --id import-7\n  \
    loa publish order.delayed --data order.json --amqp amqp://loa@rabbit.example/%2f")]
pub(super) struct Publish {
    /// The event type.
    kind: String,
    /// A file with the event's data as JSON, or with one event's data a line if it is called
    /// `.ndjson` or `.jsonl`; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    data: String,
    /// The file holds one event's data a line (NDJSON), whatever it is called.
    #[arg(long)]
    lines: bool,
    /// The event's id, to which a line adds its number: the same id is never planned twice. A new
    /// one if not given.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The system that the event comes from.
    #[arg(long, value_name = "NAME", default_value = "loa-publish")]
    source: String,
    /// Only say what would be planned; a running Loa can tell, RabbitMQ cannot.
    #[arg(long, conflicts_with = "amqp")]
    dry_run: bool,
    /// Only this address may get a message: a test.
    #[arg(long, value_name = "ADDRESS")]
    only: Option<String>,
    /// Nothing is due before this time, such as 2026-12-04T09:00:00+07:00.
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    #[command(flatten)]
    broker: Broker,
    #[command(flatten)]
    server: Server,
}

/// Where in RabbitMQ the events go.
#[derive(Clone, Debug, Args)]
struct Broker {
    /// Publish to RabbitMQ instead, and wait until it confirms; without a URL, to that of
    /// [rabbitmq] in the settings.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    amqp: Option<String>,
    /// The exchange; that of the settings if not given.
    #[arg(long, value_name = "NAME", requires = "amqp", value_parser = NonEmptyStringValueParser::new())]
    exchange: Option<String>,
    /// The routing key; the event type if not given.
    #[arg(long, value_name = "KEY", requires = "amqp")]
    routing_key: Option<String>,
}

/// Where events are handed to.
enum Way {
    Http(Http),
    RabbitMq(RabbitMq),
}

impl Way {
    /// One result each, in their order.
    async fn publish(&self, events: &[Outgoing]) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Http(http) => http.publish(events).await,
            Self::RabbitMq(broker) => Ok(broker.publish(events).await),
        }
    }

    async fn close(self) {
        match self {
            Self::Http(_) => {}
            Self::RabbitMq(broker) => broker.close().await,
        }
    }
}

impl Publish {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let mut input = Input::open(&self.data, self.lines)?;
        let way = match &self.broker.amqp {
            None => Way::Http(Http::new(self.server.connect()?, self.dry_run)),
            Some(url) => {
                Way::RabbitMq(RabbitMq::connect(&self.server.settings, url, &self.broker).await?)
            }
        };
        let mut tally = Tally { tells_each: !input.is_lines(), ..Tally::default() };
        let published = self.publish_all(&mut input, &way, &mut tally).await;
        way.close().await;
        if self.server.output == Output::Json {
            super::print_json(&json!({ "results": tally.results }));
        } else if input.is_lines() {
            super::print(&tally.summary());
        }
        published?;
        Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    async fn publish_all(
        &self,
        input: &mut Input,
        way: &Way,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        loop {
            let items = input.batch(BATCH)?;
            if items.is_empty() {
                return Ok(());
            }
            let is_lines = input.is_lines();
            let lines: Vec<usize> = items.iter().map(|item| item.line).collect();
            let events: Vec<_> = items.into_iter().map(|item| self.event(item, is_lines)).collect();
            let results = way.publish(&events).await?;
            for (line, result) in lines.into_iter().zip(results) {
                if self.server.output == Output::Text
                    && let Some(text) = tally.tell(line, &result)
                {
                    input.beside_progress(|| super::print(&text));
                }
                tally.add(result, self.server.output);
            }
        }
    }

    fn event(&self, item: Item, is_lines: bool) -> Outgoing {
        let id = match &self.id {
            Some(id) if is_lines => format!("{id}-{}", item.line),
            Some(id) => id.clone(),
            None => format!("{:032x}", fastrand::u128(..)),
        };
        Outgoing {
            event_type: self.kind.clone(),
            key: Some(EventKey { source: self.source.clone(), id }),
            not_before: self.not_before,
            only: self.only.clone(),
            data: item.data,
            ..Outgoing::default()
        }
    }
}

/// What became of the events so far.
#[derive(Default)]
struct Tally {
    /// Every event is told of, not only those that nobody took.
    tells_each: bool,
    counts: std::collections::BTreeMap<String, u64>,
    /// How many test events reach nobody.
    misses: u64,
    /// Kept for programs only: a file may be long.
    results: Vec<Value>,
}

impl Tally {
    fn add(&mut self, result: Value, output: Output) {
        self.misses += u64::from(result["reached"] == 0);
        *self.counts.entry(cell(&result, "result")).or_default() += 1;
        if output == Output::Json {
            self.results.push(result);
        }
    }

    /// What there is to say of one event, if anything.
    fn tell(&self, line: usize, result: &Value) -> Option<String> {
        if self.tells_each {
            return Some(tell(result));
        }
        let is_told = is_bad(&cell(result, "result")) || result["reached"] == 0;
        is_told.then(|| format!("line {line}: {}", tell(result)))
    }

    fn summary(&self) -> String {
        let counts = self.counts.iter().map(|(result, count)| format!("{count} {result}"));
        let counts: Vec<_> = counts.collect();
        let all: u64 = self.counts.values().sum();
        format!("{all} events: {}", if all == 0 { "none".to_owned() } else { counts.join(", ") })
    }

    fn is_good(&self) -> bool {
        self.misses == 0 && !self.counts.keys().any(|result| is_bad(result))
    }
}

/// Whether nobody took the event.
fn is_bad(result: &str) -> bool {
    matches!(result, "rejected" | "unroutable" | "failed")
}

/// Why a test event reaches nobody.
fn missed(result: &Value, id: &str) -> String {
    let why = result["skipped_because"].as_array().into_iter().flatten();
    let why: Vec<_> = why.filter_map(Value::as_str).collect();
    match why.is_empty() {
        true => format!("event {id} sends nothing: nobody it would tell has this address"),
        false => format!("event {id} sends nothing to this address ({})", why.join(", ")),
    }
}

/// What became of one event, in a line.
fn tell(result: &Value) -> String {
    let said = |key| cell(result, key);
    let id = said("id");
    match said("result").as_str() {
        "planned" => match result["reached"].as_u64() {
            None => format!("planned {} deliveries of event {id}", said("deliveries")),
            Some(0) => missed(result, &id),
            Some(count) => format!("event {id} sends {count} to this address, and nobody else"),
        },
        "planning" => format!("planning a big audience for event {id}"),
        "repeat" => format!("event {id} came before; nothing is planned twice"),
        "rejected" => {
            let kept = match said("rejected") {
                kept if kept.is_empty() => kept,
                kept => format!("   [loa rejected show {kept}]"),
            };
            format!("rejected ({}) {}: {}{kept}", said("reason"), said("pointer"), said("message"))
        }
        "confirmed" => format!("RabbitMQ has event {id}"),
        "unroutable" => format!(
            "RabbitMQ dropped event {id}: no queue is bound for the routing key `{}`",
            said("routing_key")
        ),
        "failed" => format!("event {id} is not known to have arrived: {}", said("message")),
        _ => format!(
            "would plan {} deliveries: {}; skipped {}; SMS parts {}; faults {}",
            said("deliveries"),
            said("channels"),
            said("skipped"),
            said("sms_parts"),
            said("faults")
        ),
    }
}
