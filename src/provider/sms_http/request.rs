//! The request of an SMS gateway: a form of templates, filled for each message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handlebars::Context;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::config::Section;
use crate::model::message::{SmsEncoding, SmsMessage};
use crate::provider::Egress;
use crate::text::{self, Engine, Escaping};

/// Names of the templates of body and URL in their engines.
const BODY: &str = "body";
const URL: &str = "url";
/// The key of the templates of headers.
const HEADERS: &str = "headers";
/// The longest request, in bytes.
const MAX_REQUEST: usize = 16 << 10;
/// How national numbers begin in Vietnam, and the country's code that they replace.
const NATIONAL: (&str, &str) = ("0", "84");

/// The templates of one gateway's request, and the secrets that they print.
pub(super) struct Form {
    method: Method,
    url: Engine,
    body: Option<Engine>,
    /// The headers that are the same for every message.
    fixed: HeaderMap,
    /// The templates of the others, each under the header's name.
    headers: Engine,
    header_names: Vec<HeaderName>,
    named: BTreeMap<String, SecretString>,
    /// Password and token: not for templates, but as secret.
    credentials: Vec<SecretString>,
}

/// A request as it goes out.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why a form could not be filled: what is missing in the template under a key of the settings.
#[derive(Debug)]
pub(super) struct Misfill {
    pub(super) key: &'static str,
    pub(super) fault: String,
}

impl Form {
    /// Reads the provider's settings; what is wrong with them goes to the section.
    pub(super) fn read(section: &Section, egress: &Egress) -> Option<Self> {
        let methods = [("GET", Method::GET), ("POST", Method::POST), ("PUT", Method::PUT)];
        let method = section.choice("method", &methods).unwrap_or(Method::POST);
        let url = section.required_text("url");
        let content_type = section.text("content_type");
        let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
        let body = match method {
            Method::GET => section.text(BODY),
            _ => section.required_text(BODY),
        };
        let compile =
            |key: &str, source: String, escaping| compile(section, key, &source, escaping);
        let url = url.and_then(|source| compile(URL, source, Escaping::Url));
        let has_body = body.is_some();
        let body = body.and_then(|source| compile(BODY, source, escaping(&content_type)));
        let mut fixed = HeaderMap::new();
        if has_body {
            put(section, &mut fixed, CONTENT_TYPE, "content_type", &content_type);
        }
        let credentials = authorize(section, &mut fixed);
        let (headers, header_names) = read_headers(section);
        let named = section.secrets("secrets");
        if has_body != body.is_some() {
            return None;
        }
        let url = url?;
        let form = Self { method, url, body, fixed, headers, header_names, named, credentials };
        // Of a secret that could not be read, what its templates lack says nothing new.
        let secrets = section.section("secrets").map_or(0, |table| table.keys().len());
        if secrets == form.named.len() {
            form.rehearse(section, egress);
        }
        Some(form)
    }

