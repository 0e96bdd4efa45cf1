//! A rendered message on its way to one recipient.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::address::{Address, Channel};
use crate::model::id::{DeliveryId, EventTypeName};

/// Everything a provider needs to know to send one message once.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Stable over all attempts: the idempotency key.
    pub delivery: DeliveryId,
    /// The how-manieth try, from 1.
    pub attempt: u32,
    /// The event's type.
    pub event_type: EventTypeName,
    /// When the try began.
    pub at: Timestamp,
    /// The order or complaint number, if the type has one.
    pub business_key: Option<String>,
    /// The receiver.
    pub to: Address,
    /// The receiver's name, if known.
    pub to_name: Option<String>,
    /// The event's data, for gateways that take more than text.
    pub data: Arc<Value>,
    /// What to say.
    pub message: Message,
}

impl Envelope {
    /// The message as its receiver would see it, for people who look at what was captured.
    pub fn as_received(&self) -> Value {
        let mut seen = json!({
            "channel": self.message.channel(),
            "to": self.to.value(),
            "to_name": self.to_name,
        });
        let details = match &self.message {
            Message::Email(email) => json!({
                "from": email.from, "from_name": email.from_name, "reply_to": email.reply_to,
                "subject": email.subject, "html": email.html, "text": email.text,
                "message_id": email.message_id, "unsubscribe_url": email.unsubscribe_url,
            }),
            Message::Chat(chat) => json!({ "text": chat.text }),
            Message::Sms(sms) => {
                json!({ "text": sms.text, "encoding": sms.encoding, "parts": sms.parts })
            }
        };
        if let (Some(seen), Value::Object(details)) = (seen.as_object_mut(), details) {
            seen.extend(details);
        }
        seen
    }
}

/// A message in the shape of its channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Message {
    /// See [`EmailMessage`].
    Email(Box<EmailMessage>),
    /// See [`ChatMessage`].
    Chat(ChatMessage),
    /// See [`SmsMessage`].
    Sms(SmsMessage),
}

impl Message {
    /// The channel the message is for.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Chat(_) => Channel::Chat,
            Self::Sms(_) => Channel::Sms,
        }
    }
}

/// An email, complete but for its transport encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailMessage {
    /// Display name of the sender.
    pub from_name: Option<String>,
    /// Address of the sender.
    pub from: String,
    /// Where answers go: `Name <address>`.
    pub reply_to: Option<String>,
    /// One line, no line breaks.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The text part, made from the HTML part.
    pub text: String,
    /// `<delivery@domain>`; the same for every attempt.
    pub message_id: String,
    /// One-click unsubscribe URL (RFC 8058); marketing only.
    pub unsubscribe_url: Option<String>,
}

/// A chat message in the dialect of the provider that will send it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// The text in the provider's dialect; mentions from data are inert.
    pub text: String,
    /// The same without markup, for notifications and logs of the receiver.
    pub plain: String,
}

/// An SMS, its parts counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmsMessage {
    /// The text, NFC, as it will be read.
    pub text: String,
    /// How it is encoded on the air.
    pub encoding: SmsEncoding,
    /// How many parts are paid for.
    pub parts: u32,
}

/// The two encodings of GSM 03.38.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SmsEncoding {
    /// 160 septets, 153 in parts.
    #[serde(rename = "GSM-7")]
    Gsm7,
    /// 70 UTF-16 units, 67 in parts.
    #[serde(rename = "UCS-2")]
    Ucs2,
}

impl SmsEncoding {
    /// The encoding's name as the trade writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }
}

/// How a provider writes emphasis, links and literal characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Slack's mrkdwn.
    SlackMrkdwn,
    /// CommonMark, as Mattermost and most webhooks take it.
    CommonMark,
    /// No markup at all.
    Plain,
}
