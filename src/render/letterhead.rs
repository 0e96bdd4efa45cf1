//! What every message says of the company in whose name it goes out.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::{EmailSettings, SmsSettings};
use crate::model::address::Address;
use crate::model::token;

/// What every message says of us.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The company in whose name messages go out.
    pub company: Company,
    /// Sender and message ids of emails.
    pub email: EmailSettings,
    /// How text messages are written.
    pub sms: SmsSettings,
    /// How people unsubscribe; none where no marketing is sent.
    pub unsubscribe: Option<Unsubscribe>,
}

/// The company in whose name messages go out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Company {
    /// Its name.
    pub name: String,
    /// Its postal address, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// How people unsubscribe.
#[derive(Clone, Debug)]
pub struct Unsubscribe {
    /// How people outside reach this Loa.
    pub public_url: Url,
    /// Signs the links.
    pub secret: SecretString,
}

impl Unsubscribe {
    /// The link by which the owner of `address` unsubscribes.
    pub fn url(&self, address: &Address) -> String {
        let token = token::sign(address, self.secret.expose_secret().as_bytes());
        format!("{}/u/{token}", self.public_url.as_str().trim_end_matches('/'))
    }
}
