//! What hostile data makes of a message, as the bytes that a relay gets.
//!
//! Relays differ in what they take for the end of a message: `<LF>.<LF>`, `<CR>.<CR>` and mixtures
//! of them have each let somebody send a second message in another's name.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::config::{self, Sources};
use crate::model::id::DeliveryId;
use crate::model::message::EmailMessage;
use crate::provider::Surroundings as Around;

/// What somebody would put into a field to say more than one field can.
const NASTY: &[&str] = &[
    "a\r\nBcc: evil@evil.test",
    "a\nBcc: evil@evil.test\n\nbody",
    "a\rBcc: evil@evil.test",
    "a\r\n.\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<all@evil.test>\r\nDATA\r\n",
    "a\n.\nMAIL FROM:<evil@evil.test>\n",
    "a\n.\r\nMAIL FROM:<evil@evil.test>\n",
    "a\r.\rMAIL FROM:<evil@evil.test>\r",
    "a\r\n.\nb\n.\rc\r.\nd",
    ".",
    "..\n.\n..",
    "a\0b\u{7}\u{1b}[31m\u{7f}\u{85}\u{9b}",
    "a\u{2028}Bcc: x\u{2029}y\u{202e}z\u{b}\u{c}",
    "=?utf-8?q?=0D=0ABcc:_x?= \"<x@y.test>\", z@y.test; \\",
    "=0D=0A.=0D=0A",
];

/// Takes every message, and keeps what came on each connection as it came.
struct RawRelay {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl RawRelay {
    #[expect(clippy::disallowed_methods, reason = "a test's own relay outlives no test")]
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(converse(stream, &kept).await);
            }
        });
        Self { port, heard, task }
    }
}

