//! What gateways answer, and where people send messages to, as arbitrary bytes.

use std::sync::LazyLock;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use url::Host;

use super::egress::Egress;
use super::gateway::{Blame, Reply, retry_after as waits};
use super::{slack, sms_http, smtp};
use crate::config::{self, Config, Sources};
use crate::model::outcome::{Answer, Outcome, Verdict};

/// The longest code and id that are kept, in characters.
const MAX_CODE: usize = 250;

/// SMS gateways that say what they mean in different places.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let places = [
        "",
        "id_at = \"/id\"\ncode_at = \"/code\"\nerror_at = \"/text\"\n",
        "id_at = \"<id>\"\ncode_at = \"<code>\"\nerror_at = \"<text>\"\n",
        "id_at = \"ID:\"\ncode_at = \"2\"\nerror_at = \"text=\"\n",
    ];
    let table = |(number, places): (usize, &&str)| {
        format!(
            "[providers.g{number}]\nkind = \"sms_http\"\nurl = \"https://sms.loa.vn/\"\n{places}\
             codes.ok = [\"100\", \"OK\"]\ncodes.bad_address = [\"99\"]\n\
             statuses.bad_address = [\"422\"]\n"
        )
    };
    let text: String = places.iter().enumerate().map(table).collect();
    config::read(&Sources::defaults().with_text("loa.toml", &text)).0
});

/// The bytes as all that a relay says in one conversation, the first of them odd if we sign in.
pub(crate) fn smtp_answers(bytes: &[u8]) {
    let Some((first, answers)) = bytes.split_first() else { return };
    can_be_kept(&smtp::outcome_of(answers, first % 2 == 1));
}

/// The bytes as an answer: two for the status, one for whose URL it was and whether the body came
/// to its end, the rest for the body.
pub(crate) fn http_answer(bytes: &[u8]) {
    let Some(([high, low, flags], body)) = bytes.split_first_chunk() else { return };
    let number = u16::from_be_bytes([*high, *low]) % 900 + 100;
    let Ok(status) = StatusCode::from_u16(number) else { return };
    let reply = Reply {
        status,
        retry_after: None,
        body: String::from_utf8_lossy(body).into_owned(),
        is_whole: flags & 1 == 0,
        blame: if flags & 2 == 0 { Blame::Provider } else { Blame::Address },
    };
    let of_slack =
        Outcome { verdict: slack::verdict(&reply), answer: reply.answer(), captured: None };
    can_be_kept(&of_slack);
    for settings in CONFIG.providers.values() {
        let outcome = sms_http::outcome_of(settings, &reply);
        can_be_kept(&outcome);
        let is_accepted = matches!(outcome.verdict, Verdict::Accepted { .. });
        assert!(!is_accepted || status.is_success(), "{status}: {outcome:?}");
    }
}

/// The bytes as the header by which a gateway asks for time.
pub(crate) fn retry_after(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        if let Some(wait) = waits(&headers, now) {
            assert!((1..=3600).contains(&wait.as_secs()), "{wait:?}");
        }
    }
}

/// The bytes as a URL that a message is to be posted to.
pub(crate) fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let egress = Egress::new(Some("loa.ours.vn"), false);
    let Ok(url) = egress.url(&text) else { return };
    assert_eq!(url.scheme(), "https", "{url}");
    assert!(url.username().is_empty() && url.password().is_none(), "{url}");
    match url.host() {
        Some(Host::Ipv4(address)) => {
            let inside = address.is_loopback() || address.is_private() || address.is_link_local();
            assert!(!inside && !address.is_unspecified(), "{url}");
        }
        Some(Host::Ipv6(address)) => {
            let canonical = address.to_canonical();
            assert!(!canonical.is_loopback() && !canonical.is_unspecified(), "{url}");
        }
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            assert!(name.contains('.') && !name.ends_with(".localhost"), "{url}");
        }
        None => panic!("a URL without a host: {url}"),
    }
}

/// Whether every store and every screen can take what is kept of an answer.
fn can_be_kept(outcome: &Outcome) {
    let Answer { code, text } = &outcome.answer;
    let Outcome { verdict: Verdict::Accepted { message_id }, .. } = outcome else {
        return is_plain(&[code.as_deref(), Some(text)], code.as_deref());
    };
    is_plain(&[code.as_deref(), Some(text), message_id.as_deref()], code.as_deref());
    is_plain(&[], message_id.as_deref());
}

fn is_plain(texts: &[Option<&str>], short: Option<&str>) {
    for text in texts.iter().copied().flatten() {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(short.is_none_or(|short| short.chars().count() <= MAX_CODE), "{short:?}");
}
