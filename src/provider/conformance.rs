//! What every kind that speaks HTTP makes of each failure of the world outside, in one table.

mod connections;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::config::{self, Sources};
use crate::model::id::DeliveryId;
use crate::model::message::{ChatMessage, Message, SmsEncoding, SmsMessage};
use crate::model::outcome::Obstacle;

/// What the gateway does once it has read a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Says this and closes the connection.
    Says(&'static str),
    /// Says 200 and a megabyte.
    SaysTooMuch,
    /// Closes the connection without a word.
    Cuts,
    /// Never says a word.
    Hangs,
}

use Manner::{Cuts, Hangs, Says, SaysTooMuch};

/// The providers that are tried, and whether the URL is the address's own.
const TRIED: [(&str, bool); 5] =
    [("slack", false), ("slack", true), ("hook", false), ("hook", true), ("gateway", false)];

/// Each failure with what `slack`, `slack` at an address's own URL, `webhook`, the same at an
/// address's own URL, and `sms_http` make of it.
const TABLE: &[(&str, Manner, [&str; 5])] = &[
    (
        "success",
        Says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ["accepted", "accepted", "accepted", "accepted", "accepted"],
    ),
    (
        "a success that is none of the gateway's",
        Says("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>sign in"),
        ["refused", "refused", "accepted", "accepted", "refused"],
    ),
    (
        "busy, with seconds",
        Says("HTTP/1.1 429 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
        ["later 7 s, all", "later 7 s", "later 7 s, all", "later 7 s", "later 7 s, all"],
    ),
    (
        "busy, with a date",
        Says(
            "HTTP/1.1 429 Busy\r\nRetry-After: Mon, 23 Nov 2026 05:02:00 GMT\r\n\
             Content-Length: 0\r\n\r\n",
        ),
        ["later 120 s, all", "later 120 s", "later 120 s, all", "later 120 s", "later 120 s, all"],
    ),
    (
        "an error of the gateway",
        Says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        ["later", "later", "later", "later", "later"],
    ),
    (
        "an error whose body breaks off",
        Says("HTTP/1.1 500 Oops\r\nContent-Length: 99\r\n\r\nok"),
        ["later", "later", "later", "later", "later"],
    ),
    (
        "maintenance",
        Says("HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"),
        ["later, all", "later", "later, all", "later", "later, all"],
    ),
    (
        "a message it does not like",
        Says("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"),
        ["refused", "refused", "refused", "refused", "refused"],
    ),
    (
        "credentials it does not like",
        Says("HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n"),
        ["misconfigured", "refused", "misconfigured", "refused", "misconfigured"],
    ),
    (
        "access denied",
        Says("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        ["misconfigured", "refused", "misconfigured", "refused", "misconfigured"],
    ),
    (
        "nothing there",
        Says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ["misconfigured", "bad_address", "misconfigured", "bad_address", "misconfigured"],
    ),
    (
        "nothing there any more",
        Says("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"),
        ["misconfigured", "bad_address", "misconfigured", "bad_address", "misconfigured"],
    ),
    (
        "a redirect",
        Says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"),
        ["misconfigured", "refused", "misconfigured", "refused", "misconfigured"],
    ),
    ("no answer", Hangs, ["unknown", "unknown", "unknown", "unknown", "unknown"]),
    ("a cut before the answer", Cuts, ["unknown", "unknown", "unknown", "unknown", "unknown"]),
    (
        "a cut within the answer's body",
        Says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok"),
        ["unknown", "unknown", "accepted", "accepted", "unknown"],
    ),
    (
        "garbage",
        Says("\x01\x02 what? \r\n\r\n"),
        ["unknown", "unknown", "unknown", "unknown", "unknown"],
    ),
    ("a huge body", SaysTooMuch, ["refused", "refused", "accepted", "accepted", "refused"]),
];

/// A gateway that serves connections until it is dropped.
struct ScriptedGateway {
    port: u16,
    task: JoinHandle<()>,
}

impl ScriptedGateway {
    #[expect(clippy::disallowed_methods, reason = "a test's own gateway outlives no test")]
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, manner));
            }
        });
        Self { port, task }
    }
}

