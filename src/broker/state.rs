//! How a connection to the broker stands, for readiness, metrics and people.

use tokio::sync::watch;
use tracing::{info, warn};

use crate::telemetry::{Link, Metrics};

/// How a connection to the broker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It is being made for the first time.
    Connecting,
    /// It works.
    Connected,
    /// It works, but something is missing; the sentence says what and what to do.
    Impaired(String),
    /// It stands, but nothing gets through; the sentence says why.
    Blocked(String),
    /// It does not work; the sentence says why.
    Down(String),
    /// It was ended on purpose.
    Stopped,
}

impl BrokerState {
    /// Whether events or status events get through.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected | Self::Impaired(_))
    }

    /// What is wrong, in a sentence without a full stop.
    pub fn fault(&self) -> Option<&str> {
        match self {
            Self::Impaired(fault) | Self::Blocked(fault) | Self::Down(fault) => Some(fault),
            Self::Connecting => Some("RabbitMQ is not connected yet"),
            Self::Connected | Self::Stopped => None,
        }
    }
}

/// Shows one connection's state to whoever asks, and logs each change of it once.
#[derive(Debug)]
pub(super) struct Board {
    link: Link,
    state: watch::Sender<BrokerState>,
    metrics: std::sync::Arc<Metrics>,
}

impl Board {
    pub(super) fn new(link: Link, metrics: std::sync::Arc<Metrics>) -> Self {
        metrics.show_broker(link, false);
        Self { link, state: watch::Sender::new(BrokerState::Connecting), metrics }
    }

    pub(super) fn watch(&self) -> watch::Receiver<BrokerState> {
        self.state.subscribe()
    }

    /// Shows `state`, and logs it if it is news.
    pub(super) fn show(&self, state: BrokerState) {
        self.metrics.show_broker(self.link, state.is_connected());
        if *self.state.borrow() != state {
            self.log(&state);
            self.state.send_replace(state);
        }
    }

    fn log(&self, state: &BrokerState) {
        let what = match self.link {
            Link::Consume => "taking events from RabbitMQ",
            Link::Publish => "publishing to RabbitMQ",
        };
        match state {
            BrokerState::Connecting => {}
            BrokerState::Connected => info!("{what}"),
            BrokerState::Impaired(fault) => warn!(error = fault, "{what}, but: {fault}"),
            BrokerState::Blocked(fault) => warn!(error = fault, "{what} stands still: {fault}"),
            BrokerState::Down(fault) => warn!(error = fault, "not {what}: {fault}; trying again"),
            BrokerState::Stopped => info!("stopped {what}"),
        }
    }
}
