//! What is handed to the accepting transaction, and what it answers.

use crate::model::audience::AudienceQuery;
use crate::model::contact::DirectoryChange;
use crate::model::delivery::{Delivery, Lease};
use crate::model::event::{Arrival, Event, RejectedEvent, Rejection};
use crate::model::id::{DeliveryId, EventId, EventTypeName, RejectedId, StepName};

/// What is to be committed of one arrival.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// An event with its plan.
    Planned(Box<PlannedEvent>),
    /// An arrival that could not be planned.
    Rejected(Box<RejectedEvent>),
}

/// An event with everything that it leads to.
#[derive(Clone, Debug)]
pub struct PlannedEvent {
    /// What arrived; kept if the id turns out to be reused.
    pub arrival: Arrival,
    /// The event.
    pub event: Event,
    /// Its deliveries.
    pub deliveries: Vec<NewDelivery>,
    /// Steps that this event makes unwanted, by the same business key.
    pub cancels: Vec<(EventTypeName, StepName)>,
    /// What it changes in the directory.
    pub change: Option<DirectoryChange>,
    /// Audiences to be planned page by page.
    pub pages: Vec<NewPage>,
}

/// A delivery to be written.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Types of events that make it unwanted.
    pub unless: Vec<EventTypeName>,
    /// A claim made in the same transaction.
    pub lease: Option<Lease>,
}

/// A big audience to be planned page by page.
#[derive(Clone, Debug)]
pub struct NewPage {
    /// The step.
    pub step: StepName,
    /// Whom to ask the directory for.
    pub query: AudienceQuery,
}

/// What became of one arrival.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is committed.
    Planned {
        /// The event.
        event: EventId,
        /// How many deliveries were planned, decisions against included.
        planned: u64,
        /// Whether audiences are still to be planned.
        planning: bool,
        /// The deliveries whose leases were written.
        leased: Vec<DeliveryId>,
    },
    /// The same event came before.
    Repeat {
        /// The event as it came first.
        event: EventId,
    },
    /// It could not be planned.
    Rejected {
        /// The rejected event, if it was kept.
        id: Option<RejectedId>,
        /// Why.
        rejection: Rejection,
    },
}

impl Accepted {
    /// The deliveries that are committed with a lease.
    pub fn leased(&self) -> &[DeliveryId] {
        match self {
            Self::Planned { leased, .. } => leased,
            Self::Repeat { .. } | Self::Rejected { .. } => &[],
        }
    }
}
