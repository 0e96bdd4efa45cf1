//! An email as bytes.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use crate::model::message::{EmailMessage, Envelope};

/// A message and its way.
pub(super) struct Mail {
    pub(super) from: lettre::Address,
    pub(super) to: lettre::Address,
    pub(super) bytes: Vec<u8>,
}

/// Composes the message; a fault never names an address.
pub(super) fn compose(email: &EmailMessage, to: &str, envelope: &Envelope) -> Result<Mail, String> {
    let from = lettre::Address::from_str(&email.from)
        .map_err(|_| "the sender (email.from) is no email address".to_owned())?;
    let to = lettre::Address::from_str(to).map_err(|_| "the receiver is no email address")?;
    let date = u64::try_from(envelope.at.as_second()).unwrap_or(0);
    let mut builder = lettre::Message::builder()
        .from(Mailbox::new(email.from_name.as_deref().map(one_line), from.clone()))
        .to(Mailbox::new(envelope.to_name.as_deref().map(one_line), to.clone()))
        .subject(one_line(&email.subject))
        .message_id(Some(email.message_id.clone()))
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(date));
    if let Some(reply_to) = &email.reply_to {
        let reply_to =
            Mailbox::from_str(reply_to).map_err(|_| "Reply-To is no email address".to_owned())?;
        builder = builder.reply_to(reply_to);
    }
    // RFC 3834: keeps out-of-office programs quiet.
    builder = builder.raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(url) = &email.unsubscribe_url {
        // RFC 2369 and RFC 8058.
        builder = builder
            .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    }
    let parts = MultiPart::alternative_plain_html(email.text.clone(), email.html.clone());
    let message = builder.multipart(parts).map_err(|error| format!("no message: {error}"))?;
    Ok(Mail { from, to, bytes: message.formatted() })
}

/// A text for a header: a line break in it would begin another header, and makes lettre panic.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
