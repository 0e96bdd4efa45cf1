//! Publishes with confirms, on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::status::StatusEvent;
use crate::telemetry;

use super::arrival::{short, write};
use super::backoff::Backoff;
use super::fault::{Fault, bounded};
use super::line::{self, STEP};
use super::publication::{Publication, PublishOutcome, Returned, StatusOutcome};
use super::state::{Board, BrokerState};
use super::unheard::Unheard;
use super::{Parts, topology};

/// How many messages may be under way unconfirmed.
const WINDOW: usize = 512;
/// How long the broker may take to confirm a window.
const CONFIRM: Duration = Duration::from_secs(15);
/// How many callers may wait for their turn.
const CALLERS: usize = 16;
/// Once all others have stopped, publishing goes on until nobody has published for so long.
const LINGER: Duration = Duration::from_secs(1);

const STOPPED: &str = "publishing to RabbitMQ has stopped";

/// Publishes messages; clones share one connection.
///
/// While there is no connection everything fails at once, so that whoever keeps what is to be
/// published (the outbox) decides when to try again.
#[derive(Clone, Debug)]
pub struct Publisher {
    jobs: mpsc::Sender<Job>,
    status_exchange: String,
    unheard: Arc<Mutex<Unheard>>,
    state: watch::Receiver<BrokerState>,
}

/// One caller's messages.
#[derive(Debug)]
struct Job {
    publications: Vec<Publication>,
    reply: oneshot::Sender<Vec<PublishOutcome>>,
}

impl Publisher {
    /// Begins to connect in the background.
    pub fn start(parts: &Parts) -> Self {
        let (sender, jobs) = mpsc::channel(CALLERS);
        let board = Board::new(telemetry::Link::Publish, Arc::clone(&parts.metrics));
        let state = board.watch();
        parts.tasks.spawn_last(Supervisor { parts: parts.clone(), board, jobs }.run());
        let status_exchange = parts.settings.status_exchange.clone();
        Self { jobs: sender, status_exchange, unheard: Arc::default(), state }
    }

    /// How the connection stands, now and later.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Publishes status events; one outcome each, in their order.
    ///
    /// For a key that nobody listened for last, one is published first; the others follow if that
    /// one was heard. [`Unheard`] says why none is kept from a listener by it.
    pub async fn publish(&self, events: &[StatusEvent]) -> Vec<StatusOutcome> {
        // Held to the end, so that what comes later does not overtake what follows its first one.
        let mut unheard = self.unheard.lock().await;
        let mut outcomes: Vec<Option<StatusOutcome>> = vec![None; events.len()];
        let mut round = unheard.first_round(events);
        while !round.is_empty() {
            let chosen = round.iter().filter_map(|at| events.get(*at));
            let publications =
                chosen.map(|event| Publication::of_status(&self.status_exchange, event));
            let published = self.publish_all(publications.collect()).await;
            for (at, outcome) in round.into_iter().zip(published) {
                if let Some(place) = outcomes.get_mut(at) {
                    *place = Some(outcome.into());
                }
            }
            round = unheard.learn(events, &mut outcomes);
        }
        let outcome =
            |known: Option<_>| known.unwrap_or_else(|| StatusOutcome::Failed(STOPPED.to_owned()));
        outcomes.into_iter().map(outcome).collect()
    }

    /// Publishes one message.
    pub async fn publish_event(&self, publication: Publication) -> PublishOutcome {
        let outcomes = self.publish_all(vec![publication]).await;
        outcomes.into_iter().next().unwrap_or_else(|| PublishOutcome::Failed(STOPPED.to_owned()))
    }

    /// Publishes messages, many at a time; one outcome each, in their order.
    pub async fn publish_all(&self, publications: Vec<Publication>) -> Vec<PublishOutcome> {
        let count = publications.len();
        let (reply, outcomes) = oneshot::channel();
        let stopped = || vec![PublishOutcome::Failed(STOPPED.to_owned()); count];
        if self.jobs.send(Job { publications, reply }).await.is_err() {
            return stopped();
        }
        outcomes.await.unwrap_or_else(|_| stopped())
    }
}

