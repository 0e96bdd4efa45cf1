//! A virtual host for a rehearsal: holds nothing of others before, and nothing of ours afterwards.
//!
//! A marker exchange says that what lies about was left by a rehearsal that could not clear up; an
//! exclusive queue keeps two rehearsals apart and hears what becomes of events.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer, ExchangeKind};
use serde_json::Value;

use crate::config::RabbitSettings;

use super::fault::{Fault, bounded};
use super::line::{self, STEP};
use super::login::Refused;
use super::topology::{Answer, Piece, answer, ask, name_of};

/// The exchange that says: what Loa uses here was made by a rehearsal.
const MARK: &str = "loa.rehearsal";
/// The queue that one rehearsal at a time may have.
const EAR: &str = "loa.rehearsal";
/// The broker's code for: another connection has it.
const LOCKED: u16 = 405;
/// How long Loa may take to tell what became of an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// A virtual host that is ours for the time being.
pub struct Playground {
    connection: Connection,
    channel: Channel,
    settings: RabbitSettings,
    status: Option<Consumer>,
}

/// What Loa told of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// `status.event.{planned|rejected|repeated}.{type}`.
    pub routing_key: String,
    /// The status event's body.
    pub body: Value,
}

impl Playground {
    /// Takes the virtual host over, and clears away what an earlier rehearsal left.
    ///
    /// # Errors
    /// When it holds anything that no rehearsal made, when another one runs there, or when the
    /// broker cannot be used.
    pub async fn claim(settings: &RabbitSettings) -> Result<Self, Refused> {
        let connection = line::open(settings, "loa rehearses").await?;
        lock(&connection).await?;
        let is_marked = exists(&connection, Piece::Exchange(MARK)).await?;
        for piece in pieces(settings) {
            if !is_marked && exists(&connection, piece).await? {
                return Err(Fault::standing(not_ours(piece, settings)).into());
            }
        }
        let channel = line::channel(&connection).await?;
        let playground = Self { connection, channel, settings: settings.clone(), status: None };
        if is_marked {
            playground.remove_all().await?;
        }
        playground.mark().await?;
        Ok(playground)
    }

    /// Begins to hear what becomes of events; Loa has declared its exchanges by now.
    ///
    /// # Errors
    /// When the broker does not let us.
    pub async fn listen(&mut self) -> Result<(), Refused> {
        let (ear, exchange) = (name_of(EAR), name_of(&self.settings.status_exchange));
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bind =
            self.channel.queue_bind(ear.clone(), exchange, "status.event.#".into(), options, none);
        bounded("binding the rehearsal's queue", STEP, bind).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consume = self.channel.basic_consume(ear, "".into(), options, FieldTable::default());
        self.status = Some(bounded("listening to status events", STEP, consume).await?);
        Ok(())
    }

    /// Waits until Loa tells what became of the event with this correlation id.
    ///
    /// # Errors
    /// When it does not, in good time.
    pub async fn hear(&mut self, correlation_id: &str) -> Result<Heard, Refused> {
        let silent = |why: &str| Refused::from(Fault::passing(format!("no status event: {why}")));
        let Some(status) = &mut self.status else { return Err(silent("nobody listens")) };
        let heard = async {
            while let Some(Ok(message)) = status.next().await {
                let said = message.properties.correlation_id().as_ref();
                if said.is_some_and(|said| said.as_str() == correlation_id) {
                    let body = serde_json::from_slice(&message.data).unwrap_or(Value::Null);
                    return Some(Heard { routing_key: message.routing_key.to_string(), body });
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, heard).await {
            Ok(Some(heard)) => Ok(heard),
            Ok(None) => Err(silent("the connection was cut")),
            Err(_) => Err(silent(&format!("Loa said nothing for {} s", PATIENCE.as_secs()))),
        }
    }

    /// Takes away all that was made, and leaves. Loa must have stopped before.
    ///
    /// # Errors
    /// When the broker does not let us; the mark then stays, and the next rehearsal clears up.
    pub async fn clear(self) -> Result<(), Refused> {
        self.remove_all().await?;
        let unmark = self.channel.exchange_delete(name_of(MARK), ExchangeDeleteOptions::default());
        bounded("taking the mark away", STEP, unmark).await?;
        line::close(&self.connection).await;
        Ok(())
    }

    async fn mark(&self) -> Result<(), Fault> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default();
        let mark = self.channel.exchange_declare(name_of(MARK), ExchangeKind::Topic, options, none);
        bounded("marking the virtual host", STEP, mark).await
    }

    async fn remove_all(&self) -> Result<(), Fault> {
        for piece in pieces(&self.settings) {
            let what = format!("deleting {}", piece.name());
            match piece {
                Piece::Exchange(name) => {
                    let options = ExchangeDeleteOptions::default();
                    let delete = self.channel.exchange_delete(name_of(name), options);
                    bounded(&what, STEP, delete).await?;
                }
                Piece::Queue(name, _) => {
                    let delete =
                        self.channel.queue_delete(name_of(name), QueueDeleteOptions::default());
                    bounded(&what, STEP, delete).await?;
                }
            }
        }
        Ok(())
    }
}

/// All that Loa uses there; queues first, so that nothing is routed while it is taken away.
fn pieces(settings: &RabbitSettings) -> [Piece<'_>; 5] {
    let RabbitSettings { exchange, queue, dead_letter_exchange, dead_letter_queue, .. } = settings;
    [
        Piece::Queue(queue, None),
        Piece::Queue(dead_letter_queue, None),
        Piece::Exchange(exchange),
        Piece::Exchange(dead_letter_exchange),
        Piece::Exchange(&settings.status_exchange),
    ]
}

/// Declares the queue that one connection alone may have; the broker deletes it with the
/// connection.
async fn lock(connection: &Connection) -> Result<(), Fault> {
    let channel = line::channel(connection).await?;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let declare = async {
        let declare = channel.queue_declare(name_of(EAR), options, FieldTable::default());
        declare.await.map(|_| ())
    };
    let what = format!("queue `{EAR}`");
    match answer(&what, tokio::time::timeout(STEP, declare).await)? {
        Answer::Done => Ok(()),
        Answer::No(_, LOCKED) => Err(Fault::standing(
            "another rehearsal of Loa runs on this virtual host; wait for its end, or name another",
        )),
        Answer::No(told, _) => Err(Fault::standing(format!("{what} cannot be used: {told}"))),
    }
}

async fn exists(connection: &Connection, piece: Piece<'_>) -> Result<bool, Fault> {
    Ok(matches!(ask(connection, piece, true).await?, Answer::Done))
}

fn not_ours(piece: Piece<'_>, settings: &RabbitSettings) -> String {
    let place = line::virtual_host(settings).unwrap_or_default();
    format!(
        "the virtual host `{place}` holds {}, which no rehearsal made; name one of its own: \
         rabbitmqctl add_vhost loa-demo; rabbitmqctl set_permissions -p loa-demo USER '.*' '.*' \
         '.*'; then --amqp amqp://USER:PASSWORD@HOST/loa-demo",
        piece.name()
    )
}
