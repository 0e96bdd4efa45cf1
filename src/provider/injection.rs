//! What data that wants to be more than data makes of a request, as a receiver parses it.
//!
//! Each field comes back as exactly its value, line breaks as `\n` and other control characters
//! left out, and nothing beside it: no header, parameter, element or member more than the settings
//! have.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{self, Sources};
use crate::model::id::DeliveryId;
use crate::model::message::{ChatMessage, Message, SmsEncoding, SmsMessage};

/// What somebody writes, and what of it arrives.
const NASTY: &[(&str, &str)] = &[
    ("\",\"to\":\"+84900000000", "\",\"to\":\"+84900000000"),
    ("\\\",\"to\":\"+849\\", "\\\",\"to\":\"+849\\"),
    ("\\u0022,\\n\\", "\\u0022,\\n\\"),
    ("a\r\nX-Evil: 1\r\n\r\nPOST / HTTP/1.1", "a\nX-Evil: 1\n\nPOST / HTTP/1.1"),
    ("a\rb\nc\td", "a\nb\nc\td"),
    ("a&to=+849&text=b;c=d", "a&to=+849&text=b;c=d"),
    ("100% %0d%0aX-Evil:%201 %26 %", "100% %0d%0aX-Evil:%201 %26 %"),
    ("a#b?c=d/../e+f g=h@i:j", "a#b?c=d/../e+f g=h@i:j"),
    ("</text><to>+849</to><text>", "</text><to>+849</to><text>"),
    ("]]><!--&amp;&#10;&lt;x y='z'>", "]]><!--&amp;&#10;&lt;x y='z'>"),
    ("a\0b\u{1}c\u{7}d\u{1b}[31me\u{7f}f\u{85}g\u{9b}h", "abcd[31mefgh"),
    ("a\u{2028}b\u{2029}c\u{202e}d\u{feff}", "a\u{2028}b\u{2029}c\u{202e}d\u{feff}"),
    ("{{to}} {{{secret.key}}} ${to} %s", "{{to}} {{{secret.key}}} ${to} %s"),
    ("`'\"<>&= Đơn hàng ✓", "`'\"<>&= Đơn hàng ✓"),
];

/// A secret with letters that mean something everywhere.
const SECRET: &str = "s\"e\\c&r<e>t%#'+ =/";

/// One request as it came.
#[derive(Debug)]
struct Request {
    target: String,
    /// Lower-case names and values, in the order in which they came.
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The parameters of the target, decoded as a form's are.
    fn query(&self) -> Vec<(String, String)> {
        parameters(self.target.split_once('?').map_or("", |(_, query)| query))
    }
}

fn parameters(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Takes every request and hands it on; it is done when it is dropped.
struct Receiver {
    port: u16,
    requests: mpsc::UnboundedReceiver<Request>,
    task: JoinHandle<()>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "a test's own receiver outlives no test")]
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One request a connection: whatever is behind its body would show as a second one.
                let Some(request) = take(stream).await else { continue };
                taken.send(request).unwrap();
            }
        });
        Self { port, requests, task }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads to the end of what `content-length` says, as strictly as the standard has it.
async fn take(mut stream: TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes) {
            let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.ok()?;
            return Some(request);
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        (name.to_lowercase(), value.trim().to_owned())
    };
    let headers: Vec<_> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let body = body.to_owned();
    (body.len() >= length).then_some(Request { target, headers, body })
}

/// The texts of the elements of `<sms>`, in their order, as an XML parser reads them.
fn elements(xml: &str) -> Vec<(String, String)> {
    let inner = xml.strip_prefix("<sms>").and_then(|rest| rest.strip_suffix("</sms>"));
    let (mut rest, mut found) = (inner.expect("one root element"), Vec::new());
    while !rest.is_empty() {
        let (name, behind) = rest.strip_prefix('<').unwrap().split_once('>').unwrap();
        let (text, behind) = behind.split_once('<').unwrap();
        let end = format!("/{name}>");
        rest = behind.strip_prefix(&end).unwrap_or_else(|| panic!("<{name}> holds <{behind}"));
        assert!(!text.contains("]]>"), "`]]>` must not stand in a text: {text}");
        found.push((name.to_owned(), unescaped(text)));
    }
    found
}

