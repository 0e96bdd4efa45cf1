//! The cast, in twelve sentences.
//!
//! An upstream system says that something happened: an [`event`]. The [`catalogue`] knows each type
//! of event: its schema, and the steps of its plan. A step tells [`contact`]s, who belong to
//! partners or teams or a [`segment`], at an [`address`] of theirs, within a [`window`] of the day.
//! One step of one event to one recipient on one channel is a [`delivery`], the unit that is
//! scheduled, sent, retried and counted; what is done to it by hand is a [`deed`]. Rendered, it is
//! a [`message`] in an envelope. A try of a delivery at one provider has an [`outcome`]. What
//! became of it goes out as a [`status`] event. Who may do what, [`access`] says; how long a name
//! may be, [`bounds`]; what data must look like, [`schema`]; what of a text is hidden, [`mask`].
//! Every [`id`] is a type of its own. Everything here is plain data and pure rules: nothing waits,
//! nothing asks for the time.

pub mod access;
pub mod address;
pub mod audience;
pub mod bounds;
pub mod catalogue;
pub mod contact;
pub mod data;
pub mod deed;
pub mod delivery;
pub mod event;
pub mod fold;
pub mod id;
pub mod ledger;
pub mod mask;
pub mod message;
pub mod outcome;
pub mod schema;
pub mod segment;
pub mod status;
pub mod token;
pub mod window;
