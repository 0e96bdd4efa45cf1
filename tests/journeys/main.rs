//! Stories that the promises tell, played with the real program in processes of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod audience;
mod demo;
mod events;
mod kill;
mod stage;
mod two;