impl Job {
    fn fail(self, reason: &str) {
        let outcomes = vec![PublishOutcome::Failed(reason.to_owned()); self.publications.len()];
        // A caller that waits no longer keeps its messages and publishes them again.
        drop(self.reply.send(outcomes));
    }
}

/// Keeps a line to the broker alive.
struct Supervisor {
    parts: Parts,
    board: Board,
    jobs: mpsc::Receiver<Job>,
}

/// Why a line ended without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody publishes any more.
    Idle,
    /// The broker reads again, but what became of some messages is unknown: begin anew.
    Unblocked,
}

impl Supervisor {
    async fn run(mut self) {
        let stop = self.parts.tasks.last().clone();
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let fault = match self.open_and_serve(&stop).await {
                Ok(End::Idle) => break,
                Ok(End::Unblocked) => continue,
                Err(fault) => fault,
            };
            let wait = backoff.wait(began.elapsed(), fault.is_slow, fastrand::f64());
            self.board.show(BrokerState::Down(fault.text.clone()));
            if stop.is_cancelled() || self.refuse_for(wait, &fault.text, &stop).await.is_none() {
                break;
            }
        }
        self.board.show(BrokerState::Stopped);
    }

    /// Fails what is to be published until it is time to try again; `None` if nobody is left.
    async fn refuse_for(
        &mut self,
        wait: Duration,
        reason: &str,
        stop: &CancellationToken,
    ) -> Option<()> {
        let over = Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(over) => return Some(()),
                () = stop.cancelled() => return None,
                job = self.jobs.recv() => job?.fail(reason),
            }
        }
    }

    async fn open_and_serve(&mut self, stop: &CancellationToken) -> Result<End, Fault> {
        let settings = &self.parts.settings;
        let opening = async {
            let connection = line::open(settings, "loa publishes").await?;
            topology::for_status(&connection, settings).await?;
            let events: Events = Box::pin(connection.events_listener());
            Ok((Line::begin(connection).await?, events))
        };
        let (line, events) = tokio::select! {
            () = stop.cancelled() => return Ok(End::Idle),
            opened = opening => opened?,
        };
        self.board.show(BrokerState::Connected);
        let end = self.serve(&line, events, stop).await;
        if end.is_ok() {
            line::close(&line.connection).await;
        }
        end
    }

    async fn serve(
        &mut self,
        line: &Line,
        mut events: Events,
        stop: &CancellationToken,
    ) -> Result<End, Fault> {
        let mut blocked: Option<String> = None;
        let mut is_uncertain = false;
        loop {
            let linger = async {
                stop.cancelled().await;
                tokio::time::sleep(LINGER).await;
            };
            let news = tokio::select! {
                biased;
                news = news(&mut events) => news,
                job = self.jobs.recv() => {
                    let Some(job) = job else { return Ok(End::Idle) };
                    if let Some(reason) = &blocked {
                        job.fail(reason);
                        continue;
                    }
                    let Some(news) = line.work(job, &mut events).await else { continue };
                    is_uncertain = true;
                    news
                }
                () = linger => return Ok(End::Idle),
            };
            match news {
                News::Broken(fault) => return Err(fault),
                News::Unblocked if is_uncertain => return Ok(End::Unblocked),
                News::Unblocked => {
                    self.board.show(BrokerState::Connected);
                    blocked = None;
                }
                News::Blocked(fault) => {
                    self.board.show(BrokerState::Blocked(fault.clone()));
                    blocked = Some(fault);
                }
            }
        }
    }
}

/// What a connection tells of itself that matters to a publisher.
#[derive(Debug)]
enum News {
    /// The broker reads nothing for now; the connection stands.
    Blocked(String),
    /// The broker reads again.
    Unblocked,
    /// The connection is of no use any more.
    Broken(Fault),
}

