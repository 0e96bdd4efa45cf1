//! A way to a service that can be cut, frozen and closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::lifecycle::Tasks;

/// What the way does with traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Passes everything on.
    Open,
    /// Keeps connections and passes nothing on, as a network that drops packets would.
    Frozen,
    /// Cuts connections and takes no new ones: whoever calls is refused.
    Closed,
}

/// What the way does, and how often it has cut all connections so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    mode: Mode,
    /// Tells a connection of its end even if the way is open again by the time it looks.
    cuts: u64,
}

/// How long a port that was given up may take to be had again.
const REBIND: Duration = Duration::from_millis(20);

/// Passes bytes on between a port of its own and a service, until it is dropped.
pub struct Proxy {
    /// The port of loopback that it listens on.
    pub port: u16,
    state: Arc<watch::Sender<State>>,
    tasks: Tasks,
}

impl Proxy {
    /// An open way to `target` (`host:port`).
    ///
    /// # Errors
    /// When the system gives no port.
    pub async fn open_way(target: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State { mode: Mode::Open, cuts: 0 }));
        let (switch, tasks) = (Arc::clone(&state), Tasks::new());
        let gate = Gate { address, target, switch, carriers: tasks.clone() };
        tasks.spawn(gate.keep(listener));
        Ok(Self { port: address.port(), state, tasks })
    }

    /// Passes everything on again.
    pub fn open(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }

    /// Keeps connections and passes nothing on.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.mode = Mode::Frozen);
    }

    /// Ends every connection; new ones are refused until [`Proxy::open`].
    pub fn close(&self) {
        self.state.send_modify(|state| *state = State { mode: Mode::Closed, cuts: state.cuts + 1 });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

/// What listens for those who want to go through.
struct Gate {
    address: SocketAddr,
    target: String,
    switch: Arc<watch::Sender<State>>,
    carriers: Tasks,
}

impl Gate {
    async fn keep(self, listener: TcpListener) {
        let mut state = self.switch.subscribe();
        let mut open = Some(listener);
        loop {
            let is_closed = state.borrow_and_update().mode == Mode::Closed;
            if is_closed {
                open = None;
            } else if open.is_none() {
                open = TcpListener::bind(self.address).await.ok();
            }
            let Some(listener) = &open else {
                tokio::select! {
                    _ = state.changed() => {}
                    () = tokio::time::sleep(REBIND), if !is_closed => {}
                }
                continue;
            };
            tokio::select! {
                _ = state.changed() => {}
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    self.carriers.spawn(carry(client, self.target.clone(), self.switch.subscribe()));
                }
            }
        }
    }
}

async fn carry(mut client: TcpStream, target: String, mut state: watch::Receiver<State>) {
    let born = *state.borrow_and_update();
    // A service that is away shows as a connection that ends at once.
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    if born.mode == Mode::Open {
        tokio::select! {
            _ = state.changed() => {}
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        }
    }
    // What was under way when it froze is lost, so it goes on only to be cut.
    while *state.borrow_and_update() == (State { mode: Mode::Frozen, ..born }) {
        if state.changed().await.is_err() {
            return;
        }
    }
}
