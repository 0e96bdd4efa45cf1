//! Slack incoming webhooks: Block Kit sections, and what their answers mean.

mod sections;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::gateway::{Blame, Call, Gateway, Reply};
use super::secrets::Secrets;
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::{Outcome, Verdict};
use crate::provider::{Kind, Provider, Surroundings, own_url, unfit};

/// The kind `slack`.
pub(super) const KIND: Kind = Kind {
    name: "slack",
    channels: &[Channel::Chat],
    dialect: Dialect::SlackMrkdwn,
    about: "Posts to a Slack incoming webhook. The URL is a secret; an address may bring its own. \
            Slack takes about one message a second.",
    answers: &[
        ("200 `ok`", "accepted"),
        ("200 with other words", "refused"),
        ("200 whose body breaks off", "unknown"),
        ("429, 503", "later, for the whole provider; `Retry-After` is honoured"),
        ("408, 425, other 5xx", "later"),
        (
            "3xx, 401, 403, 404, 410, `invalid_token`, `no_service`, `channel_not_found` and their like",
            "misconfigured",
        ),
        ("404, 410 of an address's own URL", "bad address"),
        ("3xx, 401, 403 of an address's own URL, or one that must not be called", "refused"),
        ("any other status", "refused"),
    ],
    example: "[providers.team-chat]\nkind = \"slack\"\n\
              url_file = \"/run/secrets/slack\"\nrate = \"1/s\"\n\
              # Networks of your own that may be called, for a chat that takes what Slack takes.\n\
              # allow_addresses = [\"10.1.0.0/16\"]\n# allow_plain_http = false\n",
    build,
};

struct Slack {
    gateway: Gateway,
    url: Option<SecretString>,
    deadline: Duration,
}

fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let url = section.secret("url");
    let egress = surroundings.egress_of(section);
    if let Some(url) = &url
        && let Err(refusal) = egress.url(url.expose_secret())
    {
        section.fault("url", refusal.to_string(), "copy the webhook's URL from Slack");
    }
    let gateway = Gateway::new(egress, settings.timeout, Secrets::new(&url))
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

    fn leads_elsewhere(&self, to: &Address) -> bool {
        own_url(to).is_some()
    }
}

impl Slack {
    async fn post(&self, envelope: &Envelope) -> Outcome {
        let own = own_url(&envelope.to);
        let Some(url) = own.or_else(|| self.url.as_ref().map(ExposeSecret::expose_secret)) else {
            return unfit("neither the provider nor the address has a URL");
        };
        let Message::Chat(chat) = &envelope.message else {
            return unfit("only chat messages go to Slack");
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body(&chat.text, &chat.plain).to_string().into_bytes();
        let blame = if own.is_some() { Blame::Address } else { Blame::Provider };
        let call = Call { method: Method::POST, url, blame, headers, body, at: envelope.at };
        match self.gateway.call(call).await {
            Ok(reply) => {
                Outcome { verdict: verdict(&reply), answer: reply.answer(), captured: None }
            }
            Err(outcome) => *outcome,
        }
    }
}

/// Sections of the text, and the plain text for notifications.
fn body(text: &str, plain: &str) -> Value {
    let section = |text| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let blocks: Vec<Value> = sections::sections(text).into_iter().map(section).collect();
    json!({ "text": sections::notice(plain), "blocks": blocks })
}

/// What Slack says (api.slack.com, incoming webhooks): success is 200 with exactly `ok`.
pub(super) fn verdict(reply: &Reply) -> Verdict {
    let text = reply.body.trim();
    if reply.is_cut_off_success() {
        return Verdict::Unknown;
    }
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
            if reply.blame == Blame::Provider =>
        {
            Verdict::Misconfigured
        }
        _ => reply.verdict(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::model::outcome::VerdictClass;

    fn class(status: u16, body: &str) -> VerdictClass {
        let status = StatusCode::from_u16(status).unwrap();
        let (body, blame) = (body.to_owned(), Blame::Provider);
        verdict(&Reply { status, retry_after: None, body, is_whole: true, blame }).class()
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
    fn nothing_in_a_message_calls_people_but_what_the_template_wrote() {
        let body = body("*Trễ* &lt;!channel&gt;", "<!channel> trễ");

        assert_eq!(body["text"], "&lt;!channel&gt; trễ");
        assert_eq!(body["blocks"][0]["text"]["text"], "*Trễ* &lt;!channel&gt;");
    }
}
