//! A way to the broker that a test can cut and freeze.

use std::sync::Arc;

use lapin::uri::AMQPUri;
use loa::lifecycle::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::service;

/// What the way does with traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Keeps connections and passes nothing on.
    Frozen,
    /// Cuts connections and takes no new ones.
    Closed,
}

/// Passes bytes on between a port of its own and the broker's, until it is dropped.
pub(crate) struct Proxy {
    /// How Loa reaches the broker this way.
    pub(crate) url: String,
    mode: Arc<watch::Sender<Mode>>,
    tasks: Tasks,
}

impl Proxy {
    pub(crate) async fn open_way() -> Self {
        let mut uri: AMQPUri = service("TEST_AMQP_URL").parse().unwrap();
        let target = format!("{}:{}", uri.authority.host, uri.authority.port);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        "127.0.0.1".clone_into(&mut uri.authority.host);
        uri.authority.port = listener.local_addr().unwrap().port();
        let (mode, tasks) = (Arc::new(watch::Sender::new(Mode::Open)), Tasks::new());
        let (switch, carriers) = (Arc::clone(&mode), tasks.clone());
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *switch.borrow() != Mode::Closed {
                    carriers.spawn(carry(client, target.clone(), switch.subscribe()));
                }
            }
        });
        Self { url: uri.to_string(), mode, tasks }
    }

    pub(crate) fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }

    pub(crate) fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    /// Ends every connection; new ones end at once until [`Proxy::open`].
    pub(crate) fn close(&self) {
        self.mode.send_replace(Mode::Closed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

async fn carry(mut client: TcpStream, target: String, mut mode: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    loop {
        let current = *mode.borrow_and_update();
        let changed = mode.changed();
        match current {
            Mode::Closed => return,
            Mode::Frozen => drop(changed.await),
            Mode::Open => tokio::select! {
                _ = changed => {}
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            },
        }
    }
}
