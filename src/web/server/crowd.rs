//! Keeps one client from taking every connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::web::auth::one_place;

/// What a client hears that has too many connections open.
const COME_AGAIN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Connection: close\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n\r\n\
    too many connections are open from there.\n";
/// How long saying so may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many connections each household or host has; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    most: usize,
    places: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    from: IpAddr,
}

impl Crowd {
    /// Nobody yet, and at most `most` of one address.
    pub(super) fn of(most: usize) -> Self {
        Self { most, places: Arc::default() }
    }

    /// A place for one more from there, if there is one.
    pub(super) fn let_in(&self, from: IpAddr) -> Option<Place> {
        let from = one_place(from);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(from).or_insert(0);
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Place { crowd: self.clone(), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.crowd.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = places.get_mut(&self.from) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.from);
            }
        }
    }
}

/// Tells a client to come again, without reading what it wants.
pub(super) async fn send_away(mut stream: TcpStream, turn: OwnedSemaphorePermit) {
    let say = async {
        stream.write_all(COME_AGAIN).await?;
        stream.shutdown().await?;
        // Closing on what was not read would break the answer off before it is read there.
        while stream.read(&mut [0; 1024]).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever does not take even that is not waited for.
    timeout(FAREWELL, say).await.ok();
    drop(turn);
}
