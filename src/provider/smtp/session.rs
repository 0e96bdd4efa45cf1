//! One connection to a relay, kept over many messages, every wait bounded.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail as MailCommand, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::broken::{Broken, Cause, Step};
use super::mail::Mail;
use super::wire::{Greeted, Written};
use super::{Relay, Tls, wire};
use crate::model::outcome::Answer;

/// How long an idle session is kept: shorter than relays do.
const IDLE: Duration = Duration::from_secs(30);
/// How many messages go over one session.
const MESSAGES: u32 = 200;

/// A connection to a relay.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    written: Written,
    pipelines: bool,
    messages: u32,
    idle_since: Instant,
}

impl Session {
    /// Connects, and makes itself known.
    pub(super) async fn open(relay: &Relay) -> Result<Self, Broken> {
        let opened = timeout(relay.command_timeout, Self::open_unbounded(relay)).await;
        opened.unwrap_or_else(|_| Err(Broken::silent(Step::Open)))
    }

    async fn open_unbounded(relay: &Relay) -> Result<Self, Broken> {
        let hello = ClientId::default();
        let greeted = wire::connect(relay, &hello).await?;
        Self::begin(greeted, relay, hello).await
    }

    /// Makes itself known on a connection that was greeted.
    pub(super) async fn begin(
        greeted: Greeted,
        relay: &Relay,
        hello: ClientId,
    ) -> Result<Self, Broken> {
        let Greeted { mut connection, written } = greeted;
        let trust = |error: Error| Broken::of(Step::Trust, &error);
        if let Tls::Upgraded(parameters) = &relay.tls {
            let begun = connection.starttls(parameters.clone(), &hello);
            wire::unbroken(Step::Trust, begun).await?;
        }
        if let Some(credentials) = &relay.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&mechanisms, credentials).await.map_err(trust)?;
        }
        // lettre forgets this feature. A relay that will not say it twice gets one command a time.
        let pipelines = match connection.command(Ehlo::new(hello)).await {
            Ok(features) => features.message().any(|line| line.eq_ignore_ascii_case("PIPELINING")),
            Err(error) if error.status().is_some() => false,
            Err(error) => return Err(Broken::of(Step::Open, &error)),
        };
        Ok(Self { connection, written, pipelines, messages: 0, idle_since: Instant::now() })
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
        let result = self.send_all(mail, relay).await;
        self.idle_since = Instant::now();
        result
    }

    async fn send_all(&mut self, mail: &Mail, relay: &Relay) -> Result<Answer, Broken> {
        let parameters = self.parameters(mail)?;
        let sender = MailCommand::new(Some(mail.from.clone()), parameters);
        let receiver = Rcpt::new(mail.to.clone(), Vec::new());
        let deadline = Instant::now() + relay.command_timeout;
        if self.pipelines {
            self.envelope_at_once(&sender, &receiver, (deadline, relay)).await?;
        } else {
            self.envelope_step(Step::Sender, &sender, (deadline, relay)).await?;
            self.envelope_step(Step::Receiver, &receiver, (deadline, relay)).await?;
            self.envelope_step(Step::Data, &Data, (deadline, relay)).await?;
        }
        self.hand_over(&mail.wire, relay).await
    }

    /// What the sender's command says besides: SMTPUTF8 (RFC 6531), if an address needs it.
    fn parameters(&self, mail: &Mail) -> Result<Vec<MailParameter>, Broken> {
        let speaks = self.connection.server_info().supports_feature(Extension::SmtpUtfEight);
        match (mail.from.user().is_ascii(), mail.to.user().is_ascii()) {
            (true, true) => Ok(Vec::new()),
            _ if speaks => Ok(vec![MailParameter::SmtpUtfEight]),
            (false, _) => Err(Broken::kept(Step::Sender, Cause::Untrusted(NO_UTF8_SENDER.into()))),
            (true, false) => {
                Err(Broken::kept(Step::Receiver, Cause::Unspeakable(NO_UTF8_RECEIVER.into())))
            }
        }
    }

    /// Writes the message, then waits for the answer to its end; each has its own time.
    async fn hand_over(&mut self, message: &str, relay: &Relay) -> Result<Answer, Broken> {
        self.written.forget();
        let all_written = || self.written.is_all();
        let mut exchange = pin!(self.connection.command(message));
        let handed_over = poll_fn(|context| match exchange.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if all_written() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let (step, answer) = match timeout(relay.data_timeout, handed_over).await {
            Err(_) => return Err(Broken::silent(Step::Body)),
            Ok(Some(answer)) => (if all_written() { Step::End } else { Step::Body }, answer),
            Ok(None) => match timeout(relay.answer_timeout, exchange).await {
                Err(_) => return Err(Broken::silent(Step::End)),
                Ok(answer) => (Step::End, answer),
            },
        };
        match answer {
            Ok(response) if is_final(&response) => {
                let code = u16::from(response.code()).to_string();
                let text = response.message().collect::<Vec<_>>().join(" ");
                Ok(Answer::new(Some(code), &text))
            }
            Ok(response) => {
                let code = u16::from(response.code());
                let text = format!("the relay answered {code} to a message");
                Err(Broken::at(Step::End, Cause::Lost(text)))
            }
            Err(error) => {
                let broken = Broken::of(step, &error);
                let keeps_session = broken.code().is_some_and(|code| code != 421);
                Err(Broken { keeps_session, ..broken })
            }
        }
    }

    /// One command of the envelope; after a refusal the session is made good again.
    async fn envelope_step(
        &mut self,
        step: Step,
        command: &impl Display,
        (deadline, relay): (Instant, &Relay),
    ) -> Result<(), Broken> {
        match timeout_at(deadline, self.connection.command(command)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.refused(Broken::of(step, &error), relay).await),
            Err(_) => Err(Broken::silent(step)),
        }
    }

    /// All three commands in one packet (RFC 2920), the answers read in their order.
    async fn envelope_at_once(
        &mut self,
        sender: &MailCommand,
        receiver: &Rcpt,
        (deadline, relay): (Instant, &Relay),
    ) -> Result<(), Broken> {
        let commands = format!("{sender}{receiver}{Data}");
        let exchange = async {
            let mut first_fault = None;
            for step in [Step::Sender, Step::Receiver, Step::Data] {
                let answer = if step == Step::Sender {
                    self.connection.command(&commands).await
                } else {
                    self.connection.read_response().await
                };
                match (answer, step) {
                    (Ok(_), Step::Data) => return (first_fault, true),
                    (Ok(_), _) => {}
                    (Err(error), _) => {
                        let broken = Broken::of(step, &error);
                        let is_over = broken.code().is_none_or(|code| code == 421);
                        first_fault = first_fault.or(Some(broken));
                        if is_over {
                            break;
                        }
                    }
                }
            }
            (first_fault, false)
        };
        match timeout_at(deadline, exchange).await {
            Err(_) => Err(Broken::silent(Step::Sender)),
            Ok((None, _)) => Ok(()),
            // The relay waits for a message that must not come: only closing helps.
            Ok((Some(broken), true)) => Err(broken),
            Ok((Some(broken), false)) => Err(self.refused(broken, relay).await),
        }
    }

    async fn refused(&mut self, broken: Broken, relay: &Relay) -> Broken {
        if broken.code().is_none_or(|code| code == 421) {
            return broken;
        }
        let reset = timeout(relay.command_timeout, self.connection.command(Rset)).await;
        Broken { keeps_session: matches!(reset, Ok(Ok(_))), ..broken }
    }
}

const NO_UTF8_SENDER: &str = "the sender (email.from) has letters beyond ASCII before the @, and \
                              the relay does not take those (it lacks SMTPUTF8)";
const NO_UTF8_RECEIVER: &str = "the address has letters beyond ASCII before the @, and the relay \
                                does not take those (it lacks SMTPUTF8)";

/// Whether a positive answer ends the exchange; a 3yz asks for more.
fn is_final(response: &Response) -> bool {
    (200..300).contains(&u16::from(response.code()))
}
