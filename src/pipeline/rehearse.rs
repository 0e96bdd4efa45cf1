//! What an arrival would lead to, without keeping anything of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::address::{Address, Channel};
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::event::{Arrival, Rejection};
use crate::model::id::{ProviderName, StepName};
use crate::model::message::{Dialect, Message};
use crate::pipeline::accept::Acceptor;
use crate::store::{Acceptance, EventFacts, StoreError};

/// How many deliveries are told one by one.
const SHOWN: usize = 100;

/// What accepting an arrival would lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rehearsal {
    /// How many deliveries would be planned, decisions against included.
    pub deliveries: u64,
    /// How many would go out, by channel.
    pub channels: BTreeMap<String, u64>,
    /// How many would be skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Recipients of audiences that would be planned page by page; counted here alone, since
    /// counting reads all of them.
    pub paged: u64,
    /// SMS parts that would be paid for.
    pub sms_parts: u64,
    /// What does not render, each fault once.
    pub faults: Vec<String>,
    /// Who would get what, or why not: the first hundred deliveries.
    pub plan: Vec<Rehearsed>,
}

/// One delivery that would be planned.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rehearsed {
    /// The step of the type's plan.
    pub step: StepName,
    /// The recipient's name, or what else tells recipients apart.
    pub recipient: String,
    /// The channel.
    pub channel: Channel,
    /// The way out.
    pub provider: Option<ProviderName>,
    /// The address, masked.
    pub address: Option<String>,
    /// `waiting`, or why it would not be sent.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// When it would be due.
    pub due_at: Timestamp,
}

impl Rehearsed {
    fn of(delivery: &Delivery) -> Self {
        let name = delivery.recipient.name.clone();
        Self {
            step: delivery.step.clone(),
            recipient: name.unwrap_or_else(|| delivery.recipient_key.clone()),
            channel: delivery.channel,
            provider: delivery.provider.clone(),
            address: delivery.address.as_ref().map(Address::masked),
            state: delivery.state,
            reason: delivery.reason,
            due_at: delivery.due_at,
        }
    }
}

impl Acceptor {
    /// Plans and renders an arrival without keeping anything of it.
    ///
    /// # Errors
    /// When the store does not answer; the inner error is the arrival's rejection.
    pub async fn rehearse(
        &self,
        arrival: Arrival,
    ) -> Result<Result<Rehearsal, Box<Rejection>>, StoreError> {
        let rulebook = self.rulebook();
        let drafts = self.decode(vec![arrival], &rulebook);
        let planned = match self.plan(drafts, &rulebook).await?.pop() {
            Some(Acceptance::Planned(planned)) => planned,
            Some(Acceptance::Rejected(rejected)) => return Ok(Err(Box::new(rejected.rejection))),
            None => return Ok(Ok(Rehearsal::default())),
        };
        let mut rehearsal =
            Rehearsal { deliveries: planned.deliveries.len() as u64, ..Rehearsal::default() };
        for page in &planned.pages {
            rehearsal.paged += self.count_recipients(page).await?;
        }
        let facts = EventFacts::of(&planned.event);
        let rows = planned.deliveries.iter().take(SHOWN);
        rehearsal.plan = rows.map(|new| Rehearsed::of(&new.delivery)).collect();
        for new in &planned.deliveries {
            let delivery = &new.delivery;
            if delivery.state != State::Waiting {
                let reason = delivery.reason.as_str().to_owned();
                *rehearsal.skipped.entry(reason).or_default() += 1;
                continue;
            }
            *rehearsal.channels.entry(delivery.channel.to_string()).or_default() += 1;
            match rulebook.render(delivery, &facts, Dialect::Plain, self.now()) {
                Ok(rendered) => {
                    if let Message::Sms(sms) = rendered.message {
                        rehearsal.sms_parts += u64::from(sms.parts);
                    }
                }
                Err(fault) => rehearsal.faults.push(fault.to_string()),
            }
        }
        rehearsal.faults.sort();
        rehearsal.faults.dedup();
        Ok(Ok(rehearsal))
    }
}
