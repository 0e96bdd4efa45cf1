//! Partners, contacts, teams and segments: whom events are about, and how they are reached.

mod change;
mod find;
mod list;
mod load;
mod members;
mod portion;
mod resolve;
mod segment;

pub(super) use change::apply_change;
pub use find::ContactFilter;
pub use list::Segment;
