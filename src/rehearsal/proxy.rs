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
    /// How many connections pass bytes on.
    passing: Arc<watch::Sender<usize>>,
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
        let passing = Arc::new(watch::Sender::new(0));
        let (switch, tasks) = (Arc::clone(&state), Tasks::new());
        let (carriers, counted) = (tasks.clone(), Arc::clone(&passing));
        let gate = Gate { address, target, switch, passing: counted, carriers };
        tasks.spawn(gate.keep(listener));
        Ok(Self { port: address.port(), state, passing, tasks })
    }

    /// Passes everything on again.
    pub fn open(&self) {
        self.state.send_modify(|state| state.mode = Mode::Open);
    }

    /// Keeps connections and passes nothing on; returns once nothing comes through any more.
    pub async fn freeze(&self) {
        self.state.send_modify(|state| state.mode = Mode::Frozen);
        // The sender is this proxy's own, so that the wait ends only as it should.
        self.passing.subscribe().wait_for(|passing| *passing == 0).await.ok();
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
    passing: Arc<watch::Sender<usize>>,
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
                    let passing = Arc::clone(&self.passing);
                    let carrier = Carrier { passing, state: self.switch.subscribe() };
                    self.carriers.spawn(carrier.carry(client, self.target.clone()));
                }
            }
        }
    }
}

/// What passes on the bytes of one connection.
struct Carrier {
    passing: Arc<watch::Sender<usize>>,
    state: watch::Receiver<State>,
}

/// Counts a connection among those that pass bytes on, for as long as it lives.
struct Passing<'a>(&'a watch::Sender<usize>);

impl<'a> Passing<'a> {
    fn begin(passing: &'a watch::Sender<usize>) -> Self {
        passing.send_modify(|count| *count += 1);
        Self(passing)
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Carrier {
    async fn carry(mut self, mut client: TcpStream, target: String) {
        let born = *self.state.borrow_and_update();
        // A service that is away shows as a connection that ends at once.
        let Ok(mut server) = TcpStream::connect(&target).await else { return };
        if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
            return;
        }
        if self.pass_while_open(&mut client, &mut server).await {
            return;
        }
        // What was under way when it froze is lost, so it goes on only to be cut.
        while *self.state.borrow_and_update() == (State { mode: Mode::Frozen, ..born }) {
            if self.state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Passes bytes on until the way changes; whether the connection ended before that.
    async fn pass_while_open(&mut self, client: &mut TcpStream, server: &mut TcpStream) -> bool {
        // Counted before it looks, so that whoever freezes the way either is seen or waits for it.
        let passing = Passing::begin(&self.passing);
        if self.state.borrow_and_update().mode != Mode::Open {
            return false;
        }
        let has_ended = tokio::select! {
            biased;
            _ = self.state.changed() => false,
            _ = tokio::io::copy_bidirectional(client, server) => true,
        };
        drop(passing);
        has_ended
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sent_after_a_way_froze_never_arrives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();

        for _ in 0..200 {
            let way = Proxy::open_way(target.clone()).await.unwrap();
            let mut client = TcpStream::connect(("127.0.0.1", way.port)).await.unwrap();
            client.set_nodelay(true).unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"before").await.unwrap();
            let mut first = [0; 6];
            server.read_exact(&mut first).await.unwrap();

            // The connection passes bytes on at the very moment.
            client.write_all(b"meanwhile").await.unwrap();
            way.freeze().await;
            client.write_all(b"after").await.unwrap();
            way.close();

            let mut rest = Vec::new();
            // A cut connection may end with an error; what came before it is what counts.
            server.read_to_end(&mut rest).await.ok();
            let text = String::from_utf8_lossy(&rest);
            assert!(!text.contains("after"), "{text}");
        }
    }
}
