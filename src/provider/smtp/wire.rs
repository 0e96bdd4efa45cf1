//! Connects to a relay without the delay that small packets suffer by default, and sees when all that
//! was written is on its way.

#![expect(deprecated, reason = "lettre has no other way to begin TLS on a socket of our own")]

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::io::{AsyncRead as _, AsyncWrite as _};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::{AsyncNetworkStream, AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::broken::{Broken, Cause, Step};
use super::{Relay, Tls};

/// A connection that was greeted.
pub(super) struct Greeted {
    pub(super) connection: AsyncSmtpConnection,
    pub(super) written: Written,
}

/// Whether the kernel has taken all that was written on a connection, through TLS too.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Arc<AtomicBool>);

impl Written {
    /// From now on only what is written next counts.
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether something was written, and all of it is on its way.
    pub(super) fn is_all(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connects, begins TLS if it comes first, and takes the greeting.
pub(super) async fn connect(relay: &Relay, hello: &ClientId) -> Result<Greeted, Broken> {
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
) -> Result<Greeted, Broken> {
    let written = Written::default();
    let stream = Box::new(Watched { stream, written: written.clone() });
    let greeting = AsyncSmtpConnection::connect_with_transport(stream, hello);
    Ok(Greeted { connection: unbroken(Step::Open, greeting).await?, written })
}

/// What lettre makes of an answer: it breaks down on some, such as a feature that is all blanks.
pub(super) async fn unbroken<T>(
    step: Step,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Broken> {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answered) => answered.map_err(|error| Broken::of(step, &error)),
        Err(_) => Err(Broken::at(step, Cause::Lost("the answer cannot be read".to_owned()))),
    }
}

/// A stream that says when all that was written is on its way: lettre flushes after each write.
#[derive(Debug)]
struct Watched {
    stream: Box<dyn AsyncTokioStream>,
    written: Written,
}

impl AsyncTokioStream for Watched {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.written.0.store(flushed.is_ok(), Ordering::Relaxed);
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
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
