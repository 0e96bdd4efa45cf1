//! Any SMS gateway with an HTTP API, by configuration alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::gateway::{Call, Gateway, Reply};
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message, SmsEncoding};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::{Kind, Provider, Surroundings};
use crate::text::{self, Engine, Escaping};

/// The kind `sms_http`.
pub(super) const KIND: Kind = Kind {
    name: "sms_http",
    channels: &[Channel::Sms],
    dialect: Dialect::Plain,
    about: "Posts text messages to any SMS gateway with an HTTP API. Body and URL are templates: \
            `to` (+84…), `to_digits` (84…), `to_national` (0…), `text`, `id`, `is_unicode`, \
            `secret.NAME`.",
    example: "[providers.gateway]\nkind = \"sms_http\"\n\
              url = \"https://sms.example.com/send\"\n\
              # \"application/json\" or \"application/x-www-form-urlencoded\"; data is escaped for it.\n\
              content_type = \"application/json\"\n\
              body = '{\"ApiKey\":\"{{secret.api_key}}\",\"Phone\":\"{{to_national}}\",\"Content\":\"{{text}}\",\"RequestId\":\"{{id}}\"}'\n\
              # username = \"loa\"\n# password_file = \"/run/secrets/gateway\"\n\
              # Where the gateway's own id and its code stand in the answer (JSON pointers); without \
              `code_at` the code is the first word of the text.\n\
              id_at = \"/SMSID\"\ncode_at = \"/CodeResult\"\n\
              # allow_plain_http = false\n\
              # Which codes mean what; without `ok` the HTTP status decides.\n\
              [providers.gateway.codes]\nok = [\"100\"]\nduplicate = [\"124\"]\n\
              bad_address = [\"99\", \"108\"]\nmisconfigured = [\"101\", \"103\", \"104\"]\n\
              # later = []\n# refused = []\n\
              [providers.gateway.secrets]\napi_key_file = \"/run/secrets/esms\"\n",
    build,
};

/// Names of the templates in their engine.
const BODY: &str = "body";
const URL: &str = "url";
/// The longest request, in bytes.
const MAX_REQUEST: usize = 16 << 10;

struct SmsHttp {
    gateway: Gateway,
    bodies: Engine,
    urls: Engine,
    headers: HeaderMap,
    secrets: BTreeMap<String, SecretString>,
    reading: Reading,
    deadline: Duration,
}

/// Where an answer says what, and which codes mean what.
#[derive(Debug, Default)]
struct Reading {
    id_at: Option<String>,
    code_at: Option<String>,
    /// The meaning of each code that is listed.
    codes: BTreeMap<String, Meaning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Ok,
    Later,
    Refused,
    BadAddress,
    Misconfigured,
}

/// The lists of `[codes]`; a duplicate was accepted before.
const MEANINGS: [(&str, Meaning); 6] = [
    ("ok", Meaning::Ok),
    ("duplicate", Meaning::Ok),
    ("later", Meaning::Later),
    ("refused", Meaning::Refused),
    ("bad_address", Meaning::BadAddress),
    ("misconfigured", Meaning::Misconfigured),
];

fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let url = section.required_text("url");
    let json_type = "application/json";
    let content_type = section.text("content_type").unwrap_or_else(|| json_type.to_owned());
    let body = section.required_text("body");
    let credentials = section.text("username").zip(section.secret("password"));
    let reading = read_codes(section.text("id_at"), section.text("code_at"), settings);
    let secrets = section.section("secrets");
    let secrets: BTreeMap<String, SecretString> = secrets
        .map(|table| {
            let names = table
                .keys()
                .into_iter()
                .map(|key| key.strip_suffix("_file").map_or(key.clone(), str::to_owned));
            let found = names.filter_map(|name| Some((name.clone(), table.secret(&name)?)));
            let found = found.collect();
            table.finish();
            found
        })
        .unwrap_or_default();
    let plain_http = section.boolean("allow_plain_http").unwrap_or(false);
    let escaping = if content_type.contains("json") { Escaping::Json } else { Escaping::Url };
    let bodies = compile(settings, BODY, body.as_deref(), escaping);
    let urls = compile(settings, URL, url.as_deref(), Escaping::Url);
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Err(_) => {
            section.fault("content_type", "holds letters that no header takes", "write ASCII");
        }
    };
    put("content-type", &content_type);
    if let Some((name, password)) = credentials {
        let pair = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
        put("authorization", &format!("Basic {pair}"));
    }
    let egress = surroundings.egress.with(Vec::new(), plain_http);
    let gateway = Gateway::new(egress, settings.timeout)
        .map_err(|fault| section.fault("kind", fault, "install the package ca-certificates"))
        .ok()?;
    let deadline = settings.timeout;
    let (bodies, urls) = (bodies?, urls?);
    Some(Arc::new(SmsHttp { gateway, bodies, urls, headers, secrets, reading, deadline }))
}

