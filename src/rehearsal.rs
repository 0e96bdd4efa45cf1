//! The real app with a staged outside world.

pub mod bench;
mod company;
pub mod demo;
pub mod post;
mod story;
