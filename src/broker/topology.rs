//! Checks the exchanges and queues that Loa needs, and declares what is missing.
//!
//! Each question has a channel of its own, since the broker closes a channel with every "no".

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};

use crate::config::{Binding, RabbitSettings, Topology};

use super::arrival::short;
use super::fault::{Fault, MISMATCH, NOT_FOUND, REFUSED, code, words};
use super::line::{self, STEP};

/// An exchange or queue that should be there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// A durable topic exchange.
    Exchange(&'a str),
    /// A durable quorum queue; what it drops goes to the exchange, if one is named.
    Queue(&'a str, Option<&'a str>),
}

/// Makes sure that events can be consumed; says what of `[[rabbitmq.bind]]` is lacking.
///
/// # Errors
/// What is missing or other than wanted, and what to do.
pub(super) async fn for_events(
    connection: &Connection,
    settings: &RabbitSettings,
) -> Result<Option<String>, Fault> {
    let RabbitSettings { exchange, queue, dead_letter_exchange, dead_letter_queue, .. } = settings;
    for piece in [
        Piece::Exchange(dead_letter_exchange),
        Piece::Queue(dead_letter_queue, None),
        Piece::Exchange(exchange),
        Piece::Queue(queue, Some(dead_letter_exchange)),
    ] {
        ensure(connection, piece, settings.topology).await?;
    }
    if settings.topology == Topology::Declare {
        bind(connection, dead_letter_queue, dead_letter_exchange, "#").await?;
        bind(connection, queue, exchange, "#").await?;
    }
    bind_foreign(connection, settings).await
}

/// Makes sure that status events can be published.
///
/// # Errors
/// What is missing or other than wanted, and what to do.
pub(super) async fn for_status(
    connection: &Connection,
    settings: &RabbitSettings,
) -> Result<(), Fault> {
    ensure(connection, Piece::Exchange(&settings.status_exchange), settings.topology).await
}

/// Binds the queue to exchanges of others; a missing one is lacking but stops nothing else.
pub(super) async fn bind_foreign(
    connection: &Connection,
    settings: &RabbitSettings,
) -> Result<Option<String>, Fault> {
    let mut lacking = Vec::new();
    for Binding { exchange, routing_key } in &settings.bind {
        match ask(connection, Piece::Exchange(exchange), true).await? {
            Answer::Done if settings.topology == Topology::Declare => {
                bind(connection, &settings.queue, exchange, routing_key).await?;
            }
            Answer::Done => {}
            Answer::No(told, _) => lacking.push(format!(
                "exchange `{exchange}` of [[rabbitmq.bind]] cannot be used ({told}); \
                 create it or take it out"
            )),
        }
    }
    Ok((!lacking.is_empty()).then(|| lacking.join("; ")))
}

/// What the broker said to a question.
pub(super) enum Answer {
    Done,
    /// Its words and its code.
    No(String, u16),
}

async fn ensure(connection: &Connection, piece: Piece<'_>, mode: Topology) -> Result<(), Fault> {
    let by_hand = "or set rabbitmq.topology = \"check\" to use it as it is";
    let told = match mode {
        Topology::Check => ask(connection, piece, true).await?,
        Topology::Declare => match ask(connection, piece, false).await? {
            // Whoever may not declare may still use what others have declared.
            Answer::No(_, REFUSED) => ask(connection, piece, true).await?,
            told @ (Answer::Done | Answer::No(..)) => told,
        },
    };
    let what = piece.name();
    match told {
        Answer::Done => Ok(()),
        Answer::No(told, MISMATCH) => Err(Fault::standing(format!(
            "{what} exists but is not what Loa declares ({told}); delete it, {by_hand}"
        ))),
        Answer::No(_, NOT_FOUND) => Err(Fault::standing(format!(
            "{what} does not exist; create it, or set rabbitmq.topology = \"declare\" and let the \
             user configure it"
        ))),
        Answer::No(told, _) => Err(Fault::standing(format!("{what} cannot be used: {told}"))),
    }
}

