//! Turns a delivery into a message in its recipient's language.
//!
//! Rendering is late, so that a mended template repairs what is waiting. A missing variable is a
//! fault that holds the delivery; nothing is ever sent with a hole in it.

mod chat;
mod email;
mod helpers;
mod load;
mod numbers;
pub mod sms;

use std::collections::BTreeMap;

use handlebars::Context;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::config::{EmailSettings, SmsSettings};
use crate::model::address::{Address, Channel};
use crate::model::catalogue::Category;
use crate::model::delivery::Delivery;
use crate::model::message::{Dialect, EmailMessage, Message};
use crate::model::token;
use crate::store::EventFacts;
use crate::text::{self, Engine, TextFault};

pub use load::TemplateFault;

/// The longest message of each sort, in bytes.
const MAX_EMAIL: usize = 1 << 20;
const MAX_CHAT: usize = 32 << 10;
const MAX_SMS: usize = 8 << 10;
const MAX_SUBJECT: usize = 2 << 10;

/// All templates, compiled.
pub struct Templates {
    html: Engine,
    chat: Engine,
    plain: Engine,
    versions: BTreeMap<String, Version>,
    samples: BTreeMap<String, Value>,
    default_locale: String,
}

/// One version of one template: enough to show again what was sent.
#[derive(Clone, Debug)]
struct Version {
    id: String,
    source: String,
}

impl Version {
    fn of(key: &str, source: &str, words: Option<&BTreeMap<String, String>>) -> Self {
        let source = json!({ "template": key, "source": source, "words": words }).to_string();
        let hash = digest(&SHA256, source.as_bytes());
        let id = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { id, source }
    }
}

/// A rendered message, and the version of the template that made it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The message.
    pub message: Message,
    /// Names the version; see [`Templates::source`].
    pub template_version: String,
}

/// Why a delivery does not render.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {template}: {fault}")]
pub struct RenderFault {
    /// The template, its language and channel.
    pub template: String,
    /// What is wrong.
    pub fault: TextFault,
}

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

/// The name of a template in the engines.
fn key(name: &str, locale: &str, channel: Channel) -> String {
    format!("{name}/{locale}/{channel}")
}

fn subject_key(key: &str) -> String {
    format!("{key} subject")
}

fn preheader_key(key: &str) -> String {
    format!("{key} preheader")
}

impl Templates {
    /// The language in which a template speaks to `locale`: its own, its family's, the default.
    pub fn locale_for(&self, name: &str, channel: Channel, locale: &str) -> Option<String> {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let wanted = [locale, language, self.default_locale.as_str()];
        let found = wanted.into_iter().find(|locale| self.has(name, locale, channel));
        found.map(str::to_owned)
    }

    /// Whether there is a template in exactly this language.
    pub fn has(&self, name: &str, locale: &str, channel: Channel) -> bool {
        self.versions.contains_key(&key(name, locale, channel))
    }

    /// The sample data of a message.
    pub fn sample(&self, name: &str) -> Option<&Value> {
        self.samples.get(name)
    }

