//! One recipient, whether a contact of the directory or a stranger the event describes.

use crate::model::address::{Address, Channel};
use crate::model::audience::{Person, Stranger};
use crate::model::contact::{Consent, Contact, Tier};
use crate::model::delivery::{ManagerFacts, RecipientFacts};
use crate::model::id::{ContactId, PartnerId};

/// What planning needs to know of one recipient.
#[derive(Default)]
pub(super) struct Recipient<'a> {
    /// Unique among the recipients of a step.
    pub(super) key: String,
    pub(super) contact: Option<ContactId>,
    /// The id that the event itself gives a stranger.
    own_id: Option<&'a str>,
    pub(super) partner: Option<PartnerId>,
    pub(super) addresses: &'a [Address],
    pub(super) suppressed: &'a [Address],
    pub(super) consents: &'a [Consent],
    pub(super) locale: Option<&'a str>,
    pub(super) time_zone: Option<&'a str>,
    /// A key partner's own order of channels; empty for everybody else.
    pub(super) channels: &'a [Channel],
    pub(super) facts: RecipientFacts,
}

impl<'a> Recipient<'a> {
    /// A contact; a key partner's language goes before the contact's own.
    pub(super) fn of_person(person: &'a Person) -> Self {
        let contact = &person.contact;
        let partner = person.partner.as_ref();
        let partner_locale = partner.and_then(|partner| partner.locale.as_deref());
        let key_partner = partner.filter(|partner| partner.tier == Tier::Vip);
        let key_locale = key_partner.and(partner_locale);
        let partner_zone = partner.and_then(|partner| partner.time_zone.as_deref());
        Self {
            key: contact.id.to_string(),
            contact: Some(contact.id.clone()),
            own_id: None,
            partner: contact.partner.clone(),
            addresses: &contact.addresses,
            suppressed: &person.suppressed,
            consents: &person.consents,
            locale: key_locale.or(contact.locale.as_deref()).or(partner_locale),
            time_zone: contact.time_zone.as_deref().or(partner_zone),
            channels: key_partner.map_or(&[], |partner| partner.channels.as_slice()),
            facts: RecipientFacts {
                name: Some(contact.name.clone()),
                duty: contact.duty.clone(),
                partner_name: partner.map(|partner| partner.name.clone()),
                tier: partner.map(|partner| partner.tier.as_str().to_owned()),
                manager: person.manager.as_ref().map(manager_facts),
            },
        }
    }

    /// A stranger, known by what the event says.
    pub(super) fn of_stranger(stranger: &'a Stranger) -> Self {
        let recipient = &stranger.recipient;
        Self {
            key: recipient.key().unwrap_or_default(),
            own_id: recipient.id.as_deref(),
            addresses: &recipient.addresses,
            suppressed: &stranger.suppressed,
            consents: &stranger.consents,
            locale: recipient.locale.as_deref(),
            time_zone: recipient.time_zone.as_deref(),
            facts: RecipientFacts { name: recipient.name.clone(), ..RecipientFacts::default() },
            ..Self::default()
        }
    }

    /// Why a stranger without any address is reached nowhere: who gives an id alone may mean a
    /// contact.
    pub(super) fn unreachable(&self) -> Option<String> {
        let id = self.own_id.filter(|_| self.addresses.is_empty())?;
        Some(format!(
            "the event describes `{id}` without an address, and whom it describes is not looked up by id; \
             a contact is named as {{\"contact\": \"…\"}}"
        ))
    }

    /// Nobody at all, for the row that says so.
    pub(super) fn nobody(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// The first of its addresses.
    pub(super) fn own_address(&self) -> Option<String> {
        self.addresses.first().map(Address::value)
    }

    pub(super) fn address(&self, channel: Channel) -> Option<&'a Address> {
        self.addresses.iter().find(|address| address.channel() == channel)
    }

    pub(super) fn is_suppressed(&self, address: &Address) -> bool {
        self.suppressed.contains(address)
    }

    /// Whether the address's owner agreed to marketing and did not take it back.
    pub(super) fn consents_to_marketing(&self, address: &Address) -> bool {
        self.consents.iter().any(|consent| consent.address == *address && consent.granted)
    }
}

/// What templates may say of a manager.
pub(super) fn manager_facts(contact: &Contact) -> ManagerFacts {
    ManagerFacts {
        name: contact.name.clone(),
        email: contact.address(Channel::Email).map(Address::value),
        phone: contact.address(Channel::Sms).map(Address::value),
        signature: contact.signature.clone(),
    }
}
