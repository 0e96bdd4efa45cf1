//! A way to RabbitMQ that a test can cut, close and freeze.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::lifecycle::Tasks;

/// What the way does with traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Keeps connections and passes nothing on.
    Frozen,
    /// Cuts connections and takes no new ones.
    Closed,
}

/// Passes bytes on between a port of its own and RabbitMQ's.
pub(super) struct Proxy {
    pub(super) port: u16,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    /// A way that is closed until [`Proxy::open`].
    pub(super) async fn closed(target: String, tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Closed));
        let (switch, carriers) = (Arc::clone(&mode), tasks.clone());
        tasks.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *switch.borrow() == Mode::Closed {
                    continue;
                }
                // A broker that is away shows as a connection that ends at once.
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                carriers.spawn(carry(client, server, switch.subscribe()));
            }
        });
        Self { port, mode }
    }

    pub(super) fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }

    pub(super) fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    /// Ends every connection; new ones end at once until [`Proxy::open`].
    pub(super) fn close(&self) {
        self.mode.send_replace(Mode::Closed);
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, mut mode: watch::Receiver<Mode>) {
    loop {
        let current = *mode.borrow_and_update();
        let changed = mode.changed();
        match current {
            Mode::Closed => return,
            Mode::Frozen => changed.await.unwrap(),
            Mode::Open => tokio::select! {
                _ = changed => {}
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            },
        }
    }
}
