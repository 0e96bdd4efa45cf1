//! Conversations with a scripted relay.

mod relay;

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::model::id::DeliveryId;
use crate::model::message::EmailMessage;
use crate::model::outcome::VerdictClass;

use relay::{Manner, ScriptedRelay};

fn smtp(port: u16, tls: Tls) -> Smtp {
    let relay = Relay {
        host: "127.0.0.1".to_owned(),
        port,
        tls,
        credentials: None,
        command_timeout: Duration::from_secs(20),
        data_timeout: Duration::from_secs(20),
        answer_timeout: Duration::from_secs(20),
    };
    Smtp { relay, secrets: Secrets::default(), idle: Mutex::default() }
}

fn use_ring() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

fn tls() -> TlsParameters {
    use_ring();
    TlsParameters::new_rustls("127.0.0.1".to_owned()).unwrap()
}

fn email() -> EmailMessage {
    EmailMessage {
        from_name: Some("Cà phê\r\nBcc: evil@x.test".into()),
        from: "tin@saomai.test".into(),
        reply_to: Some("Lê, Bảo <bao@saomai.test>".into()),
        subject: "Đơn hàng giao chậm".into(),
        html: "<p>Xin lỗi</p>".into(),
        text: "Xin lỗi\n.\nRCPT TO:<evil@x.test>".into(),
        message_id: "<1@saomai.test>".into(),
        unsubscribe_url: Some("https://loa.test/u/x".into()),
    }
}

fn envelope() -> Envelope {
    envelope_of(email())
}

fn envelope_of(email: EmailMessage) -> Envelope {
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
        message: Message::Email(Box::new(email)),
    }
}

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

const FEATURES: [&[&str]; 2] = [&[], &["PIPELINING"]];

async fn outcome_of(manner: Manner) -> (Outcome, ScriptedRelay) {
    let relay = ScriptedRelay::start(manner, FEATURES[1]);
    let outcome = relay.smtp().deliver(&envelope()).await;
    (outcome, relay)
}

/// Each outside failure that is known, and the class that it must have.
const FAILURES: &[(Manner, VerdictClass)] = {
    use VerdictClass::{BadAddress, Later, Misconfigured, Refused, Unknown};
    &[
        (Manner::Takes, VerdictClass::Accepted),
        (Manner::CutsAt("EHLO"), Later),
        (Manner::CutsAt("MAIL"), Later),
        (Manner::CutsAt("DATA"), Later),
        (Manner::Says("MAIL", "550 not you"), Misconfigured),
        (Manner::Says("MAIL", "421 4.3.2 closing"), Later),
        (Manner::Says("RCPT", "550 5.1.1 no such user"), BadAddress),
        (Manner::Says("RCPT", "550 5.7.1 blocked"), Refused),
        (Manner::Says("RCPT", "554 5.7.1 Relay access denied"), Misconfigured),
        (Manner::Says("RCPT", "450 4.2.0 greylisted"), Later),
        (Manner::Says("DATA", "554 5.7.1 no"), Refused),
        (Manner::CutsInBody, Later),
        (Manner::HangsInBody, Later),
        (Manner::RefusesMessage, Refused),
        (Manner::CutsAfterTheDot, Unknown),
        (Manner::HangsAfterTheDot, Unknown),
        (Manner::BabblesAfterTheDot, Unknown),
        // Only 2yz says that the relay has it.
        (Manner::AsksForMore, Unknown),
    ]
};

#[test]
fn an_answer_that_breaks_its_reader_ends_the_session_and_no_more() {
    let blank = b"220 relay.test\r\n250-relay.test\r\n250- \r\n250 HELP\r\n";

    let outcome = scripted::outcome_of(blank, false);

    assert_eq!(outcome.verdict.class(), VerdictClass::Later);
    assert!(outcome.answer.text.contains("cannot be read"), "{:?}", outcome.answer);
}

#[tokio::test]
async fn each_failure_has_its_class_whether_commands_are_pipelined_or_not() {
    for (manner, expected) in FAILURES {
        for features in FEATURES {
            assert_class(&ScriptedRelay::start(*manner, features), *expected).await;
        }
    }
}

#[tokio::test]
async fn each_failure_has_its_class_within_tls_too() {
    for way in [Way::Upgraded, Way::Implicit] {
        for (manner, expected) in FAILURES {
            let relay = ScriptedRelay::start_by(way, *manner, FEATURES[1]);
            assert_class(&relay, *expected).await;
        }
    }
}

