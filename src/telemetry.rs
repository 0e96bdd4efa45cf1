//! Names every metric, span and log field once, and sets up logging.

mod causes;
pub mod field;
mod logging;
mod metrics;

pub use crate::telemetry::causes::with_causes;
#[cfg(test)]
pub(crate) use crate::telemetry::logging::tests::logged;
pub use crate::telemetry::logging::{
    LogFormat, LoggingError, init_logging, keep_panics_quiet, read_filter, subscriber, trace_id,
};
pub use crate::telemetry::metrics::{BreakerState, EventResult, Link, Metrics};
