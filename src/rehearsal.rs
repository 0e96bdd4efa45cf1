//! The real app with a staged outside world.

pub mod bench;
mod company;
pub mod demo;
pub mod drill;
pub mod post;
pub mod proxy;
mod story;