/// Fails unless a message to the relay comes to this.
async fn assert_class(relay: &ScriptedRelay, expected: VerdictClass) {
    let (manner, way) = (relay.manner, relay.way);
    let mut email = email();
    if matches!(manner, Manner::CutsInBody | Manner::HangsInBody) {
        // More than the buffers of both ends hold, so that what is cut or hangs is felt.
        email.text = "Sorry, your order is late.\n".repeat(300_000);
    }

    let outcome = relay.smtp().deliver(&envelope_of(email)).await;

    assert_eq!(outcome.verdict.class(), expected, "{manner:?} {way:?}: {:?}", outcome.answer);
}

#[tokio::test]
async fn no_command_is_waited_for_without_end() {
    let deliver = async |smtp: Smtp, what: &str| {
        let delivered = tokio::time::timeout(PATIENCE, smtp.deliver(&envelope())).await;
        delivered.unwrap_or_else(|_| panic!("waited for {what} without end")).verdict.class()
    };

    for command in ["", "EHLO", "MAIL", "RCPT", "DATA"] {
        for features in FEATURES {
            let relay = ScriptedRelay::start(Manner::HangsAt(command), features);
            assert_eq!(deliver(relay.smtp(), command).await, VerdictClass::Later, "{command}");
        }
    }
    let relay = ScriptedRelay::start(Manner::HangsAt("STARTTLS"), &["STARTTLS"]);
    let mut smtp = relay.smtp();
    smtp.relay.tls = Tls::Upgraded(tls());
    assert_eq!(deliver(smtp, "STARTTLS").await, VerdictClass::Later);
    let relay = ScriptedRelay::start(Manner::HangsAt("AUTH"), &["AUTH PLAIN"]);
    let mut smtp = relay.smtp();
    smtp.relay.credentials = Some(Credentials::new("loa".into(), "hush-hush-42".into()));
    assert_eq!(deliver(smtp, "AUTH").await, VerdictClass::Later);
    let relay = ScriptedRelay::start(Manner::HangsAtReset, FEATURES[0]);
    assert_eq!(deliver(relay.smtp(), "RSET").await, VerdictClass::BadAddress);
}

#[tokio::test]
async fn a_cut_while_trust_is_built_is_temporary() {
    let relay = ScriptedRelay::start(Manner::CutsInTls, &["STARTTLS"]);
    let in_tls = smtp(relay.port, Tls::Upgraded(tls())).deliver(&envelope()).await;

    let relay = ScriptedRelay::start(Manner::CutsAt("AUTH"), &["AUTH PLAIN"]);
    let mut smtp = relay.smtp();
    smtp.relay.credentials = Some(Credentials::new("loa".into(), "hush-hush-42".into()));
    let in_auth = smtp.deliver(&envelope()).await;

    assert_eq!(in_tls.verdict.class(), VerdictClass::Later, "{:?}", in_tls.answer);
    assert_eq!(in_auth.verdict.class(), VerdictClass::Later, "{:?}", in_auth.answer);
}

#[tokio::test]
async fn tls_that_fails_by_itself_is_a_misconfiguration() {
    let relay = ScriptedRelay::start(Manner::Takes, FEATURES[0]);

    // What the relay says in the clear is no TLS; a bad certificate fails in the same way.
    let implicit = smtp(relay.port, Tls::Implicit(tls())).deliver(&envelope()).await;
    let upgraded = smtp(relay.port, Tls::Upgraded(tls())).deliver(&envelope()).await;

    assert_eq!(implicit.verdict, Verdict::Misconfigured, "{:?}", implicit.answer);
    assert_eq!(upgraded.verdict, Verdict::Misconfigured, "{:?}", upgraded.answer);
}

#[tokio::test]
async fn credentials_that_a_relay_repeats_are_not_kept() {
    let manner = Manner::Says("AUTH", "535 5.7.8 wrong password hush-hush-42");
    let relay = ScriptedRelay::start(manner, &["AUTH PLAIN"]);
    let mut smtp = relay.smtp();
    smtp.relay.credentials = Some(Credentials::new("loa".into(), "hush-hush-42".into()));
    smtp.secrets = Secrets::new(&[SecretString::from("hush-hush-42")]);

    let outcome = smtp.deliver(&envelope()).await;

    assert_eq!(outcome.verdict, Verdict::Misconfigured);
    assert_eq!(outcome.answer.text, "5.7.8 wrong password [secret]");
}