fn read_codes(
    id_at: Option<String>,
    code_at: Option<String>,
    settings: &ProviderSettings,
) -> Reading {
    let mut codes = BTreeMap::new();
    if let Some(table) = settings.section.section("codes") {
        for (name, meaning) in MEANINGS {
            for code in table.list(name).unwrap_or_default() {
                codes.insert(code, meaning);
            }
        }
        table.finish();
    }
    Reading { id_at, code_at, codes }
}

fn compile(
    settings: &ProviderSettings,
    key: &'static str,
    source: Option<&str>,
    escaping: Escaping,
) -> Option<Engine> {
    let mut engine = Engine::new(escaping);
    match engine.add(key, source?) {
        Ok(()) => Some(engine),
        Err(fault) => {
            settings.section.fault(key, fault.to_string(), "mend the template");
            None
        }
    }
}

impl Provider for SmsHttp {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.post(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        self.deadline
    }
}

impl SmsHttp {
    async fn post(&self, envelope: &Envelope) -> Outcome {
        let (url, body) = match self.request(envelope) {
            Ok(request) => request,
            Err(fault) => {
                let answer = Answer::new(Some("not called".to_owned()), &fault);
                return Outcome { verdict: Verdict::Misconfigured, answer, captured: None };
            }
        };
        let headers = self.headers.clone();
        let call = Call { url: &url, headers, body: body.into_bytes(), at: envelope.at };
        match self.gateway.post(call).await {
            Ok(reply) => self.reading.outcome(&reply),
            Err(outcome) => *outcome,
        }
    }

    /// URL and body for one message.
    fn request(&self, envelope: &Envelope) -> Result<(String, String), String> {
        let (Message::Sms(sms), Address::Sms { phone }) = (&envelope.message, &envelope.to) else {
            return Err("only text messages go to an SMS gateway".to_owned());
        };
        let digits = phone.trim_start_matches('+');
        let national = digits.strip_prefix("84").map(|rest| format!("0{rest}"));
        let secrets = self.secrets.iter();
        let secrets: BTreeMap<&str, &str> =
            secrets.map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect();
        let facts = json!({
            "to": phone, "to_digits": digits,
            "to_national": national.unwrap_or_else(|| phone.clone()),
            "text": sms.text, "id": envelope.delivery, "parts": sms.parts,
            "is_unicode": sms.encoding == SmsEncoding::Ucs2, "secret": secrets,
        });
        let context = text::context(facts).map_err(|fault| fault.to_string())?;
        let render = |engine: &Engine, name: &str| {
            engine.render(name, &context, MAX_REQUEST).map_err(|fault| format!("{name}: {fault}"))
        };
        Ok((render(&self.urls, URL)?, render(&self.bodies, BODY)?))
    }
}

