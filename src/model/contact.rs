//! Partners, contacts and teams: who is looked after, and by whom.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::address::{Address, Channel};
use crate::model::id::{ContactId, PartnerId, TeamName};

/// How closely a partner is looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A key partner: may carry its own channel order and language.
    Vip,
    /// Every other partner.
    #[default]
    Standard,
}

impl Tier {
    /// The tier's word in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vip => "vip",
            Self::Standard => "standard",
        }
    }
}

/// A company that is looked after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// The caller's own id.
    pub id: PartnerId,
    /// The company's name.
    pub name: String,
    /// How closely it is looked after.
    #[serde(default)]
    pub tier: Tier,
    /// The contact who looks after it.
    #[serde(default)]
    pub manager: Option<ContactId>,
    /// BCP 47 language tag, such as `vi` or `en-GB`.
    #[serde(default)]
    pub locale: Option<String>,
    /// IANA time zone, such as `Asia/Ho_Chi_Minh`.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// A region of the caller's own, such as `south`.
    #[serde(default)]
    pub region: Option<String>,
    /// Free words to select by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A key partner's own order of channels.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// When the caller last changed it; an older change is not applied.
    pub changed_at: Timestamp,
}

impl Partner {
    /// A partner of which nothing is known but its name.
    pub fn named(id: &str, name: impl Into<String>, changed_at: Timestamp) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            tier: Tier::default(),
            manager: None,
            locale: None,
            time_zone: None,
            region: None,
            tags: Vec::new(),
            channels: Vec::new(),
            changed_at,
        }
    }
}

/// A person, mostly of a partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The caller's own id.
    pub id: ContactId,
    /// The person's name.
    pub name: String,
    /// The company the person works for; none for our own people.
    #[serde(default)]
    pub partner: Option<PartnerId>,
    /// What the person does there: `buyer`, `accountant`.
    #[serde(default)]
    pub duty: Option<String>,
    /// BCP 47 language tag.
    #[serde(default)]
    pub locale: Option<String>,
    /// IANA time zone.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// A region of the caller's own.
    #[serde(default)]
    pub region: Option<String>,
    /// Where the person is reached; at most one address a channel is used, the first.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Free words to select by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Teams the person belongs to.
    #[serde(default)]
    pub teams: Vec<TeamName>,
    /// To whom a manager's matters escalate.
    #[serde(default)]
    pub superior: Option<ContactId>,
    /// What a manager's messages end with.
    #[serde(default)]
    pub signature: Option<String>,
    /// When the caller last changed it; an older change is not applied.
    pub changed_at: Timestamp,
}

impl Contact {
    /// The address that `channel` uses.
    pub fn address(&self, channel: Channel) -> Option<&Address> {
        self.addresses.iter().find(|address| address.channel() == channel)
    }
}

/// Whether an address may get marketing, who said so and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The address the consent is about.
    pub address: Address,
    /// Given, or withdrawn.
    pub granted: bool,
    /// When it was said.
    pub at: Timestamp,
    /// Where it was said: `import`, `unsubscribe_link`, `one_click`.
    pub source: String,
}

/// An address that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The address.
    pub address: Address,
    /// Why: `hard_bounce`, `operator`, `import`.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// What an event changes in the client base, in the transaction that accepts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryChange {
    /// A partner as it is now.
    Partner(Partner),
    /// A contact as it is now.
    Contact {
        /// The contact.
        contact: Contact,
        /// What the caller knows of the contact's consent to marketing.
        consents: Vec<Consent>,
    },
}