impl Drop for ScriptedGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, manner: Manner) -> Option<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    match manner {
        Says(answer) => {
            // A connection that ends is not to be used again.
            let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
        SaysTooMuch => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&vec![b'x'; 1 << 20]).await.ok()?;
        }
        Cuts => {}
        Hangs => std::future::pending().await,
    }
    stream.shutdown().await.ok()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase();
    let length =
        length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// One provider of each kind that speaks HTTP, all with the same gateway.
fn providers(port: u16, allows_private: bool) -> BTreeMap<String, Arc<dyn Provider>> {
    providers_within("20s", port, allows_private)
}

fn providers_within(
    timeout: &str,
    port: u16,
    allows_private: bool,
) -> BTreeMap<String, Arc<dyn Provider>> {
    let text = format!(
        "[send]\nallow_private_addresses = {allows_private}\n\
         [providers.slack]\nkind = \"slack\"\ntimeout = \"{timeout}\"\n\
         url = \"https://127.0.0.1:{port}/secret-hook\"\n\
         [providers.hook]\nkind = \"webhook\"\ntimeout = \"{timeout}\"\n\
         url = \"https://127.0.0.1:{port}/secret-hook\"\n\
         body = '{{\"text\":\"{{{{text}}}}\",\"order\":\"{{{{event.order}}}}\"}}'\n\
         [providers.gateway]\nkind = \"sms_http\"\ntimeout = \"{timeout}\"\n\
         url = \"https://127.0.0.1:{port}/send?key={{{{secret.key}}}}\"\n\
         body = '{{\"to\":\"{{{{to}}}}\",\"text\":\"{{{{text}}}}\"}}'\n\
         codes.ok = [\"ok\"]\nsecrets.key = \"secret-hook\"\n"
    );
    // Loopback needs no TLS.
    let text = text.replace("https://127", "http://127");
    let (config, faults) = config::read(&Sources::defaults().with_text("loa.toml", &text));
    let surroundings = Surroundings::new(Clock::system(), &config);
    let built = config.providers.iter().map(|(name, settings)| {
        let provider = build(settings, &surroundings);
        (name.to_string(), provider.unwrap_or_else(|| panic!("{name}: {faults}")))
    });
    built.collect()
}

fn envelope(to: Address) -> Envelope {
    let at: jiff::Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
    let text = "Đơn hàng giao chậm".to_owned();
    let message = match &to {
        Address::Sms { .. } => {
            Message::Sms(SmsMessage { text, encoding: SmsEncoding::Ucs2, parts: 1 })
        }
        Address::Chat { .. } | Address::Email { .. } => {
            Message::Chat(ChatMessage { plain: text.clone(), text })
        }
    };
    Envelope {
        delivery: DeliveryId::new(at),
        attempt: 1,
        event_type: "order.delayed".into(),
        at,
        business_key: None,
        to,
        to_name: None,
        data: Arc::new(json!({ "order": "DH-1" })),
        message,
    }
}

fn address(provider: &str, own_url: Option<&str>) -> Address {
    match (provider, own_url) {
        ("gateway", _) => Address::phone("+84901234567", "VN").unwrap(),
        (_, Some(url)) => Address::chat(&format!("{provider}:{url}")).unwrap(),
        (_, None) => Address::chat(provider).unwrap(),
    }
}

fn told(verdict: &Verdict) -> String {
    let class = verdict.class().as_str();
    let Verdict::Later { after, obstacle } = verdict else { return class.to_owned() };
    let after = after.map(|after| format!(" {} s", after.as_secs())).unwrap_or_default();
    format!("{class}{after}{}", if *obstacle == Obstacle::Provider { ", all" } else { "" })
}

