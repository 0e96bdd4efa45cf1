//! Whom a step of one event tells, as a question to the directory, and the directory's answer.

use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, Partner};
use crate::model::id::{ContactId, PartnerId, SegmentName, TeamName};

/// A recipient whom the event itself describes, so that an empty directory is no obstacle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InlineRecipient {
    /// The caller's own id of the recipient; not an id of the directory.
    pub id: Option<String>,
    /// The recipient's name.
    pub name: Option<String>,
    /// Where the recipient is reached.
    pub addresses: Vec<Address>,
    /// BCP 47 language tag.
    pub locale: Option<String>,
    /// IANA time zone.
    pub time_zone: Option<String>,
}

impl InlineRecipient {
    /// What tells it apart from others of its event: its id, else its first address, else its name.
    pub fn key(&self) -> Option<String> {
        let address = || self.addresses.first().map(Address::value);
        self.id.clone().or_else(address).or_else(|| self.name.clone())
    }

    /// Whether who tells this one has told `other` too, who has the same key.
    pub fn is_all_of(&self, other: &Self) -> bool {
        let is_reached = other.addresses.iter().all(|address| self.addresses.contains(address));
        is_reached && (self.id.is_none() || self.name == other.name)
    }
}

/// One question to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceQuery {
    /// Contacts by the caller's ids.
    Contacts(Vec<ContactId>),
    /// Recipients described inline; an address that a contact owns stands for that contact.
    Inline(Vec<InlineRecipient>),
    /// A partner's contacts, of these duties if any are given.
    Partner {
        /// The partner.
        partner: PartnerId,
        /// Duties; empty means everyone.
        duties: Vec<String>,
    },
    /// A partner's manager.
    Manager(PartnerId),
    /// The superior of a partner's manager.
    Superior(PartnerId),
    /// The members of a team.
    Team(TeamName),
    /// The contacts of a saved segment.
    Segment(SegmentName),
}

/// A contact with all that planning needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The contact.
    pub contact: Contact,
    /// The contact's partner.
    pub partner: Option<Partner>,
    /// That partner's manager.
    pub manager: Option<Contact>,
    /// Those of the contact's addresses that are suppressed.
    pub suppressed: Vec<Address>,
    /// What is known of consent to marketing, by address.
    pub consents: Vec<Consent>,
}

/// An inline recipient that no contact owns, with what is known of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The recipient as the event describes it.
    pub recipient: InlineRecipient,
    /// Those of its addresses that are suppressed.
    pub suppressed: Vec<Address>,
    /// What is known of consent to marketing, by address.
    pub consents: Vec<Consent>,
}

/// The directory's answer to one [`AudienceQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The recipients.
    Recipients(Recipients),
    /// There are more than were asked for; none is listed, and nobody counted them.
    TooMany,
    /// The partner of the query is not known.
    UnknownPartner,
    /// The segment of the query is not known.
    UnknownSegment,
}

/// Recipients found, or a page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// Contacts of the directory, in the order of their ids.
    pub people: Vec<Person>,
    /// Inline recipients that no contact owns.
    pub strangers: Vec<Stranger>,
    /// Contact ids that the event names and the directory does not know.
    pub unknown: Vec<ContactId>,
    /// Where the next page begins: after this contact id, or after so many of those described.
    pub next: Option<ContactId>,
}

/// An audience above this many recipients is planned in pages.
pub const PAGE_SIZE: u32 = 1000;

/// The most recipients that are planned in one transaction, of however many events.
pub const MOST_RECIPIENTS: u32 = 3000;
