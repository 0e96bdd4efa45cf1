//! Slack incoming webhooks: Block Kit sections, and what their answers mean.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::gateway::{Call, Gateway, Reply};
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::{Kind, Provider, Surroundings};

/// The kind `slack`.
pub(super) const KIND: Kind = Kind {
    name: "slack",
    channels: &[Channel::Chat],
    dialect: Dialect::SlackMrkdwn,
    about: "Posts to a Slack incoming webhook. The URL is a secret; an address may bring its own. \
            Slack takes about one message a second.",
    example: "[providers.team-chat]\nkind = \"slack\"\n\
              url_file = \"/run/secrets/slack\"\nrate = \"1/s\"\n",
    build,
};

/// The longest text of one section, in characters (Slack allows 3,000).
const SECTION: usize = 2_900;
/// The longest text of one message: above about 13,000 Slack refuses the blocks.
const MESSAGE: usize = 12_000;

struct Slack {
    gateway: Gateway,
    url: Option<SecretString>,
    deadline: Duration,
}

fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let url = section.secret("url");
    if let Some(url) = &url
        && let Err(refusal) = surroundings.egress.url(url.expose_secret())
    {
        section.fault("url", refusal.to_string(), "copy the webhook's URL from Slack");
    }
    let gateway = Gateway::new(surroundings.egress.clone(), settings.timeout)
        .map_err(|fault| section.fault("kind", fault, "install the package ca-certificates"))
        .ok()?;
    Some(Arc::new(Slack { gateway, url, deadline: settings.timeout }))
}

impl Provider for Slack {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.post(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        self.deadline
    }
}

impl Slack {
    async fn post(&self, envelope: &Envelope) -> Outcome {
        let own = match &envelope.to {
            Address::Chat { target: Some(target), .. } => Some(target.as_str()),
            Address::Chat { target: None, .. } | Address::Email { .. } | Address::Sms { .. } => {
                None
            }
        };
        let Some(url) = own.or_else(|| self.url.as_ref().map(ExposeSecret::expose_secret)) else {
            let answer = Answer::new(None, "neither the provider nor the address has a URL");
            return Outcome { verdict: Verdict::Misconfigured, answer, captured: None };
        };
        let Message::Chat(chat) = &envelope.message else {
            let answer = Answer::new(None, "only chat messages go to Slack");
            return Outcome { verdict: Verdict::Refused, answer, captured: None };
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body(&chat.text, &chat.plain).to_string().into_bytes();
        match self.gateway.post(Call { url, headers, body, at: envelope.at }).await {
            Ok(reply) => Outcome {
                verdict: verdict(&reply, own.is_some()),
                answer: reply.answer(),
                captured: None,
            },
            Err(outcome) => *outcome,
        }
    }
}

/// Sections of the text, and the plain text for notifications.
fn body(text: &str, plain: &str) -> Value {
    let letters: Vec<char> = text.chars().take(MESSAGE).collect();
    let blocks: Vec<Value> = letters
        .chunks(SECTION)
        .map(|part| {
            let text: String = part.iter().collect();
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
        })
        .collect();
    json!({ "text": plain, "blocks": blocks })
}

/// What Slack says (api.slack.com, incoming webhooks): success is 200 with exactly `ok`.
fn verdict(reply: &Reply, own_url: bool) -> Verdict {
    let text = reply.body.trim();
    if reply.status.is_success() {
        return if text == "ok" { Verdict::accepted() } else { Verdict::Refused };
    }
    match text {
        "action_prohibited"
        | "channel_is_archived"
        | "channel_not_found"
        | "invalid_token"
        | "no_service"
        | "no_team"
        | "team_disabled"
            if !own_url =>
        {
            Verdict::Misconfigured
        }
        _ => reply.verdict(own_url),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::model::outcome::VerdictClass;

    fn class(status: u16, body: &str) -> VerdictClass {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, retry_after: None, body: body.to_owned() };
        verdict(&reply, false).class()
    }

    #[test]
    fn only_ok_is_success_and_each_fault_has_its_class() {
        assert_eq!(class(200, "ok"), VerdictClass::Accepted);
        assert_eq!(class(200, "<html>sign in</html>"), VerdictClass::Refused);
        assert_eq!(class(400, "invalid_payload"), VerdictClass::Refused);
        assert_eq!(class(404, "channel_not_found"), VerdictClass::Misconfigured);
        assert_eq!(class(410, "channel_is_archived"), VerdictClass::Misconfigured);
        assert_eq!(class(403, "action_prohibited"), VerdictClass::Misconfigured);
        assert_eq!(class(429, ""), VerdictClass::Later);
        assert_eq!(class(500, "rollup_error"), VerdictClass::Later);
    }

    #[test]
    fn a_long_text_is_cut_into_sections_that_slack_takes() {
        let body = body(&"à".repeat(20_000), "plain");

        let blocks = body["blocks"].as_array().unwrap();
        let lengths: Vec<usize> = blocks
            .iter()
            .map(|block| block["text"]["text"].as_str().unwrap().chars().count())
            .collect();
        assert!(lengths.iter().all(|length| *length <= SECTION), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), MESSAGE);
    }
}
