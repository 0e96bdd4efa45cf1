//! Makes the rows of one step: each recipient, each channel, and the decisions against.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::address::{Address, Channel};
use crate::model::audience::{Person, Recipients};
use crate::model::catalogue::{Category, EventType, Step, Strategy};
use crate::model::delivery::{Delivery, ManagerFacts, Reason, RecipientFacts, State};
use crate::model::event::{Event, Rejection};
use crate::model::id::{DeliveryId, ProviderName};

use super::recipient::{Recipient, manager_facts};
use super::time::{due, later};
use super::{Planned, Rules};

/// Makes the rows of one event.
pub(super) struct Composer<'a> {
    event: &'a Event,
    event_type: &'a EventType,
    rules: &'a Rules,
    now: Timestamp,
    manager: Option<ManagerFacts>,
    partner_name: Option<String>,
}

/// One channel of one recipient: the way there, and what stands against it.
struct Choice<'a> {
    channel: Channel,
    address: Option<&'a Address>,
    provider: Option<ProviderName>,
    against: Option<Reason>,
    detail: Option<String>,
}

/// When a row is due and from when its expiry counts.
#[derive(Clone, Copy)]
struct Times<'a> {
    /// The step's own time; the expiry counts from it, or from the event's time if that is later,
    /// and from the first time after that at which the step's window is open.
    starts: Timestamp,
    /// That time; a fallback's is counted from when the channel before it is due.
    due: Timestamp,
    zone: &'a TimeZone,
}

impl<'a> Composer<'a> {
    /// A composer for rows of `event`, whose partner is looked after by `manager`.
    pub(super) fn new(
        event: &'a Event,
        event_type: &'a EventType,
        rules: &'a Rules,
        now: Timestamp,
        manager: Option<&Person>,
    ) -> Self {
        let partner = manager.and_then(|person| person.partner.as_ref());
        Self {
            event,
            event_type,
            rules,
            now,
            manager: manager.map(|person| manager_facts(&person.contact)),
            partner_name: partner.map(|partner| partner.name.clone()),
        }
    }

    /// The rows of `step` for `recipients`, each of them once.
    pub(super) fn step(
        &self,
        step: &Step,
        recipients: &Recipients,
    ) -> Result<Vec<Planned>, Box<Rejection>> {
        let starts = due(self.event, step, (&self.rules.time_zone, self.now))?;
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        let people = recipients.people.iter().map(Recipient::of_person);
        for recipient in people {
            if seen.insert(recipient.key.clone()) {
                self.recipient(step, &recipient, starts, &mut rows);
            }
        }
        let contacts = seen.clone();
        for mut recipient in recipients.strangers.iter().map(Recipient::of_stranger) {
            if contacts.contains(&recipient.key) {
                // Somebody whom the directory knows otherwise: both are told.
                recipient.key = recipient.own_address().unwrap_or(recipient.key);
            }
            if seen.insert(recipient.key.clone()) {
                self.recipient(step, &recipient, starts, &mut rows);
            }
        }
        for id in &recipients.unknown {
            if seen.insert(id.to_string()) {
                let detail = format!("contact `{id}` is not known");
                rows.push(self.nobody(
                    step,
                    id.as_str(),
                    (Reason::UnknownContact, Some(detail)),
                )?);
            }
        }
        Ok(rows)
    }

    /// The one row of a step that tells nobody, and why.
    pub(super) fn nobody(
        &self,
        step: &Step,
        key: &str,
        (reason, detail): (Reason, Option<String>),
    ) -> Result<Planned, Box<Rejection>> {
        let zone = &self.rules.time_zone;
        let starts = due(self.event, step, (zone, self.now))?;
        let channel = step.channels.first().copied().unwrap_or(Channel::Email);
        let choice =
            Choice { channel, address: None, provider: None, against: Some(reason), detail };
        let times = Times { starts, due: starts, zone };
        Ok(self.row(step, &Recipient::nobody(key), choice, times))
    }

    /// The rows of one recipient: every channel, or one after the other.
    fn recipient(
        &self,
        step: &Step,
        recipient: &Recipient<'_>,
        starts: Timestamp,
        rows: &mut Vec<Planned>,
    ) {
        let own_zone = recipient.time_zone.and_then(|name| TimeZone::get(name).ok());
        let zone = own_zone.as_ref().unwrap_or(&self.rules.time_zone);
        let mut next = starts;
        let mut before: Option<DeliveryId> = None;
        for channel in channels_of(step, recipient) {
            let choice = self.choose(step, recipient, channel);
            let times = Times { starts, due: next, zone };
            let mut row = self.row(step, recipient, choice, times);
            if let Strategy::Fallback { after } = step.strategy
                && row.delivery.state == State::Waiting
            {
                if before.is_some() {
                    row.delivery.reason = Reason::Fallback;
                }
                row.delivery.after = before.replace(row.delivery.id);
                // From when this one may go out at the earliest, or both would be due at once.
                next = later(row.delivery.due_at, after);
            }
            rows.push(row);
        }
    }

