//! Arrivals from RabbitMQ, for as long as Loa runs, whatever becomes of the connection meanwhile.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::model::event::Arrival;
use crate::telemetry;

use super::backoff::Backoff;
use super::fault::Fault;
use super::state::{Board, BrokerState};
use super::subscription::{End, Subscription};
use super::window::{AckWindow, Link};
use super::{Parts, line, topology};

/// How long handed out arrivals may stay unsettled before they are given back.
///
/// Well below RabbitMQ's own limit of 30 minutes, which would count against each of them.
const STUCK_AFTER: Duration = Duration::from_mins(20);

/// An arrival and where to tell that it is done.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// What arrived.
    pub arrival: Arrival,
    /// For [`Settler::settle`].
    pub link: Link,
}

/// The arrivals of the intake queue, as a stream that ends when Loa stops.
///
/// At most the prefetch is held unsettled. After a stop is asked for, what the broker has handed
/// over still comes; the task ends once all of it is settled or the grace is over.
#[derive(Debug)]
pub struct Consumer {
    arrivals: mpsc::Receiver<Delivered>,
    settler: Settler,
    state: watch::Receiver<BrokerState>,
}

/// Tells the broker which arrivals are done; clones speak for the same consumer.
#[derive(Clone, Debug)]
pub struct Settler {
    shared: Arc<Shared>,
    /// Shows the consumer's task that someone is left who may settle.
    _present: Arc<()>,
}

/// What the consumer's task shares with those who work on its arrivals.
#[derive(Debug, Default)]
pub(super) struct Shared {
    window: Mutex<AckWindow>,
    /// Something was settled.
    pub(super) settled: Notify,
}

impl Shared {
    pub(super) fn window(&self) -> MutexGuard<'_, AckWindow> {
        // Nothing panics while it is held, and a half-made change would only lead to redelivery.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    /// Begins to consume in the background; where there is no broker yet, once there is one.
    pub fn start(parts: &Parts) -> Self {
        Self::start_with(parts, STUCK_AFTER)
    }

    pub(super) fn start_with(parts: &Parts, stuck_after: Duration) -> Self {
        let (sender, arrivals) = mpsc::channel(usize::from(parts.settings.prefetch).max(1));
        let shared = Arc::new(Shared::default());
        let board = Board::new(telemetry::Link::Consume, Arc::clone(&parts.metrics));
        let state = board.watch();
        let present = Arc::new(());
        let supervisor = Supervisor {
            parts: parts.clone(),
            shared: Arc::clone(&shared),
            present: Arc::downgrade(&present),
            board,
            stuck_after,
        };
        parts.tasks.spawn(supervisor.run(sender));
        Self { arrivals, settler: Settler { shared, _present: present }, state }
    }

    /// What tells the broker that arrivals are done.
    pub fn settler(&self) -> Settler {
        self.settler.clone()
    }

    /// How the connection stands, now and later.
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }
}

impl Stream for Consumer {
    type Item = Delivered;

    /// Leaves out arrivals of an earlier connection: the broker brings them again.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivered>> {
        loop {
            let Some(delivered) = std::task::ready!(self.arrivals.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            if self.settler.shared.window().is_current(delivered.link) {
                return Poll::Ready(Some(delivered));
            }
        }
    }
}

impl Settler {
    /// Notes that these arrivals are done for good: planned, known as repeats or kept as rejected.
    ///
    /// Returns at once. The broker is told of those before which nothing is open; of arrivals of an
    /// earlier connection it is not told, and brings them again.
    pub fn settle(&self, links: impl IntoIterator<Item = Link>) {
        {
            let mut window = self.shared.window();
            links.into_iter().for_each(|link| window.settle(link));
        }
        self.shared.settled.notify_one();
    }
}

/// Keeps a subscription alive.
struct Supervisor {
    parts: Parts,
    shared: Arc<Shared>,
    present: Weak<()>,
    board: Board,
    stuck_after: Duration,
}

impl Supervisor {
    async fn run(self, arrivals: mpsc::Sender<Delivered>) {
        let stop = self.parts.tasks.soft().clone();
        let mut backoff = Backoff::default();
        let mut arrivals = Some(arrivals);
        while arrivals.is_some() && !stop.is_cancelled() {
            let began = Instant::now();
            let fault = match self.subscribe_and_run(&mut arrivals).await {
                Ok(End::Stopped) => break,
                Ok(End::Stuck) => {
                    self.await_progress().await;
                    continue;
                }
                Err(fault) => fault,
            };
            let wait = backoff.wait(began.elapsed(), fault.is_slow, fastrand::f64());
            self.board.show(BrokerState::Down(fault.text));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.board.show(BrokerState::Stopped);
    }

    /// One connection, from its beginning to its end.
    async fn subscribe_and_run(
        &self,
        arrivals: &mut Option<mpsc::Sender<Delivered>>,
    ) -> Result<End, Fault> {
        let Parts { settings, clock, tasks, .. } = &self.parts;
        let stop = tasks.soft();
        let opening = async {
            let connection = line::open(settings, "loa consumes").await?;
            let lacking = topology::for_events(&connection, settings).await?;
            let others = (Arc::clone(&self.shared), self.present.clone());
            let subscription = Subscription::begin(connection, Arc::clone(settings), others);
            Ok((subscription.await?, lacking))
        };
        let (mut subscription, lacking) = tokio::select! {
            () = stop.cancelled() => return Ok(End::Stopped),
            opened = opening => opened?,
        };
        subscription.show(&self.board, lacking);
        subscription.run(arrivals, clock, stop, (&self.board, self.stuck_after)).await
    }

    /// Waits until whoever holds arrivals gets on with them, so that no more are fetched before.
    async fn await_progress(&self) {
        let minutes = self.stuck_after.as_secs() / 60;
        self.board.show(BrokerState::Down(format!(
            "events were handed over {minutes} min ago and are still not stored; they are left \
             with RabbitMQ until the store works again"
        )));
        tokio::select! {
            () = self.parts.tasks.soft().cancelled() => {}
            () = self.shared.settled.notified() => {}
        }
    }
}
