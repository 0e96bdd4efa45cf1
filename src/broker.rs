//! RabbitMQ: a connection kept alive, topology, arrivals that know their link, confirmed
//! publishing.
//!
//! One connection consumes ([`Consumer`]), another publishes ([`Publisher`]): a broker that runs
//! out of memory or disk stops reading from publishers, and acknowledgements must still get
//! through. Each is kept alive by a task of its own that connects, checks the topology, works until
//! something breaks, waits and begins anew; lapin's own recovery is off. Nothing is ever handed
//! back to the queue for another try: RabbitMQ 4 drops what comes back too often.

mod arrival;
mod backoff;
mod consumer;
mod fault;
mod line;
mod login;
mod playground;
mod publication;
mod publisher;
mod state;
mod subscription;
mod topology;
mod unheard;
mod window;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::RabbitSettings;
use crate::lifecycle::Tasks;
use crate::telemetry::Metrics;

pub use consumer::{Consumer, Delivered, Settler};
pub use login::{Refused, try_login};
pub use playground::{Heard, Playground};
pub use publication::{Publication, PublishOutcome, StatusOutcome};
pub use publisher::Publisher;
pub use state::BrokerState;
pub use window::Link;

/// What both connections are made of.
#[derive(Clone)]
pub struct Parts {
    /// Where the broker is and what is declared there.
    pub settings: Arc<RabbitSettings>,
    /// The time of arrivals; waits are real time even where this is moved by hand.
    pub clock: Clock,
    /// Where the connections are kept alive.
    pub tasks: Tasks,
    /// Where it shows whether they stand.
    pub metrics: Arc<Metrics>,
}

#[cfg(test)]
mod tests;
