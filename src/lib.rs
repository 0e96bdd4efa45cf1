//! Loa turns business events into messages that partners really receive, and keeps the proof.
//!
//! Data runs one way: intake, plan, store, dispatch, render, send, record. Two halves with a table
//! between them: *accept* (intake, plan, store) is one transaction, then the broker is told;
//! *deliver* (claim, render, send, record) holds no transaction while a gateway is spoken to. A
//! module uses the floors above its own in this list, never a neighbour on its floor, never one
//! below; `tests/house.rs` checks it.

// Ground: what everything stands on, knowing nothing of messages.
pub mod clock;
pub mod lifecycle;
#[cfg(test)]
mod sabotage;
pub mod telemetry;
pub mod text;

// Nouns: plain data and pure rules, no I/O, no async.
pub mod model;

// Settings: files and environment become checked types.
pub mod config;

// Plugs: what the outside world fits into.
pub mod broker;
pub mod provider;
pub mod store;

// Steps, in order; they never import one another.
pub mod intake;
pub mod plan;
pub mod render;
pub mod send;
pub mod record;

// Order: the only place that knows which step follows which.
pub mod pipeline;

// Faces: HTTP API, console, receipts, preference pages.
pub mod web;

// Wiring: builds every part once and runs until stopped.
pub mod app;

// Stage: the real app with a staged outside world.
pub mod rehearsal;

// Door: one file a command.
pub mod cli;
