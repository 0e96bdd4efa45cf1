//! Outbound HTTP, done once: guarded, bounded, and read as an outcome.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};

use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::egress::{Egress, Refusal};

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: shorter than servers do, so that none dies in use.
const IDLE: Duration = Duration::from_secs(4);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// A gateway's own time is believed between these.
const RETRY_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// A guarded HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    http: Client,
    egress: Egress,
}

/// What a gateway answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: String,
}

/// A request to make; the URL is kept like a secret.
pub(super) struct Call<'a> {
    pub(super) url: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// When the call is made, for times that a gateway gives as a date.
    pub(super) at: Timestamp,
}

impl Gateway {
    /// A client whose calls end within `deadline`.
    ///
    /// # Errors
    /// When the system has no root certificates.
    pub(super) fn new(egress: Egress, deadline: Duration) -> Result<Self, String> {
        // A second call in the same process changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(deadline)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(egress.clone()))
            .user_agent(concat!("Loa/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { http, egress })
    }

    /// Posts once; `Err` is an outcome that needs no reading.
    pub(super) async fn post(&self, call: Call<'_>) -> Result<Reply, Box<Outcome>> {
        let url = self.egress.url(call.url).map_err(|refusal| Box::new(refused(&refusal)))?;
        let request = self.http.post(url).headers(call.headers).body(call.body);
        let mut answer = request.send().await.map_err(|error| Box::new(broken(&error)))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), call.at);
        let mut body = Vec::new();
        // Of a body that breaks off the status still holds.
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= MAX_ANSWER {
                body.truncate(MAX_ANSWER);
                break;
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status, retry_after, body })
    }
}

impl Reply {
    /// The answer to keep.
    pub(super) fn answer(&self) -> Answer {
        Answer::new(Some(self.status.as_u16().to_string()), &self.body)
    }

    /// What the status alone says; `own_url` means that the URL is the address's own.
    pub(super) fn verdict(&self, own_url: bool) -> Verdict {
        let later = |whole_provider| Verdict::Later { after: self.retry_after, whole_provider };
        match self.status.as_u16() {
            200..=299 => Verdict::accepted(),
            429 | 503 => later(true),
            408 | 425 | 500..=599 => later(false),
            404 | 410 if own_url => Verdict::BadAddress,
            401 | 403 if own_url => Verdict::Refused,
            300..=399 | 401 | 403 | 404 | 410 => Verdict::Misconfigured,
            _ => Verdict::Refused,
        }
    }
}

fn refused(refusal: &Refusal) -> Outcome {
    let answer = Answer::new(Some("not called".to_owned()), &refusal.to_string());
    Outcome { verdict: Verdict::Misconfigured, answer, captured: None }
}

/// What a broken call says: before the connection stands nothing was sent, after it nobody knows.
fn broken(error: &reqwest::Error) -> Outcome {
    let text = causes(error);
    let refusal = find_refusal(error);
    let (verdict, code) = match refusal {
        Some(_) => (Verdict::Misconfigured, "not called"),
        None if error.is_connect() => (Verdict::later(), "no connection"),
        None if error.is_builder() => (Verdict::Misconfigured, "not called"),
        None if error.is_timeout() => (Verdict::Unknown, "timeout"),
        None => (Verdict::Unknown, "cut"),
    };
    let text = refusal.map_or(text, ToString::to_string);
    Outcome { verdict, answer: Answer::new(Some(code.to_owned()), &text), captured: None }
}

fn find_refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal);
        }
        cause = error.source();
    }
    None
}

/// The causes of an error behind the first one, which repeats the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    if texts.is_empty() { "the call broke off".to_owned() } else { texts.join(": ") }
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), within bounds.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let wait = date.duration_since(now).max(SignedDuration::ZERO);
        wait.unsigned_abs()
    };
    Some(wait.clamp(RETRY_BOUNDS.0, RETRY_BOUNDS.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::VerdictClass as Class;

    fn waits(text: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        let now = "2026-11-23T05:00:00Z".parse().unwrap();
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(waits("120"), Some(120));
        assert_eq!(waits("Mon, 23 Nov 2026 05:02:00 GMT"), Some(120));
        assert_eq!(waits("Mon, 23 Nov 2026 04:00:00 GMT"), Some(1));
        assert_eq!(waits("99999999"), Some(3600));
        assert_eq!(waits("soon"), None);
    }

    #[test]
    fn statuses_have_classes() {
        let verdict = |status: u16, own| {
            let status = StatusCode::from_u16(status).unwrap();
            Reply { status, retry_after: None, body: String::new() }.verdict(own).class()
        };
        assert_eq!(verdict(204, false), Class::Accepted);
        assert_eq!(verdict(302, false), Class::Misconfigured);
        assert_eq!(verdict(400, false), Class::Refused);
        assert_eq!(verdict(401, false), Class::Misconfigured);
        assert_eq!(verdict(410, true), Class::BadAddress);
        assert_eq!(verdict(410, false), Class::Misconfigured);
        assert_eq!(verdict(429, false), Class::Later);
        assert_eq!(verdict(500, false), Class::Later);
    }
}
