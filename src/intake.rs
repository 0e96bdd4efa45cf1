//! Turns arrivals into events, or into rejections that say what is wrong and where.
//!
//! Three ways of writing an event are understood: CloudEvents 1.0 in structured mode (one JSON
//! object), in binary mode (attributes as headers, data as body), and plain JSON: an envelope with
//! `type` and `data`, or the data alone with AMQP properties. A rejection uses up no key: the same
//! event may be published again, mended.

mod attributes;
mod batches;
mod decode;
pub mod encode;
mod json;
mod mend;
pub mod roster;
mod schema;
mod split;

pub use batches::{BatchLimits, next_batch};
pub use decode::Decoder;
pub use mend::mended;
pub use split::split_batch;