impl Drop for RawRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// As strict as the standard: a line ends with CR LF, a message with CR LF dot CR LF.
async fn converse(mut stream: TcpStream, heard: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    stream.write_all(b"220 relay.test\r\n").await?;
    let (mut pending, mut in_message) = (Vec::new(), false);
    loop {
        let end: &[u8] = if in_message { b"\r\n.\r\n" } else { b"\r\n" };
        let Some(at) = pending.windows(end.len()).position(|window| window == end) else {
            if stream.read_buf(&mut pending).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let said: Vec<u8> = pending.drain(..at + end.len()).collect();
        let answer = match (in_message, String::from_utf8_lossy(&said).to_uppercase()) {
            (true, _) => "250 2.0.0 taken\r\n",
            (false, verb) if verb.starts_with("DATA") => "354 go\r\n",
            (false, verb) if verb.starts_with("EHLO") => "250-relay.test\r\n250 8BITMIME\r\n",
            (false, _) => "250 ok\r\n",
        };
        in_message = answer.starts_with("354");
        if answer.starts_with("250 2.0.0") {
            heard.lock().unwrap().extend(said);
        } else {
            heard.lock().unwrap().clear();
        }
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn email() -> EmailMessage {
    EmailMessage {
        from_name: Some("Sao Mai".to_owned()),
        from: "tin@saomai.test".to_owned(),
        reply_to: Some("\"Bao\" <bao@saomai.test>".to_owned()),
        subject: "Subject".to_owned(),
        text: "text".to_owned(),
        html: "<p>html</p>".to_owned(),
        message_id: "<1@saomai.test>".to_owned(),
        unsubscribe_url: Some("https://loa.saomai.test/u/x".to_owned()),
    }
}

/// The names of the header's fields in their order; a folded line belongs to the one before.
fn fields(message: &str) -> Vec<String> {
    let (head, _) = message.split_once("\r\n\r\n").expect("a message has a head");
    let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split(':').next().unwrap().to_lowercase()).collect()
}

struct Sender {
    relay: RawRelay,
    provider: Arc<dyn Provider>,
}

impl Sender {
    async fn start() -> Self {
        let relay = RawRelay::start().await;
        let table = format!(
            "[providers.relay]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
            relay.port
        );
        let (config, _) = config::read(&Sources::defaults().with_text("loa.toml", &table));
        let settings = config.providers.values().next().unwrap();
        let around = Around::new(crate::clock::Clock::system(), &config);
        let provider = crate::provider::build(settings, &around).unwrap();
        Self { relay, provider }
    }

    /// The message as the relay took it, with the dot that ends it.
    async fn hand_over(
        &self,
        email: EmailMessage,
        to_name: Option<&str>,
    ) -> Result<String, String> {
        let at: jiff::Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
        let envelope = Envelope {
            delivery: DeliveryId::new(at),
            attempt: 1,
            event_type: "order.delayed".into(),
            at,
            business_key: None,
            to: Address::email("lan@partner.test").unwrap(),
            to_name: to_name.map(str::to_owned),
            data: Arc::new(json!({})),
            message: Message::Email(Box::new(email)),
        };
        let outcome = self.provider.send(&envelope).await;
        if !matches!(outcome.verdict, Verdict::Accepted { .. }) {
            return Err(format!("{outcome:?}"));
        }
        let heard = self.relay.heard.lock().unwrap().clone();
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }
}

/// Nothing in it ends a message early at any relay, and every line has a length that relays take.
fn assert_whole(message: &str, what: &str) {
    let body = message.strip_suffix("\r\n.\r\n").expect(what);
    let bare = body.replace("\r\n", "");
    assert!(!bare.contains(['\r', '\n', '\0']), "{what}: a bare line break: {body:?}");
    for line in body.split("\r\n") {
        assert!(line.len() <= 998, "{what}: a line of {} bytes", line.len());
        assert_ne!(line, ".", "{what}: a lone dot: {body:?}");
    }
}

/// Puts a text into one field of a message, or into its receiver's name.
type Put = fn(&mut EmailMessage, &mut Option<String>, String);

#[tokio::test]
async fn no_field_says_more_than_itself_to_any_relay() {
    let sender = Sender::start().await;
    let usual = sender.hand_over(email(), Some("Lan")).await.unwrap();
    let expected = fields(&usual);
    let places: [(&str, Put); 7] = [
        ("subject", |email, _, text| email.subject = text),
        ("from_name", |email, _, text| email.from_name = Some(text)),
        ("reply_to", |email, _, text| email.reply_to = Some(format!("\"{text}\" <a@b.test>"))),
        ("reply_to, bare", |email, _, text| email.reply_to = Some(format!("{text} <a@b.test>"))),
        ("to_name", |_, to, text| *to = Some(text)),
        ("text", |email, _, text| email.text = text),
        ("html", |email, _, text| email.html = text),
    ];
    let long = "x".repeat(5000);
    let words = "Đơn hàng ".repeat(300);

    for (place, put) in places {
        for nasty in NASTY.iter().copied().chain([long.as_str(), &words]) {
            let (mut changed, mut to) = (email(), Some("Lan".to_owned()));
            put(&mut changed, &mut to, nasty.to_owned());
            let what = format!("{place}: {}", nasty.escape_debug().take(60).collect::<String>());

            let message = sender.hand_over(changed, to.as_deref()).await.expect(&what);

            assert_whole(&message, &what);
            assert_eq!(fields(&message), expected, "{what}");
        }
    }
}

#[tokio::test]
async fn every_control_character_in_every_name_is_one_space_or_nothing() {
    let sender = Sender::start().await;
    let expected = fields(&sender.hand_over(email(), Some("Lan")).await.unwrap());
    let letters =
        (0..0xa0).chain([0x2028, 0x2029, 0x202e, 0x2066, 0xfeff]).filter_map(char::from_u32);

    for letter in letters {
        let name = format!("An{letter}Lan");
        let changed =
            EmailMessage { from_name: Some(name.clone()), subject: name.clone(), ..email() };
        let what = format!("{letter:?}");

        let message = sender.hand_over(changed, Some(&name)).await.expect(&what);

        assert_whole(&message, &what);
        assert_eq!(fields(&message), expected, "{what}");
    }
}

#[tokio::test]
async fn a_line_of_dots_comes_through_as_it_was_written() {
    let sender = Sender::start().await;
    let changed = EmailMessage { text: "a\n.\n..\n.b\n".to_owned(), ..email() };

    let message = sender.hand_over(changed, None).await.unwrap();

    // Each line that begins with a dot has one more on the way (RFC 5321, 4.5.2).
    assert!(message.contains("a\r\n..\r\n...\r\n..b\r\n"), "{message}");
}
