//! Settings with their places: files and environment become checked types.
//!
//! [`read`] lays the sources over each other (built-in defaults, one file, the environment, what
//! the caller gives) and fills a [`Config`]; every part that has settings of its own, such as a
//! provider kind, reads them from its [`Section`]. All faults land in one [`Faults`], each with
//! its place and what to do.

pub mod assets;
mod check;
mod crossing;
mod event_type;
mod fault;
mod named;
mod reading;
mod schema;
mod secret_file;
mod section;
mod settings;
mod sources;
mod step;
pub(crate) mod suggestion;
mod tree;
pub mod units;

pub use crate::config::check::{KindFacts, check_config};
pub use crate::config::event_type::{is_type_name, read_catalogue};
pub use crate::config::fault::{Fault, Faults, Place, Severity, SourceText};
pub use crate::config::named::NamedServer;
pub use crate::config::section::Section;
pub use crate::config::settings::*;
pub use crate::config::sources::Sources;

/// Reads everything, and returns the best that could be made of it beside all faults.
///
/// A value with a fault is left at an empty one, so a config whose faults have errors is good for
/// further checks only. Parts that read their own section add to the same faults.
pub fn read(sources: &Sources) -> (Config, Faults) {
    let faults = Faults::new();
    let (root, is_whole) = sources.merged(&faults);
    let mut config = reading::config(&root);
    config.places.is_whole = is_whole;
    root.finish();
    (config, faults)
}

/// Reads everything.
///
/// # Errors
/// All faults, if any of them is an error.
pub fn load(sources: &Sources) -> Result<Config, Faults> {
    let (config, faults) = read(sources);
    if faults.has_errors() { Err(faults) } else { Ok(config) }
}

#[cfg(test)]
mod tests;
