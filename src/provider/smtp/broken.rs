//! What broke on the way of a message, and how far it had got.

use std::error::Error as _;
use std::io;

use lettre::transport::smtp::Error;

use super::classes;
use crate::model::outcome::Answer;
use crate::provider::secrets::Secrets;

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The connection and the greeting.
    Open,
    /// TLS and credentials.
    Trust,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Receiver,
    /// The wish to send data.
    Data,
    /// The message, before its end.
    Body,
    /// The end of the message: from here on the relay may have taken it.
    End,
}

/// Why a message did not get through.
#[derive(Debug)]
pub(super) enum Cause {
    /// Code and text of the relay.
    Answer(u16, String),
    /// The relay did not answer, or the connection broke.
    Lost(String),
    /// What is configured cannot work: a certificate that is not trusted, no common way to sign in.
    Untrusted(String),
    /// The relay has no way to say this address.
    Unspeakable(String),
}

/// What broke, where and why.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) step: Step,
    pub(super) cause: Cause,
    /// Whether the session may be used again.
    pub(super) keeps_session: bool,
}

impl Broken {
    /// A break after which the session is of no use.
    pub(super) fn at(step: Step, cause: Cause) -> Self {
        Self { step, cause, keeps_session: false }
    }

    /// A break of which the relay knows nothing.
    pub(super) fn kept(step: Step, cause: Cause) -> Self {
        Self { step, cause, keeps_session: true }
    }

    /// A wait that came to its end.
    pub(super) fn silent(step: Step) -> Self {
        Self::at(step, Cause::Lost("no answer in time".to_owned()))
    }

    /// What lettre says of a break.
    pub(super) fn of(step: Step, error: &Error) -> Self {
        let text = innermost(error);
        let cause = match error.status() {
            Some(code) => Cause::Answer(u16::from(code), text),
            // Afterwards it is a break like any other: the relay may have the message.
            None if matches!(step, Step::Open | Step::Trust) && is_tls(error) => {
                Cause::Untrusted(text)
            }
            // No STARTTLS, or no common way to sign in.
            None if step == Step::Trust && error.is_client() => Cause::Untrusted(text),
            None => Cause::Lost(text),
        };
        Self::at(step, cause)
    }

    /// The relay's code, if it answered.
    pub(super) fn code(&self) -> Option<u16> {
        match self.cause {
            Cause::Answer(code, _) => Some(code),
            Cause::Lost(_) | Cause::Untrusted(_) | Cause::Unspeakable(_) => None,
        }
    }

    /// Whether the relay had ended the session before it took anything of the message.
    pub(super) fn is_end_of_session(&self) -> bool {
        let took_nothing = matches!(self.step, Step::Sender | Step::Receiver | Step::Data);
        let is_over = matches!(self.cause, Cause::Answer(421, _) | Cause::Lost(_));
        took_nothing && is_over
    }

    /// The answer to keep.
    pub(super) fn answer(&self, secrets: &Secrets) -> Answer {
        match &self.cause {
            Cause::Answer(code, text) => {
                let enhanced = classes::enhanced(text);
                let code = enhanced.map_or(code.to_string(), |more| format!("{code} {more}"));
                Answer::new(Some(code), &secrets.hide(text))
            }
            Cause::Lost(text) | Cause::Untrusted(text) | Cause::Unspeakable(text) => {
                Answer::new(None, &secrets.hide(text))
            }
        }
    }
}

/// The relay's own words behind lettre's.
fn innermost(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

/// Whether TLS itself failed, such as by a bad certificate, and not the connection below it.
fn is_tls(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        // rustls hides in an I/O error, which does not name it as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>()
            || inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
