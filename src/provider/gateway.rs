//! Outbound HTTP, done once: guarded, bounded, and read as an outcome.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode};
use secrecy::SecretString;

use crate::model::outcome::{Answer, Obstacle, Outcome, Verdict};
use crate::provider::egress::{Egress, Refusal};
use crate::provider::secrets::Secrets;

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
    secrets: Secrets,
}

/// What a gateway answered, without the provider's secrets.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: String,
    /// Whether the body came to its end, or was too long to be read to it.
    pub(super) is_whole: bool,
    pub(super) blame: Blame,
}

/// Whose fault it is if the URL of a call does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The provider's: the URL stands in its settings.
    Provider,
    /// The address's: it brought the URL along.
    Address,
}

/// A request to make; the URL is kept like a secret.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) blame: Blame,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// When the call is made, for times that a gateway gives as a date.
    pub(super) at: Timestamp,
}

impl Gateway {
    /// A client whose calls end within `deadline`, and whose answers never hold `secrets`.
    ///
    /// # Errors
    /// When the system has no root certificates.
    pub(super) fn new(
        egress: Egress,
        deadline: Duration,
        secrets: Secrets,
    ) -> Result<Self, String> {
        // A second call in the same process changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            // Longer, a connection that does not come to stand would end as a call of which nobody
            // knows what became.
            .connect_timeout(CONNECT.min(deadline / 2))
            .timeout(deadline)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(egress.clone()))
            .user_agent(concat!("Loa/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self { http, egress, secrets })
    }

    /// Calls once; `Err` is an outcome that needs no reading.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Reply, Box<Outcome>> {
        let blame = call.blame;
        let secrets = self.secrets_of(&call);
        let broken = |error: &reqwest::Error| Box::new(broken(error, blame, &secrets));
        let url =
            self.egress.url(call.url).map_err(|refusal| Box::new(refused(&refusal, blame)))?;
        let request = self.http.request(call.method, url).headers(call.headers).body(call.body);
        let mut answer = request.send().await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), call.at);
        let mut body = Vec::new();
        let is_whole = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
            if body.len() >= MAX_ANSWER {
                body.truncate(MAX_ANSWER);
                break true;
            }
        };
        let body = secrets.hide(&String::from_utf8_lossy(&body)).into_owned();
        Ok(Reply { status, retry_after, body, is_whole, blame })
    }

    /// What an answer to this call must not hold: an address's own URL is its owner's secret.
    fn secrets_of(&self, call: &Call<'_>) -> Secrets {
        match call.blame {
            Blame::Provider => self.secrets.clone(),
            Blame::Address => Secrets::new(&[SecretString::from(call.url)]),
        }
    }
}

impl Reply {
    /// The answer to keep.
    pub(super) fn answer(&self) -> Answer {
        Answer::new(Some(self.status.as_u16().to_string()), &self.body)
    }

    /// What the status alone says.
    pub(super) fn verdict(&self) -> Verdict {
        let is_own = self.blame == Blame::Address;
        let later = |obstacle| Verdict::Later { after: self.retry_after, obstacle };
        match self.status.as_u16() {
            200..=299 => Verdict::accepted(),
            408 | 425 | 429 | 500..=599 if is_own => later(Obstacle::Receiver),
            429 | 503 => later(Obstacle::Provider),
            408 | 425 | 500..=599 => later(Obstacle::Call),
            404 | 410 if is_own => Verdict::BadAddress,
            300..=399 | 401 | 403 | 404 | 410 => blame_for_url(self.blame),
            _ => Verdict::Refused,
        }
    }

    /// What a success says that is told by its body: of one that broke off nobody knows.
    pub(super) fn is_cut_off_success(&self) -> bool {
        self.status.is_success() && !self.is_whole
    }
}

/// The verdict on a URL that cannot be called as it is.
fn blame_for_url(blame: Blame) -> Verdict {
    match blame {
        Blame::Provider => Verdict::Misconfigured,
        Blame::Address => Verdict::Refused,
    }
}

fn refused(refusal: &Refusal, blame: Blame) -> Outcome {
    let answer = Answer::new(Some("not called".to_owned()), &refusal.to_string());
    Outcome { verdict: blame_for_url(blame), answer, captured: None }
}

/// What a broken call says: before the connection stands nothing was sent, after it nobody knows.
fn broken(error: &reqwest::Error, blame: Blame, secrets: &Secrets) -> Outcome {
    if let Some(refusal) = find_refusal(error) {
        return refused(refusal, blame);
    }
    let (verdict, code) = match error {
        error if error.is_connect() => (Verdict::later(), "no connection"),
        error if error.is_builder() => (blame_for_url(blame), "not called"),
        error if error.is_timeout() => (Verdict::Unknown, "timeout"),
        _ => (Verdict::Unknown, "cut"),
    };
    let text = causes(error);
    let answer = Answer::new(Some(code.to_owned()), &secrets.hide(&text));
    Outcome { verdict, answer, captured: None }
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
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
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
    fn statuses_have_classes_and_blame_whose_url_it_is() {
        let verdict = |status: u16, blame| {
            let status = StatusCode::from_u16(status).unwrap();
            Reply { status, retry_after: None, body: String::new(), is_whole: true, blame }
                .verdict()
        };
        let (provider, address) = (Blame::Provider, Blame::Address);
        let class = |status, blame| verdict(status, blame).class();

        assert_eq!(class(204, provider), Class::Accepted);
        assert_eq!(class(400, provider), Class::Refused);
        assert_eq!(class(500, provider), Class::Later);
        for status in [302, 401, 403, 404, 410] {
            assert_eq!(class(status, provider), Class::Misconfigured, "{status}");
        }
        for status in [302, 401, 403] {
            assert_eq!(class(status, address), Class::Refused, "{status}");
        }
        for status in [404, 410] {
            assert_eq!(class(status, address), Class::BadAddress, "{status}");
        }
        for status in [429, 503] {
            let later = |obstacle| Verdict::Later { after: None, obstacle };
            assert_eq!(verdict(status, provider), later(Obstacle::Provider));
            assert_eq!(verdict(status, address), later(Obstacle::Receiver));
        }
    }
}