#[tokio::test]
async fn a_kept_session_that_ended_is_replaced_at_once() {
    for manner in [Manner::ClosesAfterOne, Manner::IsBusyAfterOne] {
        for features in FEATURES {
            let relay = ScriptedRelay::start(manner, features);
            let smtp = relay.smtp();

            for _ in 0..3 {
                let outcome = smtp.deliver(&envelope()).await;
                assert_eq!(outcome.verdict, Verdict::accepted(), "{manner:?} {features:?}");
            }

            assert_eq!(*relay.connections.lock().unwrap(), 3);
        }
    }
}

#[tokio::test]
async fn letters_beyond_ascii_need_a_relay_that_takes_them() {
    let mut envelope = envelope();
    envelope.to = Address::email("lê.an@bücher.test").unwrap();
    let old = ScriptedRelay::start(Manner::Takes, FEATURES[0]);
    let new = ScriptedRelay::start(Manner::Takes, &["SMTPUTF8"]);

    let refused = old.smtp().deliver(&envelope).await;
    let taken = new.smtp().deliver(&envelope).await;

    assert_eq!(refused.verdict, Verdict::BadAddress);
    assert!(refused.answer.text.contains("SMTPUTF8"), "{}", refused.answer.text);
    assert_eq!(taken.verdict, Verdict::accepted());
    assert!(
        new.mails.lock().unwrap()[0]
            .contains("To: =?utf-8?b?TMOqIEFu?= <lê.an@xn--bcher-kva.test>")
    );
}

#[tokio::test]
async fn a_message_is_taken_with_every_header_it_needs() {
    for features in FEATURES {
        let relay = ScriptedRelay::start(Manner::Takes, features);
        let outcome = relay.smtp().deliver(&envelope()).await;

        assert_eq!(outcome.verdict, Verdict::accepted());
        let mails = relay.mails.lock().unwrap();
        let mail = mails.first().unwrap();
        for header in [
            "Message-ID: <1@saomai.test>",
            "Auto-Submitted: auto-generated",
            "List-Unsubscribe: <https://loa.test/u/x>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "Date: Mon, 23 Nov 2026 05:00:00 +0000",
            "Reply-To: =?utf-8?b?TMOqLCBC4bqjbw==?= <bao@saomai.test>",
        ] {
            assert!(mail.contains(header), "{header} in {mail}");
        }
        assert!(!mail.lines().any(|line| line.starts_with("Bcc:")), "{mail}");
        assert_eq!(mails.len(), 1);
    }
}

#[tokio::test]
async fn a_refused_receiver_is_a_bad_address_and_the_session_is_kept() {
    for features in FEATURES {
        let manner = Manner::Says("RCPT", "550 5.1.1 no such user");
        let relay = ScriptedRelay::start(manner, features);
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
async fn a_late_answer_is_unknown_and_never_taken_for_the_next_messages() {
    let relay = ScriptedRelay::start(Manner::HangsAfterTheDot, FEATURES[0]);
    let smtp = relay.smtp();

    let first = smtp.deliver(&envelope()).await;
    let second = smtp.deliver(&envelope()).await;

    assert_eq!(first.verdict.class(), VerdictClass::Unknown);
    assert_eq!(second.verdict.class(), VerdictClass::Unknown);
    assert_eq!(*relay.connections.lock().unwrap(), 2);
}

#[tokio::test]
async fn one_session_carries_many_messages() {
    let relay = ScriptedRelay::start(Manner::Takes, FEATURES[1]);
    let smtp = relay.smtp();

    for _ in 0..5 {
        assert_eq!(smtp.deliver(&envelope()).await.verdict, Verdict::accepted());
    }

    assert_eq!(*relay.connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_relay_that_is_away_is_tried_later() {
    let port = ScriptedRelay::start(Manner::Takes, FEATURES[1]).port;
    let smtp = smtp(port, Tls::None);

    // The listener is gone, or takes nobody: either way nothing was handed over.
    let outcome = smtp.deliver(&envelope()).await;

    assert_eq!(outcome.verdict.class(), VerdictClass::Later);
}

#[tokio::test]
async fn a_relay_that_greets_only_once_still_gets_its_mail() {
    let (outcome, relay) = outcome_of(Manner::GreetsOnce).await;

    assert_eq!(outcome.verdict, Verdict::accepted());
    assert_eq!(relay.mails.lock().unwrap().len(), 1);
}
