//! An email as the text that goes to a relay.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::encoding::{body_of, to_wire};
use crate::model::message::{EmailMessage, Envelope};

/// A message and its way.
pub(super) struct Mail {
    pub(super) from: lettre::Address,
    pub(super) to: lettre::Address,
    /// The message with its end, as it is written.
    pub(super) wire: String,
}

/// Composes the message; a fault never names an address.
pub(super) fn compose(email: &EmailMessage, to: &str, envelope: &Envelope) -> Result<Mail, String> {
    let from = address(&email.from).ok_or("the sender (email.from) is no email address")?;
    let to = address(to).ok_or("the receiver is no email address")?;
    let date = u64::try_from(envelope.at.as_second()).unwrap_or(0);
    let mut builder = lettre::Message::builder()
        .from(Mailbox::new(email.from_name.as_deref().map(one_line), from.clone()))
        .to(Mailbox::new(envelope.to_name.as_deref().map(one_line), to.clone()))
        .subject(one_line(&email.subject))
        .message_id(Some(email.message_id.clone()))
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(date));
    if let Some(reply_to) = &email.reply_to {
        builder = builder.reply_to(mailbox(reply_to).ok_or("Reply-To is no email address")?);
    }
    // RFC 3834: keeps out-of-office programs quiet.
    builder = builder.raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(url) = &email.unsubscribe_url {
        // RFC 2369 and RFC 8058.
        builder = builder
            .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    }
    let parts = MultiPart::alternative()
        .singlepart(body_of(ContentType::TEXT_PLAIN, &email.text))
        .singlepart(body_of(ContentType::TEXT_HTML, &email.html));
    let message = builder.multipart(parts).map_err(|error| format!("no message: {error}"))?;
    let text = String::from_utf8(message.formatted());
    let text = text.map_err(|error| format!("no message: {error}"))?;
    Ok(Mail { from, to, wire: to_wire(text) })
}

/// An email address whose domain is spelled in ASCII, as relays and DNS take it.
fn address(text: &str) -> Option<lettre::Address> {
    let (local, domain) = text.trim().rsplit_once('@')?;
    if domain.is_ascii() {
        return lettre::Address::new(local, domain).ok();
    }
    let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else { return None };
    lettre::Address::new(local, domain).ok()
}

/// `Name <address>` or an address alone. lettre would take a comma in a bare name for the end of
/// an address.
fn mailbox(text: &str) -> Option<Mailbox> {
    let Some((name, rest)) = text.rsplit_once('<') else {
        return Some(Mailbox::new(None, address(text)?));
    };
    let address = address(rest.trim_end().strip_suffix('>')?)?;
    let name = name.trim();
    let quoted = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = quoted.map_or_else(|| name.to_owned(), unquoted);
    Some(Mailbox::new(Some(one_line(&name)).filter(|name| !name.is_empty()), address))
}

/// The text of a quoted string (RFC 5322, 3.2.4), whose backslashes protect what follows.
fn unquoted(text: &str) -> String {
    let mut letters = text.chars();
    let next = || match letters.next()? {
        '\\' => letters.next(),
        letter => Some(letter),
    };
    std::iter::from_fn(next).collect()
}

/// The longest name or subject, in letters: lettre folds no long word, and a line has 998 bytes.
const MAX_HEADER: usize = 255;

/// A text for a header: a line break in it would begin another header, and makes lettre panic; what
/// turns the order of letters would make one address look like another.
fn one_line(text: &str) -> String {
    let is_odd = |letter: char| {
        letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let letters = text.chars().take(MAX_HEADER);
    letters.map(|letter| if is_odd(letter) { ' ' } else { letter }).collect()
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_spelled_in_ascii() {
        let spelled = |text| address(text).map(|address| address.to_string());

        assert_eq!(spelled("an@bücher.test").as_deref(), Some("an@xn--bcher-kva.test"));
        assert_eq!(spelled("an@partner.test").as_deref(), Some("an@partner.test"));
        assert_eq!(spelled("an@[192.0.2.1]").as_deref(), Some("an@[192.0.2.1]"));
        assert_eq!(spelled("an"), None);
    }

    #[test]
    fn a_name_with_a_comma_stays_one_name() {
        for text in ["Lê, An <an@x.test>", "\"Lê, An\" <an@x.test>"] {
            let mailbox = mailbox(text).unwrap();

            assert_eq!(mailbox.name.as_deref(), Some("Lê, An"), "{text}");
            assert_eq!(mailbox.email.to_string(), "an@x.test");
        }
        let quoted = mailbox(r#""An \"Boss\" Lê" <an@x.test>"#).unwrap();
        assert_eq!(quoted.name.as_deref(), Some("An \"Boss\" Lê"));
        assert_eq!(mailbox("an@x.test").unwrap().name, None);
        assert!(mailbox("An <an>").is_none());
    }
}