/// Declares `piece`, or only asks whether it is there.
pub(super) async fn ask(
    connection: &Connection,
    piece: Piece<'_>,
    is_passive: bool,
) -> Result<Answer, Fault> {
    let channel = line::channel(connection).await?;
    let call = declare(&channel, piece, is_passive);
    let answer = answer(&piece.name(), tokio::time::timeout(STEP, call).await)?;
    if matches!(answer, Answer::Done) {
        put_away(&channel).await;
    }
    Ok(answer)
}

async fn declare(channel: &Channel, piece: Piece<'_>, is_passive: bool) -> lapin::Result<()> {
    match piece {
        Piece::Exchange(name) => {
            let options = ExchangeDeclareOptions {
                passive: is_passive,
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let name = name_of(name);
            channel
                .exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default())
                .await
        }
        Piece::Queue(name, dead_letters) => {
            let options = QueueDeclareOptions {
                passive: is_passive,
                durable: true,
                ..QueueDeclareOptions::default()
            };
            let arguments = queue_arguments(dead_letters);
            channel.queue_declare(name_of(name), options, arguments).await.map(|_| ())
        }
    }
}

/// What can only be said when a queue is declared; all else belongs into a policy.
fn queue_arguments(dead_letters: Option<&str>) -> FieldTable {
    let mut arguments = vec![("x-queue-type", "quorum")];
    if let Some(exchange) = dead_letters {
        // At most once, RabbitMQ's default, forgets a message before the exchange has it.
        arguments.extend([
            ("x-dead-letter-exchange", exchange),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ]);
    }
    let mut table = FieldTable::default();
    for (name, text) in arguments {
        table.insert(name_of(name), AMQPValue::LongString(text.into()));
    }
    table
}

async fn bind(
    connection: &Connection,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> Result<(), Fault> {
    let channel = line::channel(connection).await?;
    let call = channel.queue_bind(
        name_of(queue),
        name_of(exchange),
        name_of(routing_key),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    let what = format!("binding queue `{queue}` to exchange `{exchange}`");
    match answer(&what, tokio::time::timeout(STEP, call).await)? {
        Answer::Done => {
            put_away(&channel).await;
            Ok(())
        }
        Answer::No(told, _) => Err(Fault::standing(format!(
            "{what} was refused: {told}; let the user do it, or bind it yourself and set \
             rabbitmq.topology = \"check\""
        ))),
    }
}

/// Tells a "no" of the broker, which closes the channel, from a broken connection.
pub(super) fn answer(
    what: &str,
    result: Result<lapin::Result<()>, tokio::time::error::Elapsed>,
) -> Result<Answer, Fault> {
    match result {
        Ok(Ok(())) => Ok(Answer::Done),
        Ok(Err(error)) => match code(&error) {
            Some(code) => Ok(Answer::No(words(&error), code)),
            None => Err(Fault::of(&format!("checking {what}"), &error)),
        },
        Err(_) => {
            let seconds = STEP.as_secs();
            let text = format!("checking {what}: RabbitMQ did not answer within {seconds} s");
            Err(Fault::passing(text))
        }
    }
}

async fn put_away(channel: &Channel) {
    let closed = tokio::time::timeout(STEP, channel.close(200, "done".into())).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::debug!("a channel used to check the topology could not be closed");
    }
}

/// A name for AMQP, cut where it is longer than AMQP takes: the broker then says it is unknown.
pub(super) fn name_of(text: &str) -> ShortString {
    short("name", text).unwrap_or_else(|_| {
        let cut: String = text.chars().take(60).collect();
        short("name", &cut).unwrap_or_default()
    })
}

impl Piece<'_> {
    /// The piece in words.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Exchange(name) => format!("exchange `{name}`"),
            Self::Queue(name, _) => format!("queue `{name}`"),
        }
    }
}
