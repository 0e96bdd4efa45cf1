//! The real app with a staged outside world.

pub mod bench;
mod company;
pub mod demo;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod post;
mod story;
