//! Contacts and partners as callers write them in files: JSON rows or CSV.
//!
//! A row is the whole new state of one contact or partner, keyed by the caller's own id. Beside the
//! members of [`Contact`] and [`Partner`] a contact's row may say `email`, `phone` and `chat`
//! instead of `addresses`, and `marketing` instead of `consents`, so that a table can hold it.

mod members;
mod rows;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use members::{read, yes_or_no};
pub use rows::{Format, Row, rows};

use crate::model::address::{Address, Channel};
use crate::model::bounds::Flaw;
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner, Tier};
use crate::model::id::{ContactId, PartnerId, TeamName};

/// What stands for a chat target that is not shown.
pub const HIDDEN_TARGET: &str = "…";
/// What an import says where a consent comes from.
const SOURCE: &str = "import";

/// Why a row is no contact or partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// JSON pointer to the member, empty for the row as a whole.
    pub pointer: String,
    /// What is wrong there, and what was expected; never the text of an address.
    pub message: String,
}

impl Misfit {
    fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

/// Who a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    Contact,
    /// A company.
    Partner,
}

impl Kind {
    /// What a table may say of somebody of this kind.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &[
                "id",
                "name",
                "partner",
                "duty",
                "email",
                "phone",
                "chat",
                "locale",
                "time_zone",
                "region",
                "tags",
                "teams",
                "superior",
                "signature",
                "marketing",
                "changed_at",
            ],
            Self::Partner => &[
                "id",
                "name",
                "tier",
                "manager",
                "locale",
                "time_zone",
                "region",
                "tags",
                "channels",
                "changed_at",
            ],
        }
    }
}

/// Reads rows into changes of the directory.
#[derive(Clone, Debug)]
pub struct Roster {
    /// Region of phone numbers written without a country code (ISO 3166).
    pub region: String,
    /// When a row was changed that does not say it.
    pub now: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactRow {
    id: ContactId,
    name: String,
    partner: Option<PartnerId>,
    duty: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    region: Option<String>,
    #[serde(default)]
    addresses: Vec<Address>,
    email: Option<String>,
    phone: Option<String>,
    chat: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    teams: Vec<TeamName>,
    superior: Option<ContactId>,
    signature: Option<String>,
    changed_at: Option<Timestamp>,
    #[serde(default)]
    consents: Vec<Consent>,
    #[serde(default, deserialize_with = "yes_or_no")]
    marketing: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerRow {
    id: PartnerId,
    name: String,
    #[serde(default)]
    tier: Tier,
    manager: Option<ContactId>,
    locale: Option<String>,
    time_zone: Option<String>,
    region: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    channels: Vec<Channel>,
    changed_at: Option<Timestamp>,
}

impl Roster {
    /// Reads one row.
    ///
    /// # Errors
    /// All that is wrong with it, and where.
    pub fn read(&self, kind: Kind, row: Value) -> Result<DirectoryChange, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let change = match kind {
            Kind::Contact => self.contact(row, &mut misfits),
            Kind::Partner => self.partner(row, &mut misfits),
        };
        for Flaw { pointer, message } in change.iter().flat_map(DirectoryChange::flaws) {
            // Of a member that does not fit nothing stands in the change but what stands for it.
            if misfits.iter().all(|misfit| misfit.pointer != pointer) {
                misfits.push(Misfit { pointer, message });
            }
        }
        match (change, misfits.is_empty()) {
            (Some(change), true) => Ok(change),
            _ => Err(misfits),
        }
    }

    /// The contact of a row as far as it can be read; what cannot be goes to `misfits`.
    fn contact(&self, row: Value, misfits: &mut Vec<Misfit>) -> Option<DirectoryChange> {
        let row: ContactRow = read(row, misfits)?;
        check_named(row.id.as_str(), &row.name, misfits);
        let changed_at = row.changed_at.unwrap_or(self.now);
        let mut addresses = Vec::new();
        for (index, address) in row.addresses.iter().enumerate() {
            let place = format!("/addresses/{index}");
            addresses.extend(kept(self.address(address, &place), misfits));
        }
        let columns = [
            (Channel::Email, "/email", row.email),
            (Channel::Sms, "/phone", row.phone),
            (Channel::Chat, "/chat", row.chat),
        ];
        for (channel, place, text) in columns {
            let Some(text) = text else { continue };
            let address = Address::parse(channel, &text, &self.region)
                .map_err(|error| Misfit::new(place, error.to_string()))
                .and_then(|address| shown_whole(address, place));
            addresses.extend(kept(address, misfits));
        }
        let mut consents = Vec::new();
        for (index, consent) in row.consents.into_iter().enumerate() {
            let address = self.address(&consent.address, &format!("/consents/{index}/address"));
            let address = kept(address, misfits);
            consents.extend(address.map(|address| Consent { address, ..consent }));
        }
        if let Some(granted) = row.marketing {
            let reached = addresses.iter().filter(|address| address.channel() != Channel::Chat);
            consents.extend(reached.map(|address| Consent {
                address: address.clone(),
                granted,
                at: changed_at,
                source: SOURCE.to_owned(),
            }));
        }
        let contact = Contact {
            id: row.id,
            name: row.name,
            partner: row.partner,
            duty: row.duty,
            locale: row.locale,
            time_zone: row.time_zone,
            region: row.region,
            addresses,
            tags: row.tags,
            teams: row.teams,
            superior: row.superior,
            signature: row.signature,
            changed_at,
        };
        Some(DirectoryChange::Contact { contact, consents })
    }

    fn partner(&self, row: Value, misfits: &mut Vec<Misfit>) -> Option<DirectoryChange> {
        let row: PartnerRow = read(row, misfits)?;
        check_named(row.id.as_str(), &row.name, misfits);
        Some(DirectoryChange::Partner(Partner {
            id: row.id,
            name: row.name,
            tier: row.tier,
            manager: row.manager,
            locale: row.locale,
            time_zone: row.time_zone,
            region: row.region,
            tags: row.tags,
            channels: row.channels,
            changed_at: row.changed_at.unwrap_or(self.now),
        }))
    }

    fn address(&self, address: &Address, place: &str) -> Result<Address, Misfit> {
        let normal = address
            .normalised(&self.region)
            .map_err(|error| Misfit::new(place, error.to_string()))?;
        shown_whole(normal, place)
    }
}

/// Refuses a chat address that was read from Loa, where its target is not shown.
fn shown_whole(address: Address, place: &str) -> Result<Address, Misfit> {
    if matches!(&address, Address::Chat { target: Some(target), .. } if target == HIDDEN_TARGET) {
        let text = "Loa does not show chat targets; write the target itself, or none";
        return Err(Misfit::new(place, text));
    }
    Ok(address)
}

/// What was read; a misfit goes to the others.
fn kept<T>(read: Result<T, Misfit>, misfits: &mut Vec<Misfit>) -> Option<T> {
    read.map_err(|misfit| misfits.push(misfit)).ok()
}

/// Ids stand in addresses of pages and in commands, names in greetings and headers.
fn check_named(id: &str, name: &str, misfits: &mut Vec<Misfit>) {
    let is_text = |text: &str| !text.trim().is_empty() && !text.contains(char::is_control);
    if !is_text(id) {
        misfits.push(Misfit::new("/id", "expected an id of the caller's own, on one line"));
    }
    if !is_text(name) {
        misfits.push(Misfit::new("/name", "expected a name, on one line"));
    }
}
