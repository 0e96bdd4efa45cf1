//! The names of log fields and spans: the same thing has the same name everywhere.
//!
//! None of them ever holds an address, a secret, a header or message text. Log lines are written by
//! macros that take names only as words, so `tests/house.rs` holds them against these lists.

/// Every span.
pub const SPANS: [&str; 1] = [
    // One delivery is tried.
    "delivery",
];

/// Every field.
pub const FIELDS: [&str; 13] = [
    // How many of something.
    "count",
    "delivery.id",
    // The state that a delivery came to.
    "delivery.state",
    // An error with its chain of causes.
    "error",
    // Loa's own id of an event.
    "event.id",
    // The type of an event.
    "event.kind",
    // The part of a key that is no secret.
    "key.id",
    "key.name",
    // Where in the source a panic began.
    "place",
    // A provider's name.
    "provider",
    // Why something is as it is: a reason's word.
    "reason",
    // The trace id of an event's `traceparent`.
    "trace.id",
    // Who signs in to the console, by their name here.
    "user",
];
