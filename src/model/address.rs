//! Where a channel reaches a contact, in the one spelling that Loa compares by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::id::ProviderName;
use crate::model::mask;

/// The most bytes of an address, so that every store can index it; webhook URLs are the longest.
const MAX_BYTES: usize = 1024;

/// A way to reach people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Email by SMTP.
    Email,
    /// A chat room or person behind a webhook or bot.
    Chat,
    /// Text message to a phone.
    Sms,
}

impl Channel {
    /// Every channel, in the order in which people list them.
    pub const ALL: [Self; 3] = [Self::Email, Self::Chat, Self::Sms];

    /// The channel's word in tables, JSON and file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Chat => "chat",
            Self::Sms => "sms",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or_else(|| AddressError::Channel(text.to_owned()))
    }
}

/// A normalised address: equal addresses are equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Address {
    /// An email address in lower case.
    ///
    /// RFC 5321 leaves it to the receiver whether the local part distinguishes cases; none of note
    /// does, and who is suppressed in one spelling must not be written to in another.
    Email {
        /// `local@domain`.
        email: String,
    },
    /// A phone number in E.164, such as `+84901234567`.
    Sms {
        /// The number.
        phone: String,
    },
    /// A chat target: a provider and, where its kind needs one, a chat id or the partner's own URL.
    Chat {
        /// The provider that reaches it.
        provider: ProviderName,
        /// A chat id or webhook URL; kept like a secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
}

/// Why a text is no address; never holds the text of a person's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// The channel's word is unknown.
    #[error("unknown channel `{0}`; expected email, chat or sms")]
    Channel(String),
    /// No `local@domain`.
    #[error("not an email address; expected something like name@example.com")]
    Email,
    /// Not a possible phone number.
    #[error("not a phone number; expected E.164 such as +84901234567, or a national number of {0}")]
    Phone(String),
    /// No provider named.
    #[error("a chat address names its provider, such as `team-chat` or `team-chat:ROOM`")]
    Chat,
    /// Longer than anything that is one.
    #[error("longer than {MAX_BYTES} bytes")]
    Long,
}

impl Address {
    /// Reads an email address.
    ///
    /// # Errors
    /// [`AddressError::Email`] when it has no `local@domain` form.
    pub fn email(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let parsed = lettre::Address::from_str(text).map_err(|_| AddressError::Email)?;
        let email = format!("{}@{}", parsed.user(), parsed.domain()).to_lowercase();
        Ok(Self::Email { email })
    }

    /// Reads a phone number; one without `+` is taken as national to `region` (ISO 3166, `VN`).
    ///
    /// # Errors
    /// [`AddressError::Phone`] when no phone can have this number.
    pub fn phone(text: &str, region: &str) -> Result<Self, AddressError> {
        let fault = || AddressError::Phone(region.to_owned());
        let util = &*rlibphonenumber::PHONE_NUMBER_UTIL;
        let region = region.parse::<rlibphonenumber::Region>().ok();
        let number = util.parse(text.trim(), region).map_err(|_| fault())?;
        if !util.is_possible_number(&number) {
            return Err(fault());
        }
        let phone = util.format(&number, rlibphonenumber::PhoneNumberFormat::E164).into_owned();
        Ok(Self::Sms { phone })
    }

    /// Reads a chat target written as `provider` or `provider:target`.
    ///
    /// # Errors
    /// [`AddressError::Chat`] when no provider is named, [`AddressError::Long`] when it is longer than
    /// any address is.
    pub fn chat(text: &str) -> Result<Self, AddressError> {
        let (provider, target) = match text.trim().split_once(':') {
            Some((provider, target)) => (provider, Some(target.to_owned())),
            None => (text.trim(), None),
        };
        if text.len() > MAX_BYTES {
            return Err(AddressError::Long);
        }
        let is_text = !text.contains(char::is_control);
        if !is_text || provider.is_empty() || provider.contains(char::is_whitespace) {
            return Err(AddressError::Chat);
        }
        Ok(Self::Chat { provider: provider.into(), target: target.filter(|t| !t.is_empty()) })
    }

    /// Reads the text of an address of `channel`, as [`Address::value`] writes it.
    ///
    /// # Errors
    /// The error of the channel's own reader.
    pub fn parse(channel: Channel, text: &str, region: &str) -> Result<Self, AddressError> {
        match channel {
            Channel::Email => Self::email(text),
            Channel::Sms => Self::phone(text, region),
            Channel::Chat => Self::chat(text),
        }
    }

    /// The channel this address belongs to.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email { .. } => Channel::Email,
            Self::Sms { .. } => Channel::Sms,
            Self::Chat { .. } => Channel::Chat,
        }
    }

    /// The address as one text, unique within its channel.
    pub fn value(&self) -> String {
        match self {
            Self::Email { email } => email.clone(),
            Self::Sms { phone } => phone.clone(),
            Self::Chat { provider, target: Some(target) } => format!("{provider}:{target}"),
            Self::Chat { provider, target: None } => provider.to_string(),
        }
    }

    /// The address in the one spelling that Loa compares by.
    ///
    /// # Errors
    /// The error of the channel's own reader.
    pub fn normalised(&self, region: &str) -> Result<Self, AddressError> {
        Self::parse(self.channel(), &self.value(), region)
    }

    /// The address as an operator may see it in lists: enough to recognise, not to use.
    pub fn masked(&self) -> String {
        match self {
            Self::Email { email } => mask::email(email),
            Self::Sms { phone } => mask::number(phone),
            Self::Chat { provider, target: Some(_) } => format!("{provider}:…"),
            Self::Chat { provider, target: None } => provider.to_string(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({} {})", self.channel(), self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_national_number_becomes_e164() {
        let address = Address::phone("090 123 4567", "VN").unwrap();

        assert_eq!(address.value(), "+84901234567");
    }

    #[test]
    fn an_email_domain_is_compared_in_lower_case() {
        let address = Address::email(" An.Le@Example.TEST ").unwrap();

        assert_eq!(address.value(), "an.le@example.test");
    }

    #[test]
    fn a_chat_address_reads_back_from_its_value() {
        let address = Address::chat("team-chat:https://chat.example/x").unwrap();

        assert_eq!(Address::chat(&address.value()).unwrap(), address);
    }

    #[test]
    fn debug_output_hides_the_address() {
        let address = Address::email("canary-1@example.test").unwrap();

        assert!(!format!("{address:?}").contains("canary-1"));
    }
}
