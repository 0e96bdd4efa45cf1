//! One subscription to the intake queue: arrivals out, acknowledgements back, until something ends
//! it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Event};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::RabbitSettings;

use super::arrival::{arrival, short};
use super::consumer::{Delivered, Shared};
use super::fault::{Fault, bounded};
use super::line::{self, STEP};
use super::state::{Board, BrokerState};
use super::topology;

/// How many arrivals must be settled one by one before the whole prefetch is asked for.
///
/// If one arrival ends the process again and again, only it comes back too often, not its
/// neighbours.
const SLOW_START: usize = 10;
/// How many bytes of events that are not settled may be held. RabbitMQ counts only messages, so
/// that fewer of them are asked for where they are big.
const MOST_HELD: usize = 64 * 1024 * 1024;
/// How often it is looked whether something is stuck, or what was lacking has come.
const LOOK: Duration = Duration::from_secs(1);
/// How often a lacking exchange is looked for.
const LOOK_FOR_LACKING: Duration = Duration::from_mins(1);

/// Why a subscription ended without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A stop was asked for, and everything is acknowledged.
    Stopped,
    /// What was handed out has not been settled for too long, and was given back.
    Stuck,
}

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// One arrival at a time.
    Slow,
    /// The slow consumer is cancelled; what it still has comes first.
    Widening,
    /// The whole prefetch.
    Wide,
    /// A stop was asked for; what the broker has sent comes still.
    Ending,
    /// Nothing comes any more; what is open may still be settled.
    Ended,
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Event> + Send>>;

/// A channel with a consumer on it, on a connection of its own.
pub(super) struct Subscription {
    connection: Connection,
    channel: Channel,
    deliveries: lapin::Consumer,
    events: Events,
    settings: Arc<RabbitSettings>,
    shared: Arc<Shared>,
    /// Whether anyone is left who may settle.
    present: Weak<()>,
    phase: Phase,
    /// How many arrivals were acknowledged.
    settled: usize,
    /// The bytes of the biggest arrival so far.
    biggest: usize,
    /// When something was acknowledged last, or nothing was open.
    progress: Instant,
    /// When what is lacking was looked for last, if something is.
    lacking: Option<Instant>,
}

impl Subscription {
    pub(super) async fn begin(
        connection: Connection,
        settings: Arc<RabbitSettings>,
        (shared, present): (Arc<Shared>, Weak<()>),
    ) -> Result<Self, Fault> {
        let events: Events = Box::pin(connection.events_listener());
        let channel = line::channel(&connection).await?;
        shared.window().begin();
        let deliveries = consume(&channel, &settings, 1).await?;
        Ok(Self {
            connection,
            channel,
            deliveries,
            events,
            settings,
            shared,
            present,
            phase: Phase::Slow,
            settled: 0,
            biggest: 0,
            progress: Instant::now(),
            lacking: None,
        })
    }

    /// Shows that it works, and what it lacks.
    pub(super) fn show(&mut self, board: &Board, lacking: Option<String>) {
        self.lacking = lacking.is_some().then(Instant::now);
        board.show(lacking.map_or(BrokerState::Connected, BrokerState::Impaired));
    }