    /// Looks for the way to `recipient` on `channel`, and for what stands against it.
    fn choose<'r>(&self, step: &Step, recipient: &Recipient<'r>, channel: Channel) -> Choice<'r> {
        let Some(address) = recipient.address(channel) else {
            let (against, detail) = (Some(Reason::NoAddress), recipient.unreachable());
            return Choice { channel, address: None, provider: None, against, detail };
        };
        match self.rules.routes.choose(step, address) {
            Ok(provider) => Choice {
                channel,
                address: Some(address),
                provider: Some(provider),
                against: self.objection(recipient, address),
                detail: None,
            },
            Err(detail) => Choice {
                channel,
                address: Some(address),
                provider: None,
                against: Some(Reason::NoAddress),
                detail: Some(detail),
            },
        }
    }

    fn objection(&self, recipient: &Recipient<'_>, address: &Address) -> Option<Reason> {
        if self.event.only.as_deref().is_some_and(|only| !is_same(only, address, self.rules)) {
            return Some(Reason::NotOnlyAddress);
        }
        if recipient.is_suppressed(address) {
            return Some(Reason::SuppressedAddress);
        }
        let needs_consent = self.event_type.category == Category::Marketing;
        if needs_consent && !recipient.consents_to_marketing(address) {
            return Some(Reason::NoConsent);
        }
        None
    }

    fn row(
        &self,
        step: &Step,
        recipient: &Recipient<'_>,
        choice: Choice<'_>,
        times: Times<'_>,
    ) -> Planned {
        let wanted = times.due.max(self.now);
        let window = step.window.as_ref();
        let due_at = window.map_or(wanted, |window| window.next_open(wanted, times.zone));
        // What may not go out yet has not begun to grow old.
        let starts = times.starts.max(self.event.time);
        let starts = window.map_or(starts, |window| window.next_open(starts, times.zone));
        let expires_at = later(starts, self.event_type.expiry);
        let (state, reason) = match choice.against {
            Some(reason) => (State::Skipped, reason),
            None if due_at > expires_at => (State::Expired, Reason::Expiry),
            None if due_at > wanted => (State::Waiting, Reason::Window),
            None => (State::Waiting, Reason::Scheduled),
        };
        let delivery = Delivery {
            id: DeliveryId::new(self.now),
            event: self.event.id,
            event_type: self.event.event_type.clone(),
            step: step.name.clone(),
            recipient_key: recipient.key.clone(),
            contact: recipient.contact.clone(),
            partner: self.event.partner.clone().or_else(|| recipient.partner.clone()),
            business_key: self.event.business_key.clone(),
            channel: choice.channel,
            provider: choice.provider,
            address: choice.address.cloned(),
            locale: recipient.locale.unwrap_or(&self.rules.locale).to_owned(),
            time_zone: times.zone.iana_name().unwrap_or("UTC").to_owned(),
            recipient: self.facts(step, recipient),
            template: step.template.clone(),
            category: self.event_type.category,
            lane: self.event_type.lane,
            state,
            reason,
            detail: choice.detail,
            due_at,
            expires_at,
            window: step.window.clone(),
            attempts: 0,
            after: None,
            version: 1,
            provider_message_id: None,
            is_captured: false,
            created_at: self.now,
            updated_at: self.now,
        };
        Planned { delivery, unless: step.unless.clone() }
    }

    /// What templates may say; of the manager only where the step speaks in the manager's name.
    fn facts(&self, step: &Step, recipient: &Recipient<'_>) -> RecipientFacts {
        let mut facts = recipient.facts.clone();
        if facts.partner_name.is_none() {
            facts.partner_name.clone_from(&self.partner_name);
        }
        let manager = facts.manager.take().or_else(|| self.manager.clone());
        facts.manager = manager.filter(|_| step.from_manager);
        facts
    }
}

/// The step's channels, each once, a key partner's own order first.
fn channels_of(step: &Step, recipient: &Recipient<'_>) -> Vec<Channel> {
    let own = recipient.channels.iter().filter(|channel| step.channels.contains(channel));
    let rest = step.channels.iter().filter(|channel| !recipient.channels.contains(channel));
    let mut channels = Vec::new();
    for channel in own.chain(rest) {
        if !channels.contains(channel) {
            channels.push(*channel);
        }
    }
    channels
}

/// Whether `text` is another way of writing `address`.
fn is_same(text: &str, address: &Address, rules: &Rules) -> bool {
    Address::parse(address.channel(), text, &rules.region).is_ok_and(|only| only == *address)
}