/// A text of XML with its references resolved; one that is none is a fault.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (reference, rest) = part.split_once(';').expect("a reference has an end");
        plain.push(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let hex = number.strip_prefix("#x").expect("a reference that XML knows");
                char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap()
            }
        });
        plain.push_str(rest);
    }
    assert!(plain.chars().all(|c| !c.is_control() || "\n\t".contains(c)), "no letter of XML");
    plain
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A provider that calls `receiver` by these settings.
fn provider(kind: &str, receiver: &Receiver, settings: &str) -> Arc<dyn Provider> {
    let text = format!(
        "[send]\nallow_private_addresses = true\n[providers.one]\nkind = \"{kind}\"\n{settings}"
    );
    let text = text.replace("HERE", &format!("http://127.0.0.1:{}", receiver.port));
    let (config, faults) = config::read(&Sources::defaults().with_text("loa.toml", &text));
    let surroundings = Surroundings::new(Clock::system(), &config);
    let built = build(&config.providers[&"one".into()], &surroundings);
    built.unwrap_or_else(|| panic!("{faults}"))
}

fn envelope(to: Address, message: Message, nasty: &str) -> Envelope {
    let at: jiff::Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
    Envelope {
        delivery: DeliveryId::new(at),
        attempt: 1,
        event_type: "order.delayed".into(),
        at,
        business_key: Some(nasty.to_owned()),
        to,
        to_name: Some(nasty.to_owned()),
        data: Arc::new(json!({ "order": nasty, "list": [nasty] })),
        message,
    }
}

/// Sends a text message; the request, unless nothing was called.
async fn send_text(settings: &str, text: &str) -> Result<Request, Outcome> {
    let mut receiver = Receiver::start().await;
    let secret = toml_text(SECRET);
    let settings = format!("{settings}secrets.key = {secret}\n");
    let provider = provider("sms_http", &receiver, &settings);
    let to = Address::phone("+84901234567", "VN").unwrap();
    let sms = SmsMessage { text: text.to_owned(), encoding: SmsEncoding::Ucs2, parts: 1 };
    let outcome = provider.send(&envelope(to, Message::Sms(sms), text)).await;
    drop(provider);
    let request = receiver.requests.try_recv().map_err(|_| outcome)?;
    assert!(receiver.requests.try_recv().is_err(), "one message made two requests");
    Ok(request)
}

/// A text as TOML writes it: JSON's escapes are among those of TOML.
fn toml_text(text: &str) -> String {
    Value::from(text).to_string()
}

#[tokio::test]
async fn data_in_a_json_body_of_an_sms_gateway_stays_in_its_member() {
    let body = r#"{"to":"{{to}}","text":"{{text}}","key":"{{secret.key}}"}"#;
    for (nasty, arrives) in NASTY {
        let settings = format!("url = \"HERE/send\"\nbody = '{body}'\n");

        let request = send_text(&settings, nasty).await.unwrap();

        let came: Value = serde_json::from_str(&request.body).unwrap();
        let wanted = json!({ "to": "+84901234567", "text": arrives, "key": SECRET });
        assert_eq!(came, wanted, "{nasty:?}");
        assert_eq!(request.body.matches("\"to\":").count(), 1, "a member twice: {}", request.body);
        assert_eq!(request.header("x-evil"), [""; 0]);
    }
}

#[tokio::test]
async fn data_in_an_xml_body_of_an_sms_gateway_stays_in_its_element() {
    let body = "<sms><to>{{to}}</to><text>{{text}}</text><key>{{secret.key}}</key></sms>";
    for (nasty, arrives) in NASTY {
        let settings = format!(
            "url = \"HERE/send\"\ncontent_type = \"text/xml; charset=utf-8\"\nbody = '{body}'\n"
        );

        let request = send_text(&settings, nasty).await.unwrap();

        let wanted = pairs(&[("to", "+84901234567"), ("text", arrives), ("key", SECRET)]);
        assert_eq!(elements(&request.body), wanted, "{nasty:?}");
    }
}

#[tokio::test]
async fn data_in_a_form_of_an_sms_gateway_stays_in_its_field() {
    for (nasty, arrives) in NASTY {
        let settings = "url = \"HERE/send\"\n\
                        content_type = \"application/x-www-form-urlencoded\"\n\
                        body = 'to={{to}}&text={{text}}&key={{secret.key}}'\n";

        let request = send_text(settings, nasty).await.unwrap();

        let wanted = pairs(&[("to", "+84901234567"), ("text", arrives), ("key", SECRET)]);
        assert_eq!(parameters(&request.body), wanted, "{nasty:?}");
    }
}

