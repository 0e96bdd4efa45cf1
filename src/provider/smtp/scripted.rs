//! A conversation with a relay that says what it says, whatever it hears.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::AsyncTokioStream;
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::broken::{Broken, Cause, Step};
use super::encoding::to_wire;
use super::mail::Mail;
use super::session::Session;
use super::{Relay, Smtp, Tls, wire};
use crate::model::outcome::{Answer, Outcome};
use crate::provider::secrets::Secrets;

/// What handing over one message comes to when a relay says `answers` and then hangs up.
pub(in crate::provider) fn outcome_of(answers: &[u8], signs_in: bool) -> Outcome {
    let wait = Duration::from_secs(5);
    let relay = Relay {
        host: "relay.test".to_owned(),
        port: 25,
        tls: Tls::None,
        credentials: signs_in.then(|| Credentials::new("loa".to_owned(), "secret".to_owned())),
        command_timeout: wait,
        data_timeout: wait,
        answer_timeout: wait,
    };
    let smtp = Smtp { relay, secrets: Secrets::default(), idle: Mutex::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(hand_over(&smtp, answers.to_vec())),
        Err(error) => Err(Broken::at(Step::Open, Cause::Lost(error.to_string()))),
    };
    smtp.outcome(result)
}

async fn hand_over(smtp: &Smtp, answers: Vec<u8>) -> Result<Answer, Broken> {
    let lost = || Broken::at(Step::Open, Cause::Lost("no address".to_owned()));
    let address = |text: &str| text.parse().map_err(|_| lost());
    let (from, to) = (address("loa@sender.test")?, address("an@receiver.test")?);
    let mail = Mail { from, to, wire: to_wire("Subject: a\r\n\r\n.b\r\n".to_owned()) };
    let hello = ClientId::Domain("loa.test".to_owned());
    let greeted = wire::greet(Box::new(Script { answers, said: 0 }), &hello).await?;
    let session = Session::begin(greeted, &smtp.relay, hello).await?;
    smtp.attempt(session, &mail).await
}

/// Says its answers, then that it has ended; takes whatever it is told.
#[derive(Debug)]
struct Script {
    answers: Vec<u8>,
    said: usize,
}

impl AsyncTokioStream for Script {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, 25).into())
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.answers.get(self.said..).unwrap_or_default();
        let piece = rest.get(..rest.len().min(buffer.remaining())).unwrap_or_default();
        buffer.put_slice(piece);
        let count = piece.len();
        self.said += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
