//! Connects to a relay without the delay that small packets suffer by default.

#![expect(deprecated, reason = "lettre has no other way to begin TLS on a socket of our own")]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead as _, AsyncWrite as _};
use lettre::transport::smtp::client::{AsyncNetworkStream, AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::broken::{Broken, Cause, Step};
use super::{Relay, Tls};

/// Connects, begins TLS if it comes first, and takes the greeting.
pub(super) async fn connect(
    relay: &Relay,
    hello: &ClientId,
) -> Result<AsyncSmtpConnection, Broken> {
    let lost = |error: io::Error| Broken::at(Step::Open, Cause::Lost(error.to_string()));
    let stream = TcpStream::connect((relay.host.as_str(), relay.port)).await.map_err(lost)?;
    // Without this each message waits 40 ms for an acknowledgement.
    stream.set_nodelay(true).map_err(lost)?;
    let stream: Box<dyn AsyncTokioStream> = match &relay.tls {
        Tls::None | Tls::Upgraded(_) => Box::new(stream),
        Tls::Implicit(parameters) => {
            let mut stream = AsyncNetworkStream::use_existing_tokio1(Box::new(stream));
            let begun = stream.upgrade_tls(parameters.clone()).await;
            begun.map_err(|error| Broken::of(Step::Trust, &error))?;
            Box::new(Secured(stream))
        }
    };
    greet(stream, hello).await
}

/// Takes the greeting.
pub(super) async fn greet(
    stream: Box<dyn AsyncTokioStream>,
    hello: &ClientId,
) -> Result<AsyncSmtpConnection, Broken> {
    let greeted = AsyncSmtpConnection::connect_with_transport(stream, hello).await;
    greeted.map_err(|error| Broken::of(Step::Open, &error))
}

/// A stream that has begun TLS, as lettre takes streams.
#[derive(Debug)]
struct Secured(AsyncNetworkStream);

impl AsyncTokioStream for Secured {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(context, buffer.initialize_unfilled());
        read.map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}