#[tokio::test]
async fn data_in_the_url_of_an_sms_gateway_stays_in_its_part() {
    for (nasty, arrives) in NASTY {
        let settings = "method = \"GET\"\n\
                        url = \"HERE/to/{{text}}/end?to={{to}}&text={{text}}&key={{secret.key}}\"\n";

        let request = send_text(settings, nasty).await.unwrap();

        let wanted = pairs(&[("to", "+84901234567"), ("text", arrives), ("key", SECRET)]);
        assert_eq!(request.query(), wanted, "{nasty:?}");
        let path = request.target.split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "to", text, "end"] = parts.as_slice() else { panic!("{nasty:?}: {path}") };
        let text = percent_decoded(text);
        assert_eq!(text, *arrives, "{nasty:?}");
        assert_eq!(request.header("host"), [format!("127.0.0.1:{}", port_of(&request))]);
        assert_eq!((request.body.as_str(), request.header("x-evil")), ("", Vec::new()));
    }
}

fn port_of(request: &Request) -> String {
    request.header("host")[0].rsplit(':').next().unwrap().to_owned()
}

/// The plus sign means itself in a path.
fn percent_decoded(text: &str) -> String {
    let form = format!("x={}", text.replace('+', "%2B"));
    parameters(&form).remove(0).1
}

#[tokio::test]
async fn data_in_a_header_of_an_sms_gateway_stays_in_it_or_nothing_is_sent() {
    for (nasty, arrives) in NASTY {
        let settings = "url = \"HERE/send\"\nbody = '{}'\n\
                        headers.X-Text = \"{{text}}\"\nheaders.X-Key = \"{{secret.key}}\"\n";
        // A line break would end the header; every other letter is part of a value.
        let fits = !arrives.contains('\n');

        match send_text(settings, nasty).await {
            Ok(request) => {
                assert!(fits, "{nasty:?} went into a header");
                assert_eq!(request.header("x-text"), [*arrives], "{nasty:?}");
                assert_eq!(request.header("x-key"), [SECRET]);
                assert_eq!(request.header("x-evil"), [""; 0], "{nasty:?}");
                assert_eq!(request.body, "{}");
            }
            Err(outcome) => {
                assert!(!fits, "{nasty:?} fits: {:?}", outcome.answer);
                assert_eq!(outcome.verdict, Verdict::Refused);
                assert!(outcome.answer.text.contains("no header takes"), "{:?}", outcome.answer);
            }
        }
    }
}

#[tokio::test]
async fn data_in_a_body_of_a_webhook_stays_in_its_member() {
    let own = r#"{"text":"{{text}}","to":"{{to_name}}","order":"{{event.order}}","all":[{{#each event.list}}"{{this}}"{{/each}}]}"#;
    for (nasty, arrives) in NASTY {
        let chat = || Message::Chat(ChatMessage { plain: (*nasty).into(), text: (*nasty).into() });
        for body in ["", &format!("body = '{own}'\n")] {
            let mut receiver = Receiver::start().await;
            let settings = format!("url = \"HERE/hook\"\n{body}");
            let provider = provider("webhook", &receiver, &settings);
            let sent = envelope(Address::chat("one").unwrap(), chat(), nasty);

            provider.send(&sent).await;

            let request = receiver.requests.try_recv().unwrap();
            let came: Value = serde_json::from_str(&request.body).unwrap();
            let wanted = match body {
                // As data of its own it is not touched: JSON can hold every letter.
                "" => json!({
                    "type": "order.delayed", "timestamp": "2026-11-23T05:00:00Z",
                    "data": {
                        "delivery_id": sent.delivery, "business_key": nasty, "attempt": 1,
                        "to_name": nasty, "text": nasty, "plain": nasty,
                        "event": { "order": nasty, "list": [nasty] }
                    }
                }),
                _ => json!({
                    "text": arrives, "to": arrives, "order": arrives, "all": [arrives]
                }),
            };
            assert_eq!(came, wanted, "{nasty:?}");
            assert_eq!(request.header("x-evil"), [""; 0]);
        }
    }
}
