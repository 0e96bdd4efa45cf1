//! One connection to a relay, kept over many messages, every wait bounded.

use std::fmt::Display;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Ehlo, Mail as MailCommand, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::mail::Mail;
use super::{Relay, Tls};
use crate::model::outcome::Answer;

/// How long an idle session is kept: shorter than relays do.
const IDLE: Duration = Duration::from_secs(30);
/// How many messages go over one session.
const MESSAGES: u32 = 200;

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The session could not be opened.
    Open,
    /// The relay does not know us: TLS or credentials.
    Trust,
    /// Sender, receiver, or the wish to send data.
    Envelope,
    /// The message was handed over, and what came of it is not known for sure.
    Message,
}

/// What broke, and what the relay said.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) step: Step,
    /// Code and text of the relay; none if it did not answer.
    pub(super) answer: Option<(u16, String)>,
    pub(super) text: String,
    /// Whether the session may be used again.
    pub(super) keeps_session: bool,
}

impl Broken {
    fn lost(step: Step, text: impl Into<String>) -> Self {
        Self { step, answer: None, text: text.into(), keeps_session: false }
    }

    fn of(step: Step, error: &Error) -> Self {
        let answer = error.status().map(|code| (u16::from(code), causes(error)));
        Self { step, answer, text: causes(error), keeps_session: false }
    }

    pub(super) fn into_answer(self) -> Answer {
        match self.answer {
            Some((code, text)) => {
                let enhanced = super::classes::enhanced(&text);
                let code = enhanced.map_or(code.to_string(), |more| format!("{code} {more}"));
                Answer::new(Some(code), &text)
            }
            None => Answer::new(None, &self.text),
        }
    }
}

/// The relay's own words behind lettre's.
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

/// A connection to a relay.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    pipelines: bool,
    messages: u32,
    idle_since: Instant,
}

impl Session {
    /// Connects, and makes itself known.
    pub(super) async fn open(relay: &Relay) -> Result<Self, Broken> {
        let opened = timeout(relay.command_timeout, Self::open_unbounded(relay)).await;
        opened.unwrap_or_else(|_| Err(Broken::lost(Step::Open, "no answer in time")))
    }

