//! Conversations with a scripted relay.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::model::id::DeliveryId;
use crate::model::message::EmailMessage;
use crate::model::outcome::VerdictClass;

/// What the relay does at each command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    RefusesReceiver,
    RefusesMessage,
    CutsAfterTheDot,
    HangsAfterTheDot,
    GreetsOnce,
}

/// A relay that serves connections until it is dropped, and keeps what it got.
struct ScriptedRelay {
    port: u16,
    task: JoinHandle<()>,
    mails: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<u32>>,
}

impl ScriptedRelay {
    #[expect(clippy::disallowed_methods, reason = "a test's own relay outlives no test")]
    async fn start(manner: Manner, pipelines: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<u32>> = Arc::default();
        let (kept, counted) = (Arc::clone(&mails), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let kept = Arc::clone(&kept);
                tokio::spawn(async move { converse(stream, manner, pipelines, kept).await });
            }
        });
        Self { port, task, mails, connections }
    }

    fn smtp(&self) -> Smtp {
        let relay = Relay {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            tls: Tls::None,
            credentials: None,
            command_timeout: Duration::from_secs(5),
            data_timeout: Duration::from_millis(300),
        };
        Smtp { relay, idle: Mutex::default() }
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    stream: tokio::net::TcpStream,
    manner: Manner,
    pipelines: bool,
    mails: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 relay.test ready\r\n").await.ok()?;
    let (mut has_receiver, mut said_hello) = (false, false);
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line.split(' ').next()?.to_uppercase();
        let answer = match verb.as_str() {
            "EHLO" if said_hello && manner == Manner::GreetsOnce => "503 5.5.1 duplicate EHLO\r\n",
            "EHLO" if pipelines => "250-relay.test\r\n250 PIPELINING\r\n",
            "EHLO" => "250 relay.test\r\n",
            "RCPT" if manner == Manner::RefusesReceiver => {
                has_receiver = false;
                "550 5.1.1 no such user\r\n"
            }
            "RCPT" => {
                has_receiver = true;
                "250 2.1.5 ok\r\n"
            }
            "DATA" if !has_receiver => "554 5.5.1 no valid recipients\r\n",
            "DATA" => {
                write.write_all(b"354 go\r\n").await.ok()?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await.ok()? {
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                mails.lock().unwrap().push(mail);
                match manner {
                    Manner::CutsAfterTheDot => return None,
                    Manner::HangsAfterTheDot => std::future::pending().await,
                    Manner::RefusesMessage => "554 5.7.1 looks like spam\r\n",
                    Manner::Takes | Manner::RefusesReceiver | Manner::GreetsOnce => {
                        "250 2.0.0 queued\r\n"
                    }
                }
            }
            "QUIT" => return None,
            _ => "250 2.0.0 ok\r\n",
        };
        said_hello |= verb == "EHLO";
        write.write_all(answer.as_bytes()).await.ok()?;
    }
    Some(())
}

fn envelope() -> Envelope {
    let at: jiff::Timestamp = "2026-11-23T05:00:00Z".parse().unwrap();
    Envelope {
        delivery: DeliveryId::new(at),
        attempt: 1,
        event_type: "order.delayed".into(),
        at,
        business_key: None,
        to: Address::email("an@partner.test").unwrap(),
        to_name: Some("Lê An".into()),
        data: Arc::new(json!({})),
        message: Message::Email(Box::new(EmailMessage {
            from_name: Some("Cà phê\r\nBcc: evil@x.test".into()),
            from: "tin@saomai.test".into(),
            reply_to: None,
            subject: "Đơn hàng giao chậm".into(),
            html: "<p>Xin lỗi</p>".into(),
            text: "Xin lỗi\n.\nRCPT TO:<evil@x.test>".into(),
            message_id: "<1@saomai.test>".into(),
            unsubscribe_url: Some("https://loa.test/u/x".into()),
        })),
    }
}

