//! A relay that says and does what a test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpSocket;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinHandle;

use crate::provider::smtp::{Smtp, Tls};

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
    manner: Manner,
    task: JoinHandle<()>,
    pub(super) mails: Arc<Mutex<Vec<String>>>,
    pub(super) connections: Arc<Mutex<u32>>,
}

impl ScriptedRelay {
    #[expect(clippy::disallowed_methods, reason = "a test's own relay outlives no test")]
    pub(super) fn start(manner: Manner, features: &'static [&'static str]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Little, so that a message which nobody reads is soon felt.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<Mutex<u32>> = Arc::default();
        let (kept, counted) = (Arc::clone(&mails), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let kept = Arc::clone(&kept);
                tokio::spawn(async move { converse(stream, manner, features, kept).await });
            }
        });
        Self { port, manner, task, mails, connections }
    }

    pub(super) fn smtp(&self) -> Smtp {
        let mut smtp = super::smtp(self.port, Tls::None);
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

async fn converse(
    stream: tokio::net::TcpStream,
    manner: Manner,
    features: &[&str],
    mails: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    if manner == Manner::HangsAt("") {
        std::future::pending::<()>().await;
    }
    write.write_all(b"220 relay.test ready\r\n").await.ok()?;
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
async fn read_mail(lines: &mut Lines<BufReader<OwnedReadHalf>>, manner: Manner) -> Option<String> {
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
    if manner == Manner::HangsAfterTheDot {
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