    /// Everything that must not be kept of an answer.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.named.values().chain(&self.credentials)
    }

    /// The request for one message; a fault names what is missing, never the message.
    pub(super) fn fill(&self, sms: &SmsMessage, phone: &str, id: &str) -> Result<Request, Misfill> {
        let context = self.context(sms, phone, id);
        let mut headers = self.fixed.clone();
        for name in &self.header_names {
            let misfill = |fault| Misfill { key: HEADERS, fault };
            let value = render(&self.headers, name.as_str(), &context).map_err(misfill)?;
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| misfill(format!("{name}: holds letters that no header takes")))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        let body = match &self.body {
            Some(body) => render(body, BODY, &context)
                .map_err(|fault| Misfill { key: BODY, fault })?
                .into_bytes(),
            None => Vec::new(),
        };
        let url = render(&self.url, URL, &context).map_err(|fault| Misfill { key: URL, fault })?;
        Ok(Request { method: self.method.clone(), url, headers, body })
    }

    fn context(&self, sms: &SmsMessage, phone: &str, id: &str) -> Context {
        let digits = phone.trim_start_matches('+');
        let (zero, country) = NATIONAL;
        let national = digits.strip_prefix(country).map(|rest| format!("{zero}{rest}"));
        let secrets = self.named.iter();
        let secrets: BTreeMap<&str, &str> =
            secrets.map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect();
        text::context(json!({
            "to": phone, "to_digits": digits,
            "to_national": national.unwrap_or_else(|| phone.to_owned()),
            "text": sms.text, "id": id, "parts": sms.parts,
            "is_unicode": sms.encoding == SmsEncoding::Ucs2, "secret": secrets,
        }))
    }

    /// Fills the form once, so that an unknown variable or a URL that must not be called shows
    /// when the settings are checked.
    fn rehearse(&self, section: &Section, egress: &Egress) {
        let sms = SmsMessage { text: "Loa".to_owned(), encoding: SmsEncoding::Gsm7, parts: 1 };
        match self.fill(&sms, "+84901234567", "0") {
            Ok(request) => {
                if let Err(refusal) = egress.url(&request.url) {
                    section.fault(URL, refusal.to_string(), "name a gateway that may be called");
                }
            }
            Err(Misfill { key, fault }) => section.fault(key, fault, "mend this template"),
        }
    }
}

fn escaping(content_type: &str) -> Escaping {
    match content_type {
        json if json.contains("json") => Escaping::Json,
        xml if xml.contains("xml") => Escaping::Html,
        _ => Escaping::Url,
    }
}

fn compile(section: &Section, key: &str, source: &str, escaping: Escaping) -> Option<Engine> {
    let mut engine = Engine::new(escaping);
    match engine.add(key, source) {
        Ok(()) => Some(engine),
        Err(fault) => {
            section.fault(key, fault.to_string(), "mend the template");
            None
        }
    }
}

/// Puts basic authentication or a bearer token into the headers; returns what is secret of it.
fn authorize(section: &Section, headers: &mut HeaderMap) -> Vec<SecretString> {
    let (username, password) = (section.text("username"), section.secret("password"));
    let token = section.secret("bearer_token");
    if section.has("username") != section.has("password") {
        let what = "stands without its other half";
        section.fault("username", what, "give username and password, or neither");
    }
    if password.is_some() && token.is_some() {
        let help = "give a bearer token, or username and password";
        section.fault("username", "stands beside a bearer token", help);
    }
    let pair = username.zip(password.as_ref()).map(|(name, password)| {
        SecretString::from(STANDARD.encode(format!("{name}:{}", password.expose_secret())))
    });
    if let Some(pair) = &pair {
        let value = format!("Basic {}", pair.expose_secret());
        put(section, headers, AUTHORIZATION, "password", &value);
    }
    if let Some(token) = &token {
        let value = format!("Bearer {}", token.expose_secret());
        put(section, headers, AUTHORIZATION, "bearer_token", &value);
    }
    [pair, password, token].into_iter().flatten().collect()
}

fn put(section: &Section, headers: &mut HeaderMap, name: HeaderName, key: &str, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Err(_) => section.fault(key, "holds letters that no header takes", "write ASCII"),
    }
}

/// The templates of `[headers]`, and their names.
fn read_headers(section: &Section) -> (Engine, Vec<HeaderName>) {
    let (mut engine, mut names) = (Engine::new(Escaping::None), Vec::new());
    for (name, source) in section.texts(HEADERS) {
        match name.parse::<HeaderName>() {
            Ok(header) => match engine.add(header.as_str(), &source) {
                Ok(()) => names.push(header),
                Err(fault) => {
                    section.fault("headers", format!("{name}: {fault}"), "mend the template");
                }
            },
            Err(_) => {
                section.fault("headers", format!("`{name}` is no header"), "write such as X-Id");
            }
        }
    }
    (engine, names)
}

fn render(engine: &Engine, name: &str, context: &Context) -> Result<String, String> {
    engine.render(name, context, MAX_REQUEST).map_err(|fault| format!("{name}: {fault}"))
}
