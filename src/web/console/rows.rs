//! A delivery as a row of a list.

use super::moment::Moment;
use super::view::{Badge, View};
use crate::model::delivery::{Delivery, Reason, State};

/// A delivery as a row of a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) at: Moment,
    pub(super) who: String,
    pub(super) partner: String,
    pub(super) channel: &'static str,
    pub(super) provider: String,
    pub(super) badge: Badge,
    pub(super) why: &'static str,
    pub(super) detail: String,
    /// When it is to be tried; only while it waits for that.
    pub(super) due: Option<Moment>,
    pub(super) event: String,
    pub(super) kind: String,
    pub(super) step: String,
    pub(super) key: String,
}

impl Row {
    pub(super) fn of(delivery: &Delivery, view: &View) -> Self {
        let waits = delivery.state == State::Waiting && delivery.due_at > view.now;
        let facts = &delivery.recipient;
        Self {
            id: delivery.id.to_string(),
            at: view.moment(delivery.created_at),
            who: who(delivery, view),
            partner: facts.partner_name.clone().unwrap_or_default(),
            channel: view.word("channel", delivery.channel.as_str()),
            provider: delivery.provider.as_ref().map(ToString::to_string).unwrap_or_default(),
            badge: view.badge_of(delivery),
            why: view.word("reason", delivery.reason.as_str()),
            detail: delivery.detail.clone().unwrap_or_default(),
            due: waits.then(|| view.moment(delivery.due_at)),
            event: delivery.event.to_string(),
            kind: delivery.event_type.to_string(),
            step: delivery.step.to_string(),
            key: delivery.business_key.clone().unwrap_or_default(),
        }
    }
}

/// The recipient's name, or else what stands for it.
pub(super) fn who(delivery: &Delivery, view: &View) -> String {
    if delivery.reason == Reason::EmptyAudience {
        return view.t("deliveries.nobody").to_owned();
    }
    let name = delivery.recipient.name.clone();
    match (name, &delivery.address) {
        (Some(name), _) => name,
        // A recipient without a name is known by the address, which lists show masked.
        (None, Some(address)) if address.value() == delivery.recipient_key => address.masked(),
        (None, _) => delivery.recipient_key.clone(),
    }
}
