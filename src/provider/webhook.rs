//! Posts chat messages as JSON to any receiver, signed as Standard Webhooks 1.0.0 says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::gateway::{Blame, Call, Gateway};
use super::secrets::Secrets;
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::Outcome;
use crate::provider::{Kind, Provider, Surroundings, own_url, unfit};
use crate::text::{self, Engine, Escaping};

/// The kind `webhook`.
pub(super) const KIND: Kind = Kind {
    name: "webhook",
    channels: &[Channel::Chat],
    dialect: Dialect::CommonMark,
    about: "Posts JSON to any receiver, signed by the Standard Webhooks scheme: `webhook-id` stays \
            the same over all tries, so that a receiver can drop a duplicate. An address may \
            bring its own URL; it is signed with the provider's one key, so whoever is given that \
            key to check with could sign for the others: give receivers that must not trust one \
            another providers of their own.",
    answers: &[
        ("2xx", "accepted, whatever the body says"),
        ("429, 503", "later, for the whole provider; `Retry-After` is honoured"),
        ("408, 425, other 5xx", "later"),
        ("3xx, 401, 403, 404, 410", "misconfigured"),
        ("404, 410 of an address's own URL", "bad address"),
        ("3xx, 401, 403 of an address's own URL, or one that must not be called", "refused"),
        ("any other status", "refused"),
        ("a body that does not render", "refused; nothing is called"),
    ],
    example: "[providers.partner-hook]\nkind = \"webhook\"\n\
              url = \"https://hooks.example.com/loa\"\n\
              # Two secrets while one replaces the other; each 24 to 64 bytes as base64.\n\
              # secret_file = \"/run/secrets/hook\"\n\
              # previous_secret_file = \"/run/secrets/hook-old\"\n\
              # The body; by default type, timestamp and data.\n\
              # body = '{\"text\":\"{{text}}\"}'\n\
              # Networks of your own that may be called.\n\
              # allow_addresses = [\"10.1.0.0/16\"]\n\
              # allow_plain_http = false\n",
    build,
};

/// The template's name in its engine.
const BODY: &str = "body";
/// The longest body, in bytes.
const MAX_BODY: usize = 64 << 10;

struct Webhook {
    gateway: Gateway,
    url: Option<SecretString>,
    keys: Vec<hmac::Key>,
    body: Option<Engine>,
    deadline: Duration,
}

fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let url = section.secret("url");
    let secrets = [section.secret("secret"), section.secret("previous_secret")];
    let body = section.text("body");
    let egress = surroundings.egress_of(section);
    if let Some(url) = &url
        && let Err(refusal) = egress.url(url.expose_secret())
    {
        section.fault("url", refusal.to_string(), "name a receiver that may be called");
    }
    let mut keys = Vec::new();
    for secret in secrets.iter().flatten() {
        match key(secret) {
            Some(key) => keys.push(key),
            None => section.fault(
                "secret",
                "is no signing secret",
                "write whsec_ and the base64 of 24 to 64 bytes",
            ),
        }
    }
    let body = match body.map(|source| compile(&source)) {
        Some(Ok(engine)) => Some(engine),
        Some(Err(fault)) => {
            section.fault("body", fault, "mend the template");
            None
        }
        None => None,
    };
    let hidden = Secrets::new(url.iter().chain(secrets.iter().flatten()));
    let gateway = Gateway::new(egress, settings.timeout, hidden)
        .map_err(|fault| section.fault("kind", fault, "install the package ca-certificates"))
        .ok()?;
    Some(Arc::new(Webhook { gateway, url, keys, body, deadline: settings.timeout }))
}

fn compile(source: &str) -> Result<Engine, String> {
    let mut engine = Engine::new(Escaping::Json);
    engine.add(BODY, source).map_err(|fault| fault.to_string())?;
    Ok(engine)
}

/// A signing key of `whsec_` and base64.
fn key(secret: &SecretString) -> Option<hmac::Key> {
    let text = secret.expose_secret().trim();
    let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Provider for Webhook {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.post(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        self.deadline
    }

    fn leads_elsewhere(&self, to: &Address) -> bool {
        own_url(to).is_some()
    }
}

impl Webhook {
    async fn post(&self, envelope: &Envelope) -> Outcome {
        let own = own_url(&envelope.to);
        let Some(url) = own.or_else(|| self.url.as_ref().map(ExposeSecret::expose_secret)) else {
            return unfit("neither the provider nor the address has a URL");
        };
        let body = match self.body(envelope) {
            Ok(body) => body,
            Err(fault) => return unfit(&format!("the body does not render: {fault}")),
        };
        let headers = self.headers(envelope, &body);
        let blame = if own.is_some() { Blame::Address } else { Blame::Provider };
        let (method, body) = (Method::POST, body.into_bytes());
        let call = Call { method, url, blame, headers, body, at: envelope.at };
        match self.gateway.call(call).await {
            Ok(reply) => {
                Outcome { verdict: reply.verdict(), answer: reply.answer(), captured: None }
            }
            Err(outcome) => *outcome,
        }
    }

    fn body(&self, envelope: &Envelope) -> Result<String, String> {
        let (text, plain) = match &envelope.message {
            Message::Chat(chat) => (chat.text.as_str(), chat.plain.as_str()),
            Message::Email(email) => (email.text.as_str(), email.text.as_str()),
            Message::Sms(sms) => (sms.text.as_str(), sms.text.as_str()),
        };
        let facts = json!({
            "delivery_id": envelope.delivery, "business_key": envelope.business_key,
            "attempt": envelope.attempt, "to_name": envelope.to_name,
            "text": text, "plain": plain, "event": &*envelope.data,
        });
        let Some(engine) = &self.body else {
            let event_type = envelope.event_type.as_str();
            let timestamp = envelope.at.to_string();
            return Ok(
                json!({ "type": event_type, "timestamp": timestamp, "data": facts }).to_string()
            );
        };
        let body = engine
            .render(BODY, &text::context(facts), MAX_BODY)
            .map_err(|fault| fault.to_string())?;
        match serde_json::from_str::<Value>(&body) {
            Ok(_) => Ok(body),
            Err(error) => Err(format!("it is not JSON: {error}")),
        }
    }

    /// The headers of Standard Webhooks 1.0.0: id, time and signatures.
    fn headers(&self, envelope: &Envelope, body: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let (id, at) = (envelope.delivery.to_string(), envelope.at.as_second().to_string());
        put("content-type", "application/json");
        put("webhook-id", &id);
        put("webhook-timestamp", &at);
        if !self.keys.is_empty() {
            put("webhook-signature", &signatures(&self.keys, (&id, &at), body));
        }
        headers
    }
}

/// One signature a key, over `id.timestamp.body`.
fn signatures(keys: &[hmac::Key], (id, at): (&str, &str), body: &str) -> String {
    let signed = format!("{id}.{at}.{body}");
    let one =
        |key: &hmac::Key| format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_schemes_own_vectors() {
        let vectors = include_str!("../../tests/samples/signatures/vectors.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let vector = &vectors["standard_webhooks"];
        let text = |key: &str| vector[key].as_str().unwrap();
        let key = key(&SecretString::from(text("secret"))).unwrap();

        let made =
            signatures(&[key], (text("webhook-id"), text("webhook-timestamp")), text("body"));

        assert_eq!(made, text("webhook-signature"));
    }
}