#[tokio::test]
async fn each_failure_has_its_class_at_each_kind() {
    for (failure, manner, expected) in TABLE {
        let gateway = ScriptedGateway::start(*manner).await;
        let timeout = if matches!(manner, Hangs) { "300ms" } else { "20s" };
        let providers = providers_within(timeout, gateway.port, true);
        let own_url = format!("http://127.0.0.1:{}/partner", gateway.port);
        for ((name, is_own), expected) in TRIED.iter().zip(expected) {
            let to = address(name, is_own.then_some(own_url.as_str()));

            let outcome = providers[*name].send(&envelope(to)).await;

            let answer = &outcome.answer;
            assert_eq!(told(&outcome.verdict), *expected, "{failure}, {name} {is_own}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_is_away_is_tried_later() {
    let port = ScriptedGateway::start(Cuts).await.port;
    let providers = providers(port, true);

    for (name, _) in TRIED {
        // Depending on how fast the listener goes, the call is refused or cut.
        let outcome = providers[name].send(&envelope(address(name, None))).await;

        let told = told(&outcome.verdict);
        assert!(["later", "unknown"].contains(&told.as_str()), "{name}: {told}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_to_stand_sent_nothing() {
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody takes what is in the queue, and once it is full the system answers nobody.
    let mut queue = Vec::new();
    let full = Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(full, TcpStream::connect(("127.0.0.1", port))).await
    {
        queue.push(stream.unwrap());
    }
    let providers = providers_within("600ms", port, true);

    for name in ["slack", "hook", "gateway"] {
        let outcome = providers[name].send(&envelope(address(name, None))).await;

        assert_eq!(told(&outcome.verdict), "later", "{name}: {:?}", outcome.answer);
    }
}

#[tokio::test]
async fn secrets_that_a_gateway_repeats_are_not_kept() {
    let answer = "HTTP/1.1 400 Bad\r\nContent-Length: 26\r\n\r\nnot at /secret-hook, no no";
    let gateway = ScriptedGateway::start(Says(answer)).await;
    let providers = providers(gateway.port, true);

    for name in ["slack", "hook", "gateway"] {
        let outcome = providers[name].send(&envelope(address(name, None))).await;

        assert!(outcome.answer.text.contains("[secret]"), "{name}: {:?}", outcome.answer);
        assert!(!outcome.answer.text.contains("hook"), "{name}: {:?}", outcome.answer);
    }
}

#[tokio::test]
async fn an_own_url_that_must_not_be_called_blames_its_address() {
    let providers = providers(9999, false);

    for name in ["slack", "hook"] {
        let to = address(name, Some("https://10.0.0.1/x"));
        let outcome = providers[name].send(&envelope(to.clone())).await;

        assert_eq!(outcome.verdict, Verdict::Refused, "{name}");
        assert!(providers[name].leads_elsewhere(&to), "{name}");
        assert!(!providers[name].leads_elsewhere(&address(name, None)), "{name}");
    }
}

#[test]
fn every_kind_knows_the_key_by_which_its_refusal_says_that_an_address_is_allowed() {
    for kind in ["slack", "webhook", "sms_http"] {
        let faults = |more: &str| {
            let text =
                format!("[providers.x]\nkind = \"{kind}\"\nurl = \"https://10.1.2.3/x\"\n{more}");
            let (config, faults) = config::read(&Sources::defaults().with_text("t", &text));
            build(&config.providers[&"x".into()], &Surroundings::new(Clock::system(), &config));
            faults.to_string()
        };
        let method = if kind == "sms_http" { "method = \"GET\"\n" } else { "" };

        assert!(faults(method).contains("`allow_addresses`"), "{kind}: {}", faults(method));
        let allowed = format!("{method}allow_addresses = [\"10.1.0.0/16\"]\n");
        assert_eq!(faults(&allowed), "", "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_render_fails_its_delivery_alone() {
    let providers = providers(9999, true);
    let mut envelope = envelope(address("hook", None));
    envelope.data = Arc::new(json!({}));

    let outcome = providers["hook"].send(&envelope).await;

    assert_eq!(outcome.verdict, Verdict::Refused);
    assert!(outcome.answer.text.contains("event.order"), "{}", outcome.answer.text);
}