async fn news(events: &mut Events) -> News {
    loop {
        match events.next().await {
            Some(Event::Error(error)) => return News::Broken(Fault::of("publishing", &error)),
            None => return News::Broken(Fault::passing("the connection ended")),
            Some(Event::ConnectionBlocked(reason)) => {
                let text = format!("RabbitMQ takes no messages for now ({reason})");
                return News::Blocked(text);
            }
            Some(Event::ConnectionUnblocked) => return News::Unblocked,
            Some(_) => {}
        }
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A connection and its channel in confirm mode.
struct Line {
    connection: Connection,
    channel: Channel,
}

impl Line {
    async fn begin(connection: Connection) -> Result<Self, Fault> {
        let channel = line::channel(&connection).await?;
        let select = channel.confirm_select(ConfirmSelectOptions::default());
        bounded("asking for confirms", STEP, select).await?;
        Ok(Self { connection, channel })
    }

    /// Publishes a caller's messages and tells it what became of them.
    ///
    /// Returns the trouble it met; the caller was told that what is not confirmed failed.
    async fn work(&self, job: Job, events: &mut Events) -> Option<News> {
        let Job { publications, reply } = job;
        let mut outcomes = Vec::with_capacity(publications.len());
        let mut met = None;
        for window in publications.chunks(WINDOW) {
            let trouble = tokio::select! {
                published = self.publish(window) => match published {
                    Ok(window) => {
                        outcomes.extend(window);
                        continue;
                    }
                    Err(fault) => News::Broken(fault),
                },
                news = news(events) => news,
            };
            met = Some(trouble);
            break;
        }
        let failed = match &met {
            None | Some(News::Unblocked) => "RabbitMQ was blocked meanwhile",
            Some(News::Blocked(text) | News::Broken(Fault { text, .. })) => text,
        };
        outcomes.resize(publications.len(), PublishOutcome::Failed(failed.to_owned()));
        drop(reply.send(outcomes));
        met
    }

    /// Publishes one window and waits until all of it is confirmed.
    ///
    /// # Errors
    /// What broke; nothing of the window counts then, since a returned message may be known only by
    /// a confirm that never came.
    async fn publish(&self, window: &[Publication]) -> Result<Vec<PublishOutcome>, Fault> {
        let in_time = async {
            let mut confirms = Vec::with_capacity(window.len());
            for publication in window {
                confirms.push(self.send(publication).await);
            }
            let mut settled = Vec::with_capacity(window.len());
            for confirm in confirms {
                settled.push(match confirm {
                    Ok(confirm) => Ok(confirm?.await?),
                    Err(text) => Err(text),
                });
            }
            Ok(settled)
        };
        let settled = bounded("publishing", CONFIRM, in_time).await?;
        Ok(judge(window, settled))
    }

    /// Hands a message to lapin; a message that AMQP cannot take is refused in words.
    async fn send(
        &self,
        publication: &Publication,
    ) -> Result<lapin::Result<lapin::PublisherConfirm>, String> {
        let exchange = short("exchange's name", &publication.exchange)?;
        let routing_key = short("routing key", &publication.routing_key)?;
        let properties: BasicProperties = write(&publication.properties)?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let bytes = &publication.bytes;
        let sent =
            self.channel.basic_publish(exchange, routing_key, options, bytes, properties).await;
        Ok(sent)
    }
}

/// Tells what became of each message of a window, once all its confirms are in.
fn judge(
    window: &[Publication],
    settled: Vec<Result<Confirmation, String>>,
) -> Vec<PublishOutcome> {
    let mut returned = Returned::default();
    let mut answers = Vec::with_capacity(window.len());
    for answer in settled {
        answers.push(answer.map(|confirmation| {
            let is_ack = confirmation.is_ack();
            if let Some(message) = confirmation.take_message() {
                returned.add(&message);
            }
            is_ack
        }));
    }
    let outcome = |(publication, answer)| match answer {
        Err(text) => PublishOutcome::Failed(text),
        Ok(_) if returned.contains(publication) => PublishOutcome::Unroutable,
        Ok(true) => PublishOutcome::Confirmed,
        Ok(false) => {
            PublishOutcome::Failed("RabbitMQ refused it; is a queue of its full?".to_owned())
        }
    };
    window.iter().zip(answers).map(outcome).collect()
}
