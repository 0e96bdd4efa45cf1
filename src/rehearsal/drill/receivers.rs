//! Receivers on loopback that count every message and can misbehave: HTTP for chat and SMS, SMTP.

mod http;
mod smtp;

use std::io;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::tally::Tally;
use crate::lifecycle::Tasks;
use crate::rehearsal::proxy::Proxy;

/// The longest head of a request or body of a message, in bytes.
const LONGEST: usize = 1 << 20;

/// Both receivers, each behind a proxy of its own.
pub(super) struct Receivers {
    /// The way to webhook, Slack and SMS gateway.
    pub(super) http: Proxy,
    /// The way to the relay.
    pub(super) smtp: Proxy,
    /// What they took.
    pub(super) tally: Arc<Tally>,
}

impl Receivers {
    /// Starts both on free ports of loopback.
    ///
    /// # Errors
    /// When the system gives no port.
    pub(super) async fn start(tally: Tally, tasks: &Tasks) -> io::Result<Self> {
        let tally = Arc::new(tally);
        let http = TcpListener::bind("127.0.0.1:0").await?;
        let smtp = TcpListener::bind("127.0.0.1:0").await?;
        let targets = (http.local_addr()?.to_string(), smtp.local_addr()?.to_string());
        listen(http, &tally, tasks, http::take_requests);
        listen(smtp, &tally, tasks, smtp::take_mails);
        let (http, smtp) = (Proxy::open_way(targets.0).await?, Proxy::open_way(targets.1).await?);
        Ok(Self { http, smtp, tally })
    }

    /// Cuts every connection, and refuses new ones until [`Receivers::open`].
    pub(super) fn close(&self) {
        self.http.close();
        self.smtp.close();
    }

    /// Lets connections through again.
    pub(super) fn open(&self) {
        self.http.open();
        self.smtp.open();
    }
}

/// Serves each connection by `serve`; one that breaks is its sender's affair.
fn listen<F, S>(listener: TcpListener, tally: &Arc<Tally>, tasks: &Tasks, serve: F)
where
    F: Fn(TcpStream, Arc<Tally>) -> S + Send + 'static,
    S: Future<Output = Option<()>> + Send + 'static,
{
    let (tally, all) = (Arc::clone(tally), tasks.clone());
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = serve(stream, Arc::clone(&tally));
            all.spawn(async move {
                served.await;
            });
        }
    });
}

/// Keeps a connection open and says nothing, until the other side has enough.
async fn say_nothing(read: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<()> {
    let mut sink = tokio::io::sink();
    tokio::io::copy(read, &mut sink).await.ok().map(|_| ())
}
