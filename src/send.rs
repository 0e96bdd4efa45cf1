//! Hands a message to a provider at the pace it can take.

pub mod breaker;
pub mod only_to;
