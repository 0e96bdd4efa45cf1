//! Contacts and partners as callers write them in files: JSON rows or CSV.
//!
//! A row is the whole new state of one contact or partner, keyed by the caller's own id. Beside the
//! members of [`Contact`] and [`Partner`] a contact's row may say `email`, `phone` and `chat`
//! instead of `addresses`, and `marketing` instead of `consents`, so that a table can hold it.

mod rows;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;

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
    /// What is wrong with it, and where.
    pub fn read(&self, kind: Kind, row: Value) -> Result<DirectoryChange, Misfit> {
        let change = match kind {
            Kind::Contact => self.contact(row),
            Kind::Partner => self.partner(row),
        }?;
        match change.find_flaw() {
            Some(Flaw { pointer, message }) => Err(Misfit { pointer, message }),
            None => Ok(change),
        }
    }

    fn contact(&self, row: Value) -> Result<DirectoryChange, Misfit> {
        let row: ContactRow = read(row)?;
        named(row.id.as_str(), &row.name)?;
        placed(row.locale.as_deref(), row.time_zone.as_deref())?;
        let changed_at = row.changed_at.unwrap_or(self.now);
        let mut addresses = Vec::new();
        for (index, address) in row.addresses.iter().enumerate() {
            addresses.push(self.address(address, &format!("/addresses/{index}"))?);
        }
        let columns =
            [(Channel::Email, row.email), (Channel::Sms, row.phone), (Channel::Chat, row.chat)];
        for (channel, text) in columns {
            let Some(text) = text else { continue };
            let place = match channel {
                Channel::Email => "/email",
                Channel::Sms => "/phone",
                Channel::Chat => "/chat",
            };
            let address = Address::parse(channel, &text, &self.region)
                .map_err(|error| Misfit::new(place, error.to_string()))?;
            addresses.push(shown_whole(address, place)?);
        }
        let mut consents = Vec::new();
        for (index, consent) in row.consents.into_iter().enumerate() {
            let place = format!("/consents/{index}/address");
            let address = self.address(&consent.address, &place)?;
            consents.push(Consent { address, ..consent });
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
        Ok(DirectoryChange::Contact { contact, consents })
    }

    fn partner(&self, row: Value) -> Result<DirectoryChange, Misfit> {
        let row: PartnerRow = read(row)?;
        named(row.id.as_str(), &row.name)?;
        placed(row.locale.as_deref(), row.time_zone.as_deref())?;
        Ok(DirectoryChange::Partner(Partner {
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

/// Ids stand in addresses of pages and in commands, names in greetings and headers.
fn named(id: &str, name: &str) -> Result<(), Misfit> {
    let is_text = |text: &str| !text.trim().is_empty() && !text.contains(char::is_control);
    if !is_text(id) {
        return Err(Misfit::new("/id", "expected an id of the caller's own, on one line"));
    }
    if !is_text(name) {
        return Err(Misfit::new("/name", "expected a name, on one line"));
    }
    Ok(())
}

fn placed(locale: Option<&str>, time_zone: Option<&str>) -> Result<(), Misfit> {
    let is_tag = |locale: &str| {
        let mut parts = locale.split('-');
        let language = parts.next().unwrap_or_default();
        let is_language = (2..=3).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        let fits = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        is_language && parts.all(fits)
    };
    if locale.is_some_and(|locale| !is_tag(locale)) {
        return Err(Misfit::new("/locale", "expected a language tag such as vi or en-GB"));
    }
    if time_zone.is_some_and(|zone| TimeZone::get(zone).is_err()) {
        let text = "expected a time zone of the IANA list, such as Asia/Ho_Chi_Minh";
        return Err(Misfit::new("/time_zone", text));
    }
    Ok(())
}

fn read<T: DeserializeOwned>(row: Value) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(row).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        Misfit::new(pointer, error.into_inner().to_string())
    })
}
