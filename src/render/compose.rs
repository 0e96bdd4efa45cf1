//! Composes one message from a compiled template and the facts of one delivery.

use handlebars::Context;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::assembly::PlacedFault;
use super::letterhead::Letterhead;
use super::{Origin, Templates, chat, email, part_key, sms, text_part};
use crate::config::SmsSettings;
use crate::model::address::{Address, Channel};
use crate::model::catalogue::Category;
use crate::model::delivery::{Delivery, RecipientFacts};
use crate::model::message::{Dialect, EmailMessage, Message};
use crate::store::EventFacts;
use crate::text::{self, TextFault};

/// The longest message of each sort, in bytes.
const MAX_EMAIL: usize = 1 << 20;
const MAX_CHAT: usize = 32 << 10;
const MAX_SMS: usize = 8 << 10;
const MAX_LINE: usize = 8 << 10;

/// The longest subject, in characters; what is longer ends with an ellipsis.
const MAX_SUBJECT: usize = 255;

/// Everything that a message is made of beside its template.
pub(super) struct Facts<'a> {
    pub(super) template: &'a str,
    pub(super) channel: Channel,
    /// The recipient's language.
    pub(super) locale: &'a str,
    pub(super) time_zone: &'a str,
    pub(super) category: Category,
    pub(super) recipient: &'a RecipientFacts,
    pub(super) address: Option<&'a Address>,
    /// The delivery's id, the left side of an email's message id.
    pub(super) id: String,
    /// The event's `type`, `id`, `time` and `business_key`.
    pub(super) event: Value,
    /// The event's data.
    pub(super) data: &'a Value,
    pub(super) now: Timestamp,
}

impl<'a> Facts<'a> {
    pub(super) fn of(delivery: &'a Delivery, event: &'a EventFacts, now: Timestamp) -> Self {
        Self {
            template: &delivery.template,
            channel: delivery.channel,
            locale: &delivery.locale,
            time_zone: &delivery.time_zone,
            category: delivery.category,
            recipient: &delivery.recipient,
            address: delivery.address.as_ref(),
            id: delivery.id.to_string(),
            event: json!({
                "type": event.event_type,
                "id": event.key.id,
                "time": event.time.to_string(),
                "business_key": delivery.business_key,
            }),
            data: &event.data,
            now,
        }
    }

    /// What templates see.
    fn context(
        &self,
        locale: &str,
        letterhead: &Letterhead,
        unsubscribe_url: Option<&String>,
    ) -> Context {
        let mut members = json!({
            "recipient": self.recipient,
            "company": letterhead.company,
            "locale": locale,
            "time_zone": self.time_zone,
            "now": self.now.to_string(),
            "unsubscribe_url": unsubscribe_url,
        });
        // Copied as they are, and not member by member as the macro does.
        let manager = members["recipient"]["manager"].clone();
        members["manager"] = manager;
        members["data"] = self.data.clone();
        members["event"] = self.event.clone();
        text::context(members)
    }

    fn unsubscribe_url(&self, letterhead: &Letterhead) -> Option<String> {
        let is_marketing = self.category == Category::Marketing;
        let links = letterhead.unsubscribe.as_ref().filter(|_| is_marketing)?;
        Some(links.url(self.address?))
    }
}

/// A fault of one part of a message.
pub(super) struct PartFault {
    /// `None` for the HTML, the chat message and the SMS.
    part: Option<&'static str>,
    fault: TextFault,
}

impl From<TextFault> for PartFault {
    fn from(fault: TextFault) -> Self {
        Self { part: None, fault }
    }
}

impl PartFault {
    /// The same in the file that people edit.
    pub(super) fn placed(self, origin: &Origin) -> PlacedFault {
        match self.part {
            Some(part) => origin.of_part(part, self.fault),
            None => origin.of_body(self.fault),
        }
    }
}

