//! Stories that the promises tell, played with the real program in processes of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that fails shows what Loa logged")]

mod access;
mod alarms;
mod alive;
mod audience;
mod bad_input;
mod broker;
mod canaries;
mod check;
mod console;
mod demo;
mod directory;
mod drill;
mod escaping;
mod events;
mod fallback;
mod flood;
mod exit_codes;
mod gates;
mod inside;
mod keys;
mod kill;
mod lanes;
mod lists;
mod no_room;
mod one_fault;
mod openapi;
mod orders;
mod pages;
mod points;
mod pressed;
mod problems;
mod providers;
mod publish;
mod receiver;
mod rejections;
mod reload;
mod retention;
mod rights;
mod stage;
mod staging;
mod status;
mod stop;
mod syncs;
mod two;
mod under_load;
mod unsubscribe;
mod waiting;
mod ways;
