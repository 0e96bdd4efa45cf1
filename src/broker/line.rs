//! One connection to the broker, opened within bounds and named in plain words.

use std::time::Duration;

use lapin::options::BasicQosOptions;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::ExposeSecret;

use crate::config::RabbitSettings;

use super::fault::{Fault, bounded};

/// How long TCP, TLS and handshake may take together.
const CONNECT: Duration = Duration::from_secs(15);
/// How long the broker may take for one answer.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// The longest frame, as RabbitMQ has it by default. lapin keeps room for 32 of them each way:
/// known beforehand, it comes as empty memory of the kernel, of which only what is used is
/// resident. With shorter ones headers of another publisher might not fit, which end the
/// connection.
const FRAME: u32 = 128 * 1024;
/// How long an orderly end may take.
const CLOSE: Duration = Duration::from_secs(5);

/// Opens a connection; `purpose` shows in the broker's own list of connections.
///
/// # Errors
/// A fault that names host, port, virtual host and user, never the password.
pub(super) async fn open(settings: &RabbitSettings, purpose: &str) -> Result<Connection, Fault> {
    let mut uri: AMQPUri = settings.url.expose_secret().parse().map_err(|_: String| {
        // The parser's own text may quote the password.
        Fault::standing("`rabbitmq.url` is no AMQP URL; write amqp://user:password@host:5672/%2f")
    })?;
    let seconds = settings.heartbeat.as_secs().clamp(1, 600);
    uri.query.heartbeat = Some(u16::try_from(seconds).unwrap_or(600));
    uri.query.frame_max.get_or_insert(FRAME);
    let place = place(&uri);
    let properties = ConnectionProperties::default().with_connection_name(purpose.into());
    // A thread of lapin's stays behind when this is given up on a peer that says nothing; waits
    // between tries keep their number small.
    bounded(&place, CONNECT, Connection::connect_uri(uri, properties)).await
}

/// The virtual host of the settings, if their URL can be read.
pub(super) fn virtual_host(settings: &RabbitSettings) -> Option<String> {
    let uri: AMQPUri = settings.url.expose_secret().parse().ok()?;
    Some(uri.vhost)
}

/// Where the broker is, for people.
fn place(uri: &AMQPUri) -> String {
    let AMQPUri { authority, vhost, .. } = uri;
    let user = &authority.userinfo.username;
    format!("RabbitMQ at {}:{} (`{vhost}`, user `{user}`)", authority.host, authority.port)
}

/// A new channel.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, Fault> {
    bounded("opening a channel", STEP, connection.create_channel()).await
}

/// Sets how much the next subscription of `channel` may hold unacknowledged.
pub(super) async fn set_prefetch(channel: &Channel, count: u16) -> Result<(), Fault> {
    let set = channel.basic_qos(count, BasicQosOptions::default());
    bounded("setting the prefetch", STEP, set).await
}

/// Ends a connection in order; if the broker does not answer, it is dropped.
pub(super) async fn close(connection: &Connection) {
    let closed = bounded("closing", CLOSE, connection.close(200, "bye".into())).await;
    if let Err(fault) = closed {
        tracing::debug!(error = fault.text, "dropped a connection that could not be closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_no_password() {
        let uri: AMQPUri = "amqp://loa:canary-secret@rabbit:5671/shop".parse().unwrap();

        assert_eq!(place(&uri), "RabbitMQ at rabbit:5671 (`shop`, user `loa`)");
    }
}
