//! Email by SMTP: lettre's messages, TLS and codes over sessions of our own.
//!
//! A session is kept and driven command by command, so that it is known how far a message got when
//! something breaks; it is dropped on any timeout, since an answer that comes late would be taken
//! for the answer to the next command.

mod broken;
mod classes;
mod encoding;
mod mail;
#[cfg(any(test, feature = "fuzz"))]
mod scripted;
mod session;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::TlsParameters;
use secrecy::{ExposeSecret, SecretString};

use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope, Message};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::secrets::Secrets;
use crate::provider::{Kind, Provider, Surroundings, unfit};
use broken::Broken;
use session::Session;

#[cfg(any(test, feature = "fuzz"))]
pub(super) use scripted::outcome_of;

/// The kind `smtp`.
pub(super) const KIND: Kind = Kind {
    name: "smtp",
    channels: &[Channel::Email],
    dialect: Dialect::Plain,
    about: "Hands emails to an SMTP relay, one recipient a message, over kept sessions.",
    answers: &[
        ("2xx to the message", "accepted"),
        ("no connection, or one that breaks before the message's end", "later"),
        ("no answer to the message's end", "unknown"),
        ("4xx", "later; 421 for the whole provider"),
        (
            "a certificate that is not trusted, a sign-in that is refused, 530, 534, 535, 538",
            "misconfigured",
        ),
        ("5xx to MAIL, \"relaying denied\"", "misconfigured"),
        ("5.1.1, 5.1.2, 5.1.3, 5.1.6, 5.1.10, 5.2.1, or \"user unknown\" to RCPT", "bad address"),
        ("5.2.2 or 552 to RCPT, a mailbox that is full", "later"),
        ("letters beyond ASCII before the @, if the relay has no SMTPUTF8", "bad address"),
        ("any other 5xx", "refused"),
    ],
    example: "[providers.relay]\nkind = \"smtp\"\nhost = \"smtp.example.com\"\n\
              port = 587\n\
              # \"starttls\" (587), \"tls\" (465), or \"none\" for a relay on this machine.\n\
              tls = \"starttls\"\n\
              # username = \"loa\"\n\
              # password_file = \"/run/secrets/relay\"\n\
              # How long writing a whole message may take, and the answer to its end.\n\
              data_timeout = \"2 min\"\n\
              answer_timeout = \"2 min\"\n",
    build,
};

/// The words of the setting `tls`.
#[derive(Clone, Copy, Debug)]
enum Way {
    Open,
    Upgraded,
    Implicit,
}

/// How a session is made secret, with the certificates that are trusted.
enum Tls {
    None,
    Upgraded(TlsParameters),
    Implicit(TlsParameters),
}

/// Where the relay is and how it is spoken to.
struct Relay {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    command_timeout: Duration,
    data_timeout: Duration,
    answer_timeout: Duration,
}

struct Smtp {
    relay: Relay,
    secrets: Secrets,
    idle: Mutex<Vec<Session>>,
}

fn build(settings: &ProviderSettings, _: &Surroundings) -> Option<Arc<dyn Provider>> {
    let section = &settings.section;
    let host = section.required_text("host");
    let ways = [("none", Way::Open), ("starttls", Way::Upgraded), ("tls", Way::Implicit)];
    let way = section.choice("tls", &ways).unwrap_or(Way::Upgraded);
    let usual = match way {
        Way::Open => 25,
        Way::Upgraded => 587,
        Way::Implicit => 465,
    };
    let port = section.number("port", 1, 65_535).unwrap_or(usual);
    let (username, password) = (section.text("username"), section.secret("password"));
    let wait = |key| section.time_limit(key).unwrap_or(Duration::from_mins(2));
    let (data_timeout, answer_timeout) = (wait("data_timeout"), wait("answer_timeout"));
    if section.has("username") != section.has("password") {
        section.fault(
            "username",
            "stands without its other half",
            "give username and password, or neither",
        );
    }
    let signed_in = username.as_deref().zip(password.as_ref()).map(|(name, password)| {
        SecretString::from(format!("\0{name}\0{}", password.expose_secret()))
    });
    let secrets = Secrets::new(password.iter().chain(&signed_in));
    let credentials = username.zip(password).map(|(name, password): (String, SecretString)| {
        Credentials::new(name, password.expose_secret().to_owned())
    });
    let command_timeout = settings.timeout;
    let host = host?;
    // Here, and not for each session: it reads all certificates of the system.
    let parameters = || {
        let made = TlsParameters::new_rustls(host.clone());
        let help = "install the package ca-certificates, and check `host`";
        made.map_err(|error| section.fault("tls", format!("no TLS: {error}"), help)).ok()
    };
    let tls = match way {
        Way::Open => Tls::None,
        Way::Upgraded => Tls::Upgraded(parameters()?),
        Way::Implicit => Tls::Implicit(parameters()?),
    };
    let relay =
        Relay { host, port, tls, credentials, command_timeout, data_timeout, answer_timeout };
    Some(Arc::new(Smtp { relay, secrets, idle: Mutex::default() }))
}

impl Provider for Smtp {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.deliver(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        // A kept session that ended, then a new one, its envelope, and the reset after a refusal.
        self.relay.command_timeout * 4 + self.relay.data_timeout + self.relay.answer_timeout
    }
}

impl Smtp {
    async fn deliver(&self, envelope: &Envelope) -> Outcome {
        let (Message::Email(email), Address::Email { email: to }) =
            (&envelope.message, &envelope.to)
        else {
            return unfit("only emails go by SMTP");
        };
        let mail = match mail::compose(email, to, envelope) {
            Ok(mail) => mail,
            Err(fault) => return unfit(&fault),
        };
        if let Some(session) = self.take_idle() {
            match self.attempt(session, &mail).await {
                // It had ended meanwhile, which says nothing about a new one.
                Err(broken) if broken.is_end_of_session() => {}
                result => return self.outcome(result),
            }
        }
        match Session::open(&self.relay).await {
            Ok(session) => self.outcome(self.attempt(session, &mail).await),
            Err(broken) => self.outcome(Err(broken)),
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
    fn outcome(&self, result: Result<Answer, Broken>) -> Outcome {
        let (verdict, answer) = match result {
            Ok(answer) => (Verdict::accepted(), answer),
            Err(broken) => (classes::verdict(&broken), broken.answer(&self.secrets)),
        };
        Outcome { verdict, answer, captured: None }
    }
}

#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod tests;
