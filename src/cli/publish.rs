//! `loa publish`: hands events to a running Loa, or to RabbitMQ.

mod http;
mod input;
mod rabbitmq;
mod tally;

use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Server;
use super::{Failure, Output};
use crate::intake::encode::Outgoing;
use crate::model::event::EventKey;
use http::Http;
use input::{Input, Item};
use rabbitmq::RabbitMq;
use tally::Tally;

pub(super) use tally::tell_rehearsal;

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
    #[arg(long, value_name = "TIME", value_parser = moment)]
    not_before: Option<Timestamp>,
    #[command(flatten)]
    broker: Broker,
    #[command(flatten)]
    server: Server,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        "expected a date and time with its zone, such as 2026-12-04T09:00:00+07:00 or \
         2026-12-04T02:00:00Z"
            .to_owned()
    })
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
        let mut tally = Tally::new(!input.is_lines(), self.server.zone());
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
            let (mut lines, mut events, mut unread) = (Vec::new(), Vec::new(), Vec::new());
            for Item { line, data } in items {
                match data {
                    Ok(data) => {
                        lines.push(line);
                        events.push(self.event(line, data, is_lines));
                    }
                    Err(fault) => unread.push((
                        line,
                        json!({ "result": "unread", "line": line, "message": fault }),
                    )),
                }
            }
            let results = match events.is_empty() {
                true => Vec::new(),
                false => way.publish(&events).await?,
            };
            let mut results: Vec<_> = lines.into_iter().zip(results).chain(unread).collect();
            results.sort_by_key(|(line, _)| *line);
            for (line, result) in results {
                if self.server.output == Output::Text
                    && let Some(text) = tally.tell(&input.place(line), &result)
                {
                    input.beside_progress(|| super::print(&text));
                }
                tally.add(result, self.server.output);
            }
        }
    }

    fn event(&self, line: usize, data: Value, is_lines: bool) -> Outgoing {
        let id = match &self.id {
            Some(id) if is_lines => format!("{id}-{line}"),
            Some(id) => id.clone(),
            None => format!("{:032x}", fastrand::u128(..)),
        };
        Outgoing {
            event_type: self.kind.clone(),
            key: Some(EventKey { source: self.source.clone(), id }),
            not_before: self.not_before,
            only: self.only.clone(),
            data,
            ..Outgoing::default()
        }
    }
}
