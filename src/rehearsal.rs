//! The real app with a staged outside world.

mod company;
pub mod demo;
pub mod post;
mod story;
