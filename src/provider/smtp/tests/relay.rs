//! A relay that says and does what a test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::provider::smtp::{Smtp, Tls, Way};

/// What the relay does that is out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Takes,
    /// Answers a command by these words.
    Says(&'static str, &'static str),
    /// Never says a word at a command; at the greeting, if it is none.
    HangsAt(&'static str),
    /// Refuses the receiver, and never says a word to the reset after it.
    HangsAtReset,
    /// Closes the connection at a command, without a word.
    CutsAt(&'static str),
    /// Says `220` to STARTTLS and closes the connection.
    CutsInTls,
    /// Closes the connection when the first line of a message has come.
    CutsInBody,
    /// Reads no further than the first line of a message.
    HangsInBody,
    CutsAfterTheDot,
    HangsAfterTheDot,
    /// Says what is no answer when the message has ended, and no TLS.
    BabblesAfterTheDot,
    /// Wants more when the message has ended.
    AsksForMore,
    RefusesMessage,
    GreetsOnce,
    /// Closes each connection after its first message.
    ClosesAfterOne,
    /// Says 421 to whatever comes after the first message of a connection.
    IsBusyAfterOne,
}

/// A relay that serves connections until it is dropped, and keeps what it got.
pub(super) struct ScriptedRelay {
    pub(super) port: u16,
    pub(super) manner: Manner,
    pub(super) way: Way,
    /// What trusts its certificate, if it shows one.
    trusting: Option<TlsParameters>,
    task: JoinHandle<()>,
    pub(super) mails: Arc<Mutex<Vec<String>>>,
    pub(super) connections: Arc<Mutex<u32>>,
}

impl ScriptedRelay {
    pub(super) fn start(manner: Manner, features: &'static [&'static str]) -> Self {
        Self::start_by(Way::Open, manner, features)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own relay outlives no test")]
    pub(super) fn start_by(way: Way, manner: Manner, features: &'static [&'static str]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Little, so that a message which nobody reads is soon felt.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<u32>> = Arc::default();
        let (acceptor, trusting) = match way {
            Way::Open => (None, None),
            Way::Upgraded | Way::Implicit => {
                let (acceptor, trusting) = certified();
                (Some(acceptor), Some(trusting))
            }
        };
        let (kept, counted) = (Arc::clone(&mails), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let (kept, acceptor) = (Arc::clone(&kept), acceptor.clone());
                tokio::spawn(async move {
                    let (stream, below) = doubled(stream);
                    let how = (manner, features, below);
                    match (way, acceptor) {
                        (Way::Implicit, Some(acceptor)) => {
                            let stream = acceptor.accept(stream).await.ok()?;
                            converse((stream, true), how, kept).await
                        }
                        (Way::Upgraded, Some(acceptor)) => {
                            let stream = acceptor.accept(before_tls(stream).await?).await.ok()?;
                            converse((stream, false), how, kept).await
                        }
                        _ => converse((stream, true), how, kept).await,
                    }
                });
            }
        });
        Self { port, manner, way, trusting, task, mails, connections }
    }

    pub(super) fn smtp(&self) -> Smtp {
        let tls = match (self.way, self.trusting.clone()) {
            (Way::Upgraded, Some(trusting)) => Tls::Upgraded(trusting),
            (Way::Implicit, Some(trusting)) => Tls::Implicit(trusting),
            _ => Tls::None,
        };
        let mut smtp = super::smtp(self.port, tls);
        if matches!(self.manner, Manner::HangsInBody | Manner::HangsAfterTheDot) {
            let soon = Duration::from_millis(300);
            (smtp.relay.data_timeout, smtp.relay.answer_timeout) = (soon, soon);
        }
        if matches!(self.manner, Manner::HangsAt(_) | Manner::HangsAtReset) {
            smtp.relay.command_timeout = Duration::from_millis(300);
        }
        smtp
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Both sides of a certificate of its own for 127.0.0.1: who shows it, and who trusts it.
fn certified() -> (TlsAcceptor, TlsParameters) {
    super::use_ring();
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let trusted = Certificate::from_der(own.cert.der().to_vec()).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let client = TlsParameters::builder("127.0.0.1".to_owned());
    let client = client.certificate_store(CertificateStore::None).add_root_certificate(trusted);
    (TlsAcceptor::from(Arc::new(server)), client.build_rustls().unwrap())
}

/// The same connection twice, to speak below TLS too.
fn doubled(stream: TcpStream) -> (TcpStream, TcpStream) {
    let stream = stream.into_std().unwrap();
    let below = TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    (TcpStream::from_std(stream).unwrap(), below)
}

/// Greets in the clear, up to where TLS begins.
async fn before_tls(stream: TcpStream) -> Option<BufReader<TcpStream>> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay.test ready\r\n").await.ok()?;
    let mut line = String::new();
    while !line.starts_with("STARTTLS") {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
        let begins = line.starts_with("STARTTLS");
        let answer = if begins { "220 go\r\n" } else { "250-relay.test\r\n250 STARTTLS\r\n" };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
    Some(stream)
}

async fn converse(
    (stream, greets): (impl AsyncRead + AsyncWrite, bool),
    (manner, features, mut below): (Manner, &[&str], TcpStream),
    mails: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    if manner == Manner::HangsAt("") {
        std::future::pending::<()>().await;
    }
    if greets {
        write.write_all(b"220 relay.test ready\r\n").await.ok()?;
    }
    let (mut has_receiver, mut said_hello, mut messages) = (false, false, 0);
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line.split(' ').next()?.to_uppercase();
        let hello = || {
            let features = features.iter().map(|feature| format!("250-{feature}\r\n"));
            format!("250-relay.test\r\n{}250 HELP\r\n", features.collect::<String>())
        };
        let is_over = messages > 0 && verb != "QUIT";
        let answer = match (verb.as_str(), manner) {
            (_, Manner::CutsAt(command)) if command == verb => return None,
            (_, Manner::HangsAt(command)) if command == verb => std::future::pending().await,
            ("RSET", Manner::HangsAtReset) => std::future::pending().await,
            ("RCPT", Manner::HangsAtReset) => "550 5.1.1 no such user\r\n".to_owned(),
            (_, Manner::Says(command, words)) if command == verb => format!("{words}\r\n"),
            (_, Manner::IsBusyAfterOne) if is_over => "421 4.3.2 closing\r\n".to_owned(),
            ("EHLO", Manner::GreetsOnce) if said_hello => "503 5.5.1 duplicate\r\n".to_owned(),
            ("EHLO", _) => hello(),
            ("STARTTLS", Manner::CutsInTls) => {
                write.write_all(b"220 go\r\n").await.ok()?;
                return None;
            }
            ("DATA", _) if !has_receiver => "554 5.5.1 no valid recipients\r\n".to_owned(),
            ("DATA", _) => {
                write.write_all(b"354 go\r\n").await.ok()?;
                let mail = read_mail(&mut lines, manner).await?;
                mails.lock().unwrap().push(mail);
                messages += 1;
                if manner == Manner::BabblesAfterTheDot {
                    below.write_all(b"\xff\xfe\xfd\xfc\xfb\r\n").await.ok()?;
                }
                answer_to_end(manner).await?
            }
            ("QUIT", _) => return None,
            _ => "250 2.0.0 ok\r\n".to_owned(),
        };
        said_hello |= verb == "EHLO";
        has_receiver = (has_receiver || verb == "RCPT") && !answer.starts_with('5');
        write.write_all(answer.as_bytes()).await.ok()?;
        if manner == Manner::ClosesAfterOne && messages > 0 {
            return None;
        }
    }
    Some(())
}

/// Reads a message to its end, if the relay does that.
async fn read_mail(
    lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    manner: Manner,
) -> Option<String> {
    let mut mail = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        if manner == Manner::CutsInBody {
            return None;
        }
        if manner == Manner::HangsInBody {
            std::future::pending::<()>().await;
        }
        if line == "." {
            break;
        }
        mail.push_str(&line);
        mail.push('\n');
    }
    Some(mail)
}

async fn answer_to_end(manner: Manner) -> Option<String> {
    if manner == Manner::CutsAfterTheDot {
        return None;
    }
    if matches!(manner, Manner::HangsAfterTheDot | Manner::BabblesAfterTheDot) {
        std::future::pending::<()>().await;
    }
    let words = if manner == Manner::RefusesMessage {
        "554 5.7.1 looks like spam"
    } else if manner == Manner::AsksForMore {
        "354 go on"
    } else {
        "250 2.0.0 queued"
    };
    Some(format!("{words}\r\n"))
}