impl Reading {
    fn outcome(&self, reply: &Reply) -> Outcome {
        let body: Value = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        let at = |pointer: &Option<String>| {
            let found = pointer.as_ref().and_then(|pointer| body.pointer(pointer))?;
            Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
        };
        let code = at(&self.code_at).or_else(|| match self.code_at {
            Some(_) => None,
            None => first_word(&reply.body),
        });
        let meaning = code.as_ref().and_then(|code| self.codes.get(code)).copied();
        let is_ok_listed = self.codes.values().any(|meaning| *meaning == Meaning::Ok);
        let verdict = match meaning {
            Some(Meaning::Ok) => Verdict::Accepted { message_id: at(&self.id_at) },
            Some(Meaning::Later) => {
                Verdict::Later { after: reply.retry_after, whole_provider: false }
            }
            Some(Meaning::Refused) => Verdict::Refused,
            Some(Meaning::BadAddress) => Verdict::BadAddress,
            Some(Meaning::Misconfigured) => Verdict::Misconfigured,
            // A success that does not say what success is said to say.
            None if reply.status.is_success() && is_ok_listed => Verdict::Refused,
            None if reply.status.is_success() => Verdict::Accepted { message_id: at(&self.id_at) },
            None => reply.verdict(false),
        };
        let status = reply.status.as_u16();
        let code = code.map_or(status.to_string(), |code| format!("{status} {code}"));
        let answer = Answer::new(Some(code), &reply.body);
        Outcome { verdict, answer, captured: None }
    }
}

/// The first word of a plain answer, such as `0` of `0: Accepted for delivery`.
fn first_word(text: &str) -> Option<String> {
    let word = text.split([':', ' ', '\n', '|', ',']).next()?.trim();
    (!word.is_empty() && word.len() <= 32).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;
    use crate::model::outcome::VerdictClass;

    fn read(reading: &Reading, status: u16, body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        reading.outcome(&Reply { status, retry_after: None, body: body.to_owned() })
    }

    fn reading(pointers: Option<(&str, &str)>, codes: &[(&str, Meaning)]) -> Reading {
        let codes = codes.iter().map(|(code, meaning)| ((*code).to_owned(), *meaning)).collect();
        let (id_at, code_at) = pointers.unzip();
        Reading { id_at: id_at.map(Into::into), code_at: code_at.map(Into::into), codes }
    }

    #[test]
    fn a_gateway_that_always_answers_200_is_read_by_its_codes() {
        let esms = reading(
            Some(("/SMSID", "/CodeResult")),
            &[
                ("100", Meaning::Ok),
                ("124", Meaning::Ok),
                ("99", Meaning::BadAddress),
                ("103", Meaning::Misconfigured),
            ],
        );
        let class = |body| read(&esms, 200, body).verdict.class();

        let accepted = read(&esms, 200, r#"{"CodeResult":"100","SMSID":"abc"}"#);

        let message_id = Some("abc".to_owned());
        assert_eq!(accepted.verdict, Verdict::Accepted { message_id });
        assert_eq!(class(r#"{"CodeResult":"124"}"#), VerdictClass::Accepted);
        assert_eq!(class(r#"{"CodeResult":"99"}"#), VerdictClass::BadAddress);
        assert_eq!(class(r#"{"CodeResult":"103"}"#), VerdictClass::Misconfigured);
        assert_eq!(class(r#"{"CodeResult":"777"}"#), VerdictClass::Refused);
        assert_eq!(class("<html>"), VerdictClass::Refused);
    }

    #[test]
    fn a_gateway_with_plain_answers_is_read_by_the_first_word_or_the_status() {
        let kannel = reading(None, &[("0", Meaning::Ok), ("3", Meaning::Ok)]);
        let class = |status, body| read(&kannel, status, body).verdict.class();

        assert_eq!(class(202, "0: Accepted for delivery"), VerdictClass::Accepted);
        assert_eq!(class(202, "3: Queued for later delivery"), VerdictClass::Accepted);
        assert_eq!(class(403, "Authorization failed"), VerdictClass::Misconfigured);
        assert_eq!(class(503, "Temporal failure, try again later."), VerdictClass::Later);
    }

    #[test]
    fn a_gateway_that_speaks_http_is_read_by_its_status() {
        let plain = reading(Some(("/sid", "/code")), &[("21211", Meaning::BadAddress)]);

        let accepted = read(&plain, 201, r#"{"sid":"SM1","status":"queued"}"#);
        let bad = read(&plain, 400, r#"{"code":21211,"message":"invalid To"}"#);

        assert_eq!(accepted.verdict, Verdict::Accepted { message_id: Some("SM1".to_owned()) });
        assert_eq!(bad.verdict, Verdict::BadAddress);
    }
}