    /// Every template as name, language and channel.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.versions.keys().filter_map(|key| {
            let mut parts = key.split('/');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
    }

    /// The source of a version, as it is kept.
    pub fn source(&self, version: &str) -> Option<&str> {
        let found = self.versions.values().find(|known| known.id == version);
        found.map(|version| version.source.as_str())
    }

    /// Renders the message of a delivery.
    ///
    /// # Errors
    /// What is missing and where.
    pub fn render(
        &self,
        delivery: &Delivery,
        event: &EventFacts,
        letterhead: &Letterhead,
        (dialect, now): (Dialect, Timestamp),
    ) -> Result<Rendered, RenderFault> {
        let name = delivery.template.as_str();
        let channel = delivery.channel;
        let fault = |fault| RenderFault { template: key(name, &delivery.locale, channel), fault };
        let Some(locale) = self.locale_for(name, channel, &delivery.locale) else {
            let text = format!("there is none for {channel} in {} or the default", delivery.locale);
            return Err(fault(load::plain_fault(text)));
        };
        let key = key(name, &locale, channel);
        let marketing = delivery.category == Category::Marketing;
        let unsubscribe = letterhead.unsubscribe.as_ref().filter(|_| marketing);
        let unsubscribe = unsubscribe.zip(delivery.address.as_ref());
        let unsubscribe_url = unsubscribe.map(|(links, address)| links.url(address));
        let data = json!({
            "data": &*event.data,
            "recipient": delivery.recipient,
            "manager": delivery.recipient.manager,
            "company": letterhead.company,
            "event": {
                "type": event.event_type, "id": event.key.id, "time": event.time.to_string(),
                "business_key": delivery.business_key,
            },
            "locale": locale,
            "time_zone": delivery.time_zone,
            "now": now.to_string(),
            "unsubscribe_url": unsubscribe_url,
        });
        let message = match channel {
            Channel::Email => {
                let unsubscribe_url = unsubscribe_url.clone();
                self.email(&key, delivery, data, (letterhead, unsubscribe_url)).map_err(fault)?
            }
            Channel::Chat => {
                let context = text::context(data).map_err(fault)?;
                let markdown = self.chat.render(&key, &context, MAX_CHAT).map_err(fault)?;
                Message::Chat(chat::message(&markdown, dialect))
            }
            Channel::Sms => self.sms(&key, data, &letterhead.sms, marketing).map_err(fault)?,
        };
        let version = self.versions.get(&key).map(|version| version.id.clone());
        Ok(Rendered { message, template_version: version.unwrap_or_default() })
    }

    fn email(
        &self,
        key: &str,
        delivery: &Delivery,
        mut data: Value,
        (letterhead, unsubscribe_url): (&Letterhead, Option<String>),
    ) -> Result<Message, TextFault> {
        let plain = text::context(data.clone())?;
        let subject = self.line(&subject_key(key), &plain)?;
        let preheader = self.line(&preheader_key(key), &plain)?;
        if let Some(members) = data.as_object_mut() {
            members.insert("subject".to_owned(), Value::from(subject.as_str()));
            members.insert("preheader".to_owned(), Value::from(preheader));
        }
        let context = text::context(data)?;
        let html = self.html.render(key, &context, MAX_EMAIL)?;
        let settings = &letterhead.email;
        let manager = delivery.recipient.manager.as_ref();
        let from_name = match manager {
            Some(manager) => format!("{} ({})", manager.name, settings.from_name),
            None => settings.from_name.clone(),
        };
        let answers = manager
            .and_then(|manager| manager.email.as_ref().map(|email| mailbox(&manager.name, email)));
        let own_domain = settings.from.split('@').nth(1).unwrap_or("localhost");
        let domain = settings.message_id_domain.as_deref().unwrap_or(own_domain);
        Ok(Message::Email(Box::new(EmailMessage {
            from_name: Some(from_name),
            from: settings.from.clone(),
            reply_to: answers.or_else(|| settings.reply_to.clone()),
            subject,
            text: email::text_part(&html),
            html,
            message_id: format!("<{}@{domain}>", delivery.id),
            unsubscribe_url,
        })))
    }

    /// A text of one line: line breaks from data become spaces.
    fn line(&self, key: &str, context: &Context) -> Result<String, TextFault> {
        let text = self.plain.render(key, context, MAX_SUBJECT)?;
        let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
        Ok(text.trim().chars().map(clean).collect())
    }

    fn sms(
        &self,
        key: &str,
        data: Value,
        settings: &SmsSettings,
        is_marketing: bool,
    ) -> Result<Message, TextFault> {
        let context = text::context(data)?;
        let mut text = self.plain.render(key, &context, MAX_SMS)?.trim().to_owned();
        if let Some(marketing) = settings.marketing.as_ref().filter(|_| is_marketing) {
            text = format!("{} {text} {}", marketing.label, marketing.stop_text);
        }
        if settings.strip_diacritics {
            text = sms::strip_diacritics(&text);
        }
        let message = sms::encode(&text);
        if message.parts > settings.max_parts {
            let (parts, most) = (message.parts, settings.max_parts);
            let text = format!("{parts} SMS parts; at most {most} are allowed (sms.max_parts)");
            return Err(load::plain_fault(text));
        }
        Ok(Message::Sms(message))
    }
}

/// `Name <address>` with a name that cannot break out of its quotes.
fn mailbox(name: &str, email: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !"\"<>\\".contains(*c)).collect();
    format!("\"{name}\" <{email}>")
}

#[cfg(test)]
mod tests;