async fn outcome_of(manner: Manner, pipelines: bool) -> (Outcome, ScriptedRelay) {
    let relay = ScriptedRelay::start(manner, pipelines).await;
    let outcome = relay.smtp().deliver(&envelope()).await;
    (outcome, relay)
}

#[tokio::test]
async fn a_message_is_taken_with_every_header_it_needs() {
    for pipelines in [false, true] {
        let (outcome, relay) = outcome_of(Manner::Takes, pipelines).await;

        assert_eq!(outcome.verdict, Verdict::accepted());
        let mails = relay.mails.lock().unwrap();
        let mail = mails.first().unwrap();
        for header in [
            "Message-ID: <1@saomai.test>",
            "Auto-Submitted: auto-generated",
            "List-Unsubscribe: <https://loa.test/u/x>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Date: Mon, 23 Nov 2026 05:00:00 +0000",
        ] {
            assert!(mail.contains(header), "{header} in {mail}");
        }
        assert!(!mail.lines().any(|line| line.starts_with("Bcc:")), "{mail}");
        assert_eq!(mails.len(), 1);
    }
}

#[tokio::test]
async fn a_refused_receiver_is_a_bad_address_and_the_session_is_kept() {
    for pipelines in [false, true] {
        let relay = ScriptedRelay::start(Manner::RefusesReceiver, pipelines).await;
        let smtp = relay.smtp();

        let first = smtp.deliver(&envelope()).await;
        let second = smtp.deliver(&envelope()).await;

        assert_eq!(first.verdict, Verdict::BadAddress);
        assert_eq!(first.answer.code.as_deref(), Some("550 5.1.1"));
        assert_eq!(second.verdict, Verdict::BadAddress);
        assert_eq!(*relay.connections.lock().unwrap(), 1);
    }
}

#[tokio::test]
async fn a_refused_message_is_refused_for_good() {
    let (outcome, _relay) = outcome_of(Manner::RefusesMessage, true).await;

    assert_eq!(outcome.verdict, Verdict::Refused);
}

#[tokio::test]
async fn a_cut_after_the_dot_leaves_the_outcome_unknown() {
    let (outcome, _relay) = outcome_of(Manner::CutsAfterTheDot, true).await;

    assert_eq!(outcome.verdict.class(), VerdictClass::Unknown);
}

#[tokio::test]
async fn a_late_answer_is_unknown_and_never_taken_for_the_next_messages() {
    let relay = ScriptedRelay::start(Manner::HangsAfterTheDot, false).await;
    let smtp = relay.smtp();

    let first = smtp.deliver(&envelope()).await;
    let second = smtp.deliver(&envelope()).await;

    assert_eq!(first.verdict.class(), VerdictClass::Unknown);
    assert_eq!(second.verdict.class(), VerdictClass::Unknown);
    assert_eq!(*relay.connections.lock().unwrap(), 2);
}

#[tokio::test]
async fn one_session_carries_many_messages() {
    let relay = ScriptedRelay::start(Manner::Takes, true).await;
    let smtp = relay.smtp();

    for _ in 0..5 {
        assert_eq!(smtp.deliver(&envelope()).await.verdict, Verdict::accepted());
    }

    assert_eq!(*relay.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_relay_that_is_away_is_tried_later() {
    let port = ScriptedRelay::start(Manner::Takes, true).await.port;
    let relay = Relay {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Tls::None,
        credentials: None,
        command_timeout: Duration::from_secs(5),
        data_timeout: Duration::from_secs(5),
    };
    let smtp = Smtp { relay, idle: Mutex::default() };

    // The listener is gone, or takes nobody: either way nothing was handed over.
    let outcome = smtp.deliver(&envelope()).await;

    assert_eq!(outcome.verdict.class(), VerdictClass::Later);
}

#[tokio::test]
async fn a_relay_that_greets_only_once_still_gets_its_mail() {
    let (outcome, relay) = outcome_of(Manner::GreetsOnce, true).await;

    assert_eq!(outcome.verdict, Verdict::accepted());
    assert_eq!(relay.mails.lock().unwrap().len(), 1);
}
