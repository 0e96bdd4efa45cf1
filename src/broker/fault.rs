//! What went wrong between Loa and the broker, in plain words.

use std::io;
use std::time::Duration;

use lapin::ErrorKind;

/// The broker's code for: this user may not.
pub(super) const REFUSED: u16 = 403;
/// The broker's code for: no such exchange or queue.
pub(super) const NOT_FOUND: u16 = 404;
/// The broker's code for: it exists otherwise than wanted.
pub(super) const MISMATCH: u16 = 406;
/// The broker's code for: not on this virtual host.
const NOT_ALLOWED: u16 = 530;

/// Why a connection is given up; it is always given up as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// A sentence without a full stop: what, and what to do where someone can do something.
    pub(super) text: String,
    /// Whether someone has to mend it, so that trying again soon is of no use.
    pub(super) is_slow: bool,
}

impl Fault {
    /// A fault that may pass by itself.
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_slow: false }
    }

    /// A fault that someone has to mend.
    pub(super) fn standing(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_slow: true }
    }

    /// What `error` means that came while `doing` something.
    pub(super) fn of(doing: &str, error: &lapin::Error) -> Self {
        let text = format!("{doing}: {}", words(error));
        let is_slow = matches!(code(error), Some(REFUSED | NOT_FOUND | MISMATCH | NOT_ALLOWED));
        Self { text, is_slow }
    }
}

/// Waits for `call`, but no longer than `limit`.
///
/// lapin may wait for ever where a broker falls silent or blocks the connection; a call that is
/// given up leaves the connection in an unknown state, so that it must be dropped.
pub(super) async fn bounded<T>(
    doing: &str,
    limit: Duration,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Fault::of(doing, &error)),
        Err(_) => {
            let seconds = limit.as_secs();
            Err(Fault::passing(format!("{doing}: RabbitMQ did not answer within {seconds} s")))
        }
    }
}

/// The AMQP reply code of an error that the broker told.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    let ErrorKind::ProtocolError(told) = error.kind() else { return None };
    Some(told.get_id())
}

/// The error in words for people who know nothing of lapin.
#[expect(clippy::wildcard_enum_match_arm, reason = "lapin's list of errors is open and may grow")]
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => io_words(error),
        ErrorKind::RuntimeShutdownError(_) => "this process is ending".to_owned(),
        ErrorKind::ProtocolError(told) => {
            told.get_message().as_str().trim_end_matches('.').to_owned()
        }
        ErrorKind::MissingHeartbeatError => "no sign of life from the broker".to_owned(),
        ErrorKind::InvalidChannelState(..) => "the channel is closed".to_owned(),
        ErrorKind::InvalidConnectionState(_) => "the connection is closed".to_owned(),
        // The parser's own text may quote what it could not parse.
        ErrorKind::ParsingError(_) => "the broker's answer is not understood".to_owned(),
        _ => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's list of errors is open and grows")]
fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused; is it running there?".to_owned(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotConnected => "the connection was cut".to_owned(),
        _ => error.to_string(),
    }
}