    async fn open_unbounded(relay: &Relay) -> Result<Self, Broken> {
        let hello = ClientId::default();
        let open = |error: Error| Broken::of(Step::Open, &error);
        let trust = |error: Error| Broken::of(Step::Trust, &error);
        let mut connection = match relay.tls {
            Tls::Implicit => {
                let tls = tls(relay)?;
                let place = (relay.host.as_str(), relay.port);
                AsyncSmtpConnection::connect_tokio1(place, None, &hello, Some(tls), None)
                    .await
                    .map_err(open)?
            }
            Tls::None | Tls::Upgraded => {
                let place = (relay.host.as_str(), relay.port);
                let lost = |error: std::io::Error| Broken::lost(Step::Open, error.to_string());
                let stream = TcpStream::connect(place).await.map_err(lost)?;
                // Without this each message waits 40 ms for an acknowledgement.
                stream.set_nodelay(true).map_err(lost)?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello)
                    .await
                    .map_err(open)?
            }
        };
        if relay.tls == Tls::Upgraded {
            connection.starttls(tls(relay)?, &hello).await.map_err(trust)?;
        }
        if let Some(credentials) = &relay.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&mechanisms, credentials).await.map_err(trust)?;
        }
        // lettre forgets this feature. A relay that will not say it twice gets one command a time.
        let pipelines = match connection.command(Ehlo::new(hello)).await {
            Ok(features) => features.message().any(|line| line.eq_ignore_ascii_case("PIPELINING")),
            Err(error) if error.status().is_some() => false,
            Err(error) => return Err(open(error)),
        };
        Ok(Self { connection, pipelines, messages: 0, idle_since: Instant::now() })
    }

    /// Whether it was idle so long that the relay may have closed it.
    pub(super) fn is_stale(&self) -> bool {
        self.idle_since.elapsed() > IDLE
    }

    /// Whether it has carried enough.
    pub(super) fn is_worn(&self) -> bool {
        self.messages >= MESSAGES
    }

    /// Hands one message over, once.
    pub(super) async fn send(&mut self, mail: &Mail, relay: &Relay) -> Result<Answer, Broken> {
        self.messages += 1;
        self.idle_since = Instant::now();
        let sender = MailCommand::new(Some(mail.from.clone()), Vec::new());
        let receiver = Rcpt::new(mail.to.clone(), Vec::new());
        if self.pipelines {
            self.envelope_at_once(&sender, &receiver, relay).await?;
        } else {
            self.envelope_step(&sender, relay).await?;
            self.envelope_step(&receiver, relay).await?;
            self.envelope_step(&Data, relay).await?;
        }
        let handed_over = timeout(relay.data_timeout, self.connection.message(&mail.bytes)).await;
        self.idle_since = Instant::now();
        match handed_over {
            Ok(Ok(response)) if response.code().is_positive() && is_final(&response) => {
                let code = u16::from(response.code()).to_string();
                let text = response.message().collect::<Vec<_>>().join(" ");
                Ok(Answer::new(Some(code), &text))
            }
            Ok(Ok(response)) => {
                let code = u16::from(response.code());
                Err(Broken::lost(Step::Message, format!("the relay answered {code} to a message")))
            }
            Ok(Err(error)) => {
                let broken = Broken::of(Step::Message, &error);
                let keeps_session = broken.answer.as_ref().is_some_and(|(code, _)| *code != 421);
                Err(Broken { keeps_session, ..broken })
            }
            Err(_) => Err(Broken::lost(Step::Message, "no answer to the message in time")),
        }
    }

    /// One command of the envelope; after a refusal the session is made good again.
    async fn envelope_step(&mut self, command: &impl Display, relay: &Relay) -> Result<(), Broken> {
        let answered = timeout(relay.command_timeout, self.connection.command(command)).await;
        match answered {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refused(&error, relay).await),
            Err(_) => Err(Broken::lost(Step::Envelope, "no answer in time")),
        }
    }

    /// All three commands in one packet (RFC 2920), the answers read in their order.
    async fn envelope_at_once(
        &mut self,
        sender: &MailCommand,
        receiver: &Rcpt,
        relay: &Relay,
    ) -> Result<(), Broken> {
        let exchange = async {
            let commands = format!("{sender}{receiver}{Data}");
            let sender = self.connection.command(commands).await;
            if broke(&sender) {
                return (sender, None, None);
            }
            let receiver = self.connection.read_response().await;
            if broke(&receiver) {
                return (sender, Some(receiver), None);
            }
            let data = self.connection.read_response().await;
            (sender, Some(receiver), Some(data))
        };
        let Ok((sender, receiver, data)) = timeout(relay.command_timeout, exchange).await else {
            return Err(Broken::lost(Step::Envelope, "no answer in time"));
        };
        let waits_for_data = matches!(&data, Some(Ok(_)));
        let first_fault =
            [Some(sender), receiver, data].into_iter().flatten().find_map(Result::err);
        match first_fault {
            None => Ok(()),
            // The relay waits for a message that must not come: only closing helps.
            Some(error) if waits_for_data => Err(Broken::of(Step::Envelope, &error)),
            Some(error) => Err(self.refused(&error, relay).await),
        }
    }

    async fn refused(&mut self, error: &Error, relay: &Relay) -> Broken {
        let broken = Broken::of(Step::Envelope, error);
        let is_answer = broken.answer.as_ref().is_some_and(|(code, _)| *code != 421);
        if !is_answer {
            return broken;
        }
        let reset = timeout(relay.command_timeout, self.connection.command(Rset)).await;
        Broken { keeps_session: matches!(reset, Ok(Ok(_))), ..broken }
    }
}

/// Whether an answer is missing altogether, so that no further one comes.
fn broke(answer: &Result<Response, Error>) -> bool {
    matches!(answer, Err(error) if error.status().is_none())
}

/// Whether a positive answer ends the exchange; a 3yz asks for more.
fn is_final(response: &Response) -> bool {
    (200..300).contains(&u16::from(response.code()))
}

fn tls(relay: &Relay) -> Result<TlsParameters, Broken> {
    TlsParameters::new_rustls(relay.host.clone()).map_err(|error| Broken::of(Step::Trust, &error))
}
