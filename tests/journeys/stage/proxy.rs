//! A way to the broker that a test can cut and freeze.

use std::ops::Deref;

use lapin::uri::AMQPUri;

use super::{as_loa, service};

/// Passes bytes on between a port of its own and the broker's, until it is dropped; it is Loa's
/// way.
pub(crate) struct Proxy {
    /// How Loa reaches the broker this way.
    pub(crate) url: String,
    way: loa::rehearsal::proxy::Proxy,
}

impl Deref for Proxy {
    type Target = loa::rehearsal::proxy::Proxy;

    fn deref(&self) -> &Self::Target {
        &self.way
    }
}

impl Proxy {
    pub(crate) async fn open_way() -> Self {
        let mut uri: AMQPUri = as_loa(&service("TEST_AMQP_URL")).parse().unwrap();
        let target = format!("{}:{}", uri.authority.host, uri.authority.port);
        let way = loa::rehearsal::proxy::Proxy::open_way(target).await.unwrap();
        "127.0.0.1".clone_into(&mut uri.authority.host);
        uri.authority.port = way.port;
        Self { url: uri.to_string(), way }
    }
}
