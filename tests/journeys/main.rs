//! Stories that the promises tell, played with the real program in processes of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that fails shows what Loa logged")]

mod access;
mod audience;
mod bad_input;
mod canaries;
mod check;
mod console;
mod demo;
mod events;
mod exit_codes;
mod inside;
mod keys;
mod kill;
mod openapi;
mod problems;
mod publish;
mod receiver;
mod reload;
mod stage;
mod two;
mod ways;
