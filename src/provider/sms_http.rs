//! Any SMS gateway with an HTTP API, by configuration alone.

mod place;
mod reading;
mod request;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::gateway::{Blame, Call, Gateway};
use super::secrets::Secrets;
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::Outcome;
use crate::provider::{Kind, Provider, Surroundings, unfit};
use reading::Reading;
use request::Form;

/// The kind `sms_http`.
pub(super) const KIND: Kind = Kind {
    name: "sms_http",
    channels: &[Channel::Sms],
    dialect: Dialect::Plain,
    about: "Sends text messages by any SMS gateway with an HTTP API. URL, headers and body are \
            templates that know `to` (+84…), `to_digits` (84…), `to_national` (0…), `text`, `id` \
            (the same at every try), `parts`, `is_unicode` and `secret.NAME`; what they print is \
            escaped for its place: the URL, a header, or a body of JSON, XML or a form.",
    answers: &[
        ("a code listed under `codes`", "what the list says; it comes before all below"),
        (
            "a status listed under `statuses`",
            "what the list says; `4xx` and `5xx` are whole classes",
        ),
        ("2xx without a listed code", "accepted if no `ok` code is listed, else refused"),
        ("2xx whose body breaks off", "unknown"),
        ("429, 503", "later, for the whole provider; `Retry-After` is honoured"),
        ("408, 425, other 5xx", "later"),
        ("3xx, 401, 403, 404, 410", "misconfigured"),
        ("any other status", "refused"),
    ],
    example: "[providers.gateway]\nkind = \"sms_http\"\n\
              # \"GET\", \"POST\" or \"PUT\".\n\
              method = \"POST\"\n\
              url = \"https://sms.example.com/send\"\n\
              # With json or xml in it, data is escaped for that; else for a form.\n\
              content_type = \"application/json\"\n\
              # May be left out for GET.\n\
              body = '{\"ApiKey\":\"{{secret.api_key}}\",\"Phone\":\"{{to_national}}\",\"Content\":\"{{text}}\",\"RequestId\":\"{{id}}\"}'\n\
              # Basic authentication, or a bearer token.\n\
              # username = \"loa\"\n# password_file = \"/run/secrets/gateway\"\n\
              # bearer_token_file = \"/run/secrets/gateway-token\"\n\
              # Where the gateway's own id, its code and its words for people stand in the answer: a JSON\n\
              # pointer, an XML element (\"<code>\"), what follows a word on a line (\"ID:\"), or the how-manieth\n\
              # word (\"2\"). Without `code_at` the code is the first word.\n\
              id_at = \"/SMSID\"\ncode_at = \"/CodeResult\"\nerror_at = \"/ErrorMessage\"\n\
              # Networks of your own that may be called.\n\
              # allow_addresses = [\"10.1.0.0/16\"]\n\
              # allow_plain_http = false\n\
              # Which codes mean what; without `ok` the HTTP status decides.\n\
              [providers.gateway.codes]\nok = [\"100\"]\nduplicate = [\"124\"]\n\
              bad_address = [\"99\", \"108\"]\nmisconfigured = [\"101\", \"103\", \"104\"]\n\
              # later = []\n# refused = []\n\
              # Which HTTP statuses mean something else than usual; the same lists.\n\
              [providers.gateway.statuses]\nbad_address = [\"422\"]\n\
              [providers.gateway.headers]\nX-Request-Id = \"{{id}}\"\n\
              [providers.gateway.secrets]\napi_key_file = \"/run/secrets/esms\"\n",
    build,
};

struct SmsHttp {
    gateway: Gateway,
    form: Form,
    reading: Reading,
    deadline: Duration,
}

fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let egress = surroundings.egress_of(section);
    let reading = Reading::read(section);
    let form = Form::read(section, &egress);
    let hidden = form.as_ref().map(|form| Secrets::new(form.secrets())).unwrap_or_default();
    let gateway = Gateway::new(egress, settings.timeout, hidden)
        .map_err(|fault| section.fault("kind", fault, "install the package ca-certificates"))
        .ok()?;
    let form = form?;
    Some(Arc::new(SmsHttp { gateway, form, reading, deadline: settings.timeout }))
}

/// What a gateway with these settings means by an answer.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn outcome_of(settings: &ProviderSettings, reply: &super::gateway::Reply) -> Outcome {
    Reading::read(&settings.section).outcome(reply)
}

impl Provider for SmsHttp {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.call(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        self.deadline
    }
}

impl SmsHttp {
    async fn call(&self, envelope: &Envelope) -> Outcome {
        let (Message::Sms(sms), Address::Sms { phone }) = (&envelope.message, &envelope.to) else {
            return unfit("only text messages go to an SMS gateway");
        };
        let request = match self.form.fill(sms, phone, &envelope.delivery.to_string()) {
            Ok(request) => request,
            Err(misfill) => return unfit(&misfill.fault),
        };
        let call = Call {
            method: request.method,
            url: &request.url,
            blame: Blame::Provider,
            headers: request.headers,
            body: request.body,
            at: envelope.at,
        };
        match self.gateway.call(call).await {
            Ok(reply) => self.reading.outcome(&reply),
            Err(outcome) => *outcome,
        }
    }
}