    /// Hands arrivals out and acknowledges what is settled, until it ends.
    ///
    /// # Errors
    /// What broke; the connection is then dropped, and what is open comes again on the next one.
    pub(super) async fn run(
        mut self,
        arrivals: &mut Option<mpsc::Sender<Delivered>>,
        clock: &Clock,
        stop: &CancellationToken,
        (board, stuck_after): (&Board, Duration),
    ) -> Result<End, Fault> {
        let mut look = tokio::time::interval(LOOK.min(stuck_after));
        loop {
            if self.phase == Phase::Ended {
                // Whoever waits for arrivals learns that there are no more.
                *arrivals = None;
                // What nobody can settle any more comes again to whoever consumes next.
                if self.shared.window().is_empty() || self.present.strong_count() == 0 {
                    line::close(&self.connection).await;
                    return Ok(End::Stopped);
                }
            }
            let is_running = !matches!(self.phase, Phase::Ending | Phase::Ended);
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                () = stop.cancelled(), if is_running => self.cancel(Phase::Ending).await?,
                event = self.events.next() => heed(event, board)?,
                () = shared.settled.notified() => self.acknowledge().await?,
                _ = look.tick() => {
                    if is_running && self.is_stuck(stuck_after) {
                        line::close(&self.connection).await;
                        return Ok(End::Stuck);
                    }
                    self.look_for_lacking(board).await?;
                }
                next = next(&mut self.deliveries, arrivals.as_ref()), if self.phase != Phase::Ended => {
                    let Some((permit, delivery)) = next else {
                        // Nobody takes arrivals any more.
                        line::close(&self.connection).await;
                        return Ok(End::Stopped);
                    };
                    match delivery {
                        Some(Ok(delivery)) => self.hand_out(permit, delivery, clock),
                        Some(Err(error)) => return Err(Fault::of("consuming", &error)),
                        None => self.ran_dry().await?,
                    }
                }
            }
        }
    }

    fn hand_out(&mut self, permit: mpsc::Permit<'_, Delivered>, delivery: Delivery, clock: &Clock) {
        self.biggest = self.biggest.max(delivery.data.len());
        let link = {
            let mut window = self.shared.window();
            if window.is_empty() {
                self.progress = Instant::now();
            }
            window.hand_out(delivery.delivery_tag)
        };
        permit.send(Delivered { arrival: arrival(delivery, clock.now()), link });
    }

    /// Tells the broker what is settled without a gap.
    async fn acknowledge(&mut self) -> Result<(), Fault> {
        let taken = self.shared.window().take_settled();
        if let Some((count, tag)) = taken {
            self.settled = self.settled.saturating_add(count);
            if self.phase == Phase::Slow && self.settled >= SLOW_START {
                // Before the acknowledgement: while its one place is taken, the queue can give the
                // slow consumer nothing that a cancel would send to the back of the queue.
                self.cancel(Phase::Widening).await?;
            }
            let ack = self.channel.basic_ack(tag, BasicAckOptions { multiple: true });
            bounded("acknowledging events", STEP, ack).await?;
            self.progress = Instant::now();
        }
        if self.shared.window().is_empty() {
            self.progress = Instant::now();
        }
        Ok(())
    }

    fn is_stuck(&self, stuck_after: Duration) -> bool {
        self.progress.elapsed() >= stuck_after && !self.shared.window().is_empty()
    }

    /// Asks the broker for no more; what it has sent still comes, then the stream ends.
    async fn cancel(&mut self, phase: Phase) -> Result<(), Fault> {
        let was_cancelled = self.phase == Phase::Widening;
        self.phase = phase;
        if was_cancelled {
            return Ok(());
        }
        let cancel =
            self.channel.basic_cancel(self.deliveries.tag(), BasicCancelOptions::default());
        bounded("cancelling the subscription", STEP, cancel).await
    }

    /// The stream of deliveries has ended without an error; it must not be asked again.
    async fn ran_dry(&mut self) -> Result<(), Fault> {
        match self.phase {
            Phase::Widening => {
                let prefetch = fitting(self.settings.prefetch, self.biggest);
                self.deliveries = consume(&self.channel, &self.settings, prefetch).await?;
                self.phase = Phase::Wide;
            }
            Phase::Ending | Phase::Ended => self.phase = Phase::Ended,
            Phase::Slow | Phase::Wide => {
                return Err(Fault::passing(format!(
                    "RabbitMQ ended the subscription to queue `{}`; was the queue deleted?",
                    self.settings.queue
                )));
            }
        }
        Ok(())
    }

    async fn look_for_lacking(&mut self, board: &Board) -> Result<(), Fault> {
        if self.lacking.is_some_and(|looked| looked.elapsed() >= LOOK_FOR_LACKING) {
            let lacking = topology::bind_foreign(&self.connection, &self.settings).await?;
            self.show(board, lacking);
        }
        Ok(())
    }
}

/// How many messages may be asked for at once if they are as big as the biggest so far.
fn fitting(prefetch: u16, biggest: usize) -> u16 {
    let fit = u16::try_from(MOST_HELD / biggest.max(1)).unwrap_or(u16::MAX);
    prefetch.min(fit).max(1)
}

/// Looks at what the connection tells of itself.
fn heed(event: Option<Event>, board: &Board) -> Result<(), Fault> {
    match event {
        Some(Event::Error(error)) => Err(Fault::of("consuming", &error)),
        None => Err(Fault::passing("the connection ended")),
        Some(Event::ConnectionBlocked(reason)) => {
            let fault = format!("RabbitMQ has blocked the connection ({reason})");
            board.show(BrokerState::Impaired(fault));
            Ok(())
        }
        Some(Event::ConnectionUnblocked) => {
            board.show(BrokerState::Connected);
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// Waits for room, then for a delivery; `None` when nobody takes arrivals any more.
async fn next<'a>(
    deliveries: &mut lapin::Consumer,
    arrivals: Option<&'a mpsc::Sender<Delivered>>,
) -> Option<(mpsc::Permit<'a, Delivered>, Option<lapin::Result<Delivery>>)> {
    let permit = arrivals?.reserve().await.ok()?;
    Some((permit, deliveries.next().await))
}

async fn consume(
    channel: &Channel,
    settings: &RabbitSettings,
    prefetch: u16,
) -> Result<lapin::Consumer, Fault> {
    line::set_prefetch(channel, prefetch).await?;
    let queue = short("queue's name", &settings.queue).map_err(Fault::standing)?;
    let consume = channel.basic_consume(
        queue,
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    bounded(&format!("consuming queue `{}`", settings.queue), STEP, consume).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_big_messages_fewer_are_asked_for() {
        assert_eq!(fitting(1000, 0), 1000);
        assert_eq!(fitting(1000, 2_000), 1000);
        assert_eq!(fitting(1000, MOST_HELD / 30), 30);
        assert_eq!(fitting(1000, 2 * MOST_HELD), 1);
        assert_eq!(fitting(0, 100), 1);
    }
}
