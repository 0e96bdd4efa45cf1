//! Email by SMTP: lettre's messages, TLS and codes over sessions of our own.
//!
//! A session is kept and driven command by command, so that it is known how far a message got when
//! something breaks; it is dropped on any timeout, since an answer that comes late would be taken
//! for the answer to the next command.

mod classes;
mod mail;
mod session;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lettre::transport::smtp::authentication::Credentials;
use secrecy::{ExposeSecret, SecretString};

use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::{Kind, Provider, Surroundings};
use session::{Broken, Session, Step};

/// The kind `smtp`.
pub(super) const KIND: Kind = Kind {
    name: "smtp",
    channels: &[Channel::Email],
    dialect: Dialect::Plain,
    about: "Hands emails to an SMTP relay, one recipient a message, over kept sessions.",
    example: "[providers.relay]\nkind = \"smtp\"\nhost = \"smtp.example.com\"\n\
              port = 587\n\
              # \"starttls\" (587), \"tls\" (465), or \"none\" for a relay on this machine.\n\
              tls = \"starttls\"\n\
              # username = \"loa\"\n\
              # password_file = \"/run/secrets/relay\"\n\
              # How long the relay may take to take a whole message over.\n\
              data_timeout = \"2 min\"\n",
    build,
};

/// How a session is made secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    None,
    Upgraded,
    Implicit,
}

/// Where the relay is and how it is spoken to.
struct Relay {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    command_timeout: Duration,
    data_timeout: Duration,
}

struct Smtp {
    relay: Relay,
    idle: Mutex<Vec<Session>>,
}

fn build(settings: &ProviderSettings, _: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let host = section.required_text("host");
    let tls = section
        .choice("tls", &[("none", Tls::None), ("starttls", Tls::Upgraded), ("tls", Tls::Implicit)])
        .unwrap_or(Tls::Upgraded);
    let usual = match tls {
        Tls::None => 25,
        Tls::Upgraded => 587,
        Tls::Implicit => 465,
    };
    let port = section.number("port", 1, 65_535).unwrap_or(usual);
    let username = section.text("username");
    let password = section.secret("password");
    let data_timeout = section.duration("data_timeout").unwrap_or(Duration::from_mins(2));
    if username.is_some() != password.is_some() {
        section.fault(
            "username",
            "stands without its other half",
            "give username and password, or neither",
        );
    }
    let credentials = username.zip(password).map(|(name, password): (String, SecretString)| {
        Credentials::new(name, password.expose_secret().to_owned())
    });
    let command_timeout = settings.timeout;
    let relay = Relay { host: host?, port, tls, credentials, command_timeout, data_timeout };
    Some(Arc::new(Smtp { relay, idle: Mutex::default() }))
}

impl Provider for Smtp {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.deliver(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        // A kept session that broke, then a new one, its commands and the message.
        self.relay.command_timeout * 4 + self.relay.data_timeout
    }
}

impl Smtp {
    async fn deliver(&self, envelope: &Envelope) -> Outcome {
        let (Message::Email(email), Address::Email { email: to }) =
            (&envelope.message, &envelope.to)
        else {
            return refused("only emails go by SMTP");
        };
        let mail = match mail::compose(email, to, envelope) {
            Ok(mail) => mail,
            Err(fault) => return refused(&fault),
        };
        if let Some(session) = self.take_idle() {
            match self.attempt(session, &mail).await {
                // A kept session may have died meanwhile; nothing was handed over yet.
                Err(Broken { step: Step::Envelope, answer: None, .. }) => {}
                result => return outcome(result),
            }
        }
        match Session::open(&self.relay).await {
            Ok(session) => outcome(self.attempt(session, &mail).await),
            Err(broken) => outcome(Err(broken)),
        }
    }

    /// Hands one message over, and keeps the session if it is still of use.
    async fn attempt(&self, mut session: Session, mail: &mail::Mail) -> Result<Answer, Broken> {
        let result = session.send(mail, &self.relay).await;
        let keeps = match &result {
            Ok(_) => true,
            Err(broken) => broken.keeps_session,
        };
        if keeps && !session.is_worn() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
        result
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| !session.is_stale());
        idle.pop()
    }
}

fn outcome(result: Result<Answer, Broken>) -> Outcome {
    let (verdict, answer) = match result {
        Ok(answer) => (Verdict::accepted(), answer),
        Err(broken) => (classes::verdict(&broken), broken.into_answer()),
    };
    Outcome { verdict, answer, captured: None }
}

fn refused(text: &str) -> Outcome {
    let answer = Answer::new(Some("not sent".to_owned()), text);
    Outcome { verdict: Verdict::Refused, answer, captured: None }
}

#[cfg(test)]
mod tests;