impl Templates {
    /// Composes the message of the template `key`, which speaks `locale`.
    pub(super) fn compose(
        &self,
        (key, locale): (&str, &str),
        facts: &Facts<'_>,
        letterhead: &Letterhead,
        dialect: Dialect,
    ) -> Result<Message, PartFault> {
        let unsubscribe_url = facts.unsubscribe_url(letterhead);
        let context = facts.context(locale, letterhead, unsubscribe_url.as_ref());
        match facts.channel {
            Channel::Email => self.email(key, facts, context, (letterhead, unsubscribe_url)),
            Channel::Chat => {
                let markdown = self.chat.render(key, &context, MAX_CHAT)?;
                Ok(Message::Chat(chat::message(&markdown, dialect)))
            }
            Channel::Sms => {
                let is_marketing = facts.category == Category::Marketing;
                Ok(self.sms(key, &context, &letterhead.sms, is_marketing)?)
            }
        }
    }

    fn email(
        &self,
        key: &str,
        facts: &Facts<'_>,
        mut context: Context,
        (letterhead, unsubscribe_url): (&Letterhead, Option<String>),
    ) -> Result<Message, PartFault> {
        let subject = cut(self.line(key, "subject", &context)?);
        let preheader = self.line(key, "preheader", &context)?;
        if let Some(members) = context.data_mut().as_object_mut() {
            members.insert("subject".to_owned(), Value::from(subject.as_str()));
            members.insert("preheader".to_owned(), Value::from(preheader));
        }
        let html = self.html.render(key, &context, MAX_EMAIL)?;
        if let Some(link) = email::strange_link(&html) {
            let shown: String = link.chars().take(20).collect();
            let message = format!("a link to `{shown}…` is none that mail programs should follow");
            return Err(TextFault::new(message).into());
        }
        let text = self.part(key, "text", &context, MAX_EMAIL)?;
        let settings = &letterhead.email;
        let manager = facts.recipient.manager.as_ref();
        let from_name = match manager {
            Some(manager) => format!("{} ({})", display_name(&manager.name), settings.from_name),
            None => settings.from_name.clone(),
        };
        let answers = manager.and_then(|manager| {
            let email = manager.email.as_ref()?;
            Some(format!("\"{}\" <{email}>", display_name(&manager.name)))
        });
        let own_domain = settings.from.split('@').nth(1).unwrap_or("localhost");
        let domain = settings.message_id_domain.as_deref().unwrap_or(own_domain);
        Ok(Message::Email(Box::new(EmailMessage {
            from_name: Some(from_name),
            from: settings.from.clone(),
            reply_to: answers.or_else(|| settings.reply_to.clone()),
            subject,
            text: text_part::tidy(&text),
            html,
            message_id: format!("<{}@{domain}>", facts.id),
            unsubscribe_url,
        })))
    }

    fn part(
        &self,
        key: &str,
        part: &'static str,
        context: &Context,
        max_bytes: usize,
    ) -> Result<String, PartFault> {
        let text = self.plain.render(&part_key(key, part), context, max_bytes);
        text.map_err(|fault| PartFault { part: Some(part), fault })
    }

    /// A part of one line: line breaks from data become spaces.
    fn line(&self, key: &str, part: &'static str, context: &Context) -> Result<String, PartFault> {
        let text = self.part(key, part, context, MAX_LINE)?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn sms(
        &self,
        key: &str,
        context: &Context,
        settings: &SmsSettings,
        is_marketing: bool,
    ) -> Result<Message, TextFault> {
        let mut text = self.plain.render(key, context, MAX_SMS)?.trim().to_owned();
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
            return Err(TextFault::new(text));
        }
        Ok(Message::Sms(message))
    }
}

/// The text, ended with an ellipsis where it is longer than a subject may be.
fn cut(text: String) -> String {
    if text.chars().count() <= MAX_SUBJECT {
        return text;
    }
    text.chars().take(MAX_SUBJECT - 1).chain(['…']).collect()
}

/// A name that cannot break out of its quotes, nor pass itself off as an address.
fn display_name(name: &str) -> String {
    let is_plain = |letter: &char| !letter.is_control() && !"\"<>\\@".contains(*letter);
    name.chars().filter(is_plain).collect()
}
