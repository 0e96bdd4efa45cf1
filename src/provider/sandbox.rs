//! Captures messages instead of sending them, and shows each as its receiver would see it.
//!
//! Some addresses misbehave on purpose, so that people can try their own handling.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::ProviderSettings;
use crate::model::address::{Address, Channel};
use crate::model::id::ProviderName;
use crate::model::message::{Dialect, Envelope};
use crate::model::outcome::{Answer, Obstacle, Outcome, Verdict};
use crate::provider::{Kind, Provider, Surroundings};

/// The kind `sandbox`.
pub(super) const KIND: Kind = Kind {
    name: "sandbox",
    channels: &Channel::ALL,
    dialect: Dialect::CommonMark,
    about: "Sends nothing: captures every message and shows it in the console as its receiver \
            would see it. Addresses that begin with `refuse`, `bounce`, `later`, `hang`, \
            `recover` or `unknown` (phone numbers that end in 0001 to 0006, in this order) \
            misbehave as their name says; `recover` works at the third try.",
    answers: &[
        ("any other address", "accepted"),
        ("`refuse…`, …0001", "refused"),
        ("`bounce…`, …0002", "bad address"),
        ("`later…`, …0003", "later at the first try, in 30 seconds"),
        ("`hang…`, …0004", "unknown at the first try, after the timeout; then refused"),
        ("`recover…`, …0005", "later, until the third try"),
        ("`unknown…`, …0006", "unknown at the first try, although the message was captured"),
    ],
    example: "[providers.sandbox]\nkind = \"sandbox\"\n",
    build,
};

/// Which sandbox providers play dead, and until when; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outages(Arc<Mutex<HashMap<ProviderName, Timestamp>>>);

impl Outages {
    /// Lets a sandbox provider refuse every connection until `until`.
    pub fn begin(&self, provider: ProviderName, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, until);
    }

    fn is_out(&self, provider: &ProviderName, now: Timestamp) -> bool {
        let outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outages.get(provider).is_some_and(|until| now < *until)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a kind may find its settings wanting")]
fn build(settings: &ProviderSettings, surroundings: &Surroundings) -> Option<Arc<dyn Provider>> {
    Some(Arc::new(Sandbox {
        name: settings.name.clone(),
        clock: surroundings.clock.clone(),
        outages: surroundings.outages.clone(),
        patience: settings.timeout,
    }))
}

struct Sandbox {
    name: ProviderName,
    clock: Clock,
    outages: Outages,
    /// How long a receiver that hangs is waited for.
    patience: Duration,
}

impl Provider for Sandbox {
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome> {
        self.answer(envelope).boxed()
    }

    fn longest_call(&self) -> Duration {
        self.patience
    }
}

/// What an address does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Takes,
    Refuses,
    Bounces,
    AsksForTime,
    Hangs,
    Recovers,
    LosesTheAnswer,
}

const MANNERS: [(&str, &str, Manner); 6] = [
    ("refuse", "0001", Manner::Refuses),
    ("bounce", "0002", Manner::Bounces),
    ("later", "0003", Manner::AsksForTime),
    ("hang", "0004", Manner::Hangs),
    ("recover", "0005", Manner::Recovers),
    ("unknown", "0006", Manner::LosesTheAnswer),
];

/// The try at which `recover` works.
const RECOVERS_AT: u32 = 3;

fn manner(address: &Address) -> Manner {
    let found = match address {
        Address::Email { email: text } | Address::Chat { target: Some(text), .. } => {
            MANNERS.iter().find(|(word, _, _)| text.starts_with(word))
        }
        Address::Sms { phone } => MANNERS.iter().find(|(_, end, _)| phone.ends_with(end)),
        Address::Chat { target: None, .. } => None,
    };
    found.map_or(Manner::Takes, |(_, _, manner)| *manner)
}

impl Sandbox {
    async fn answer(&self, envelope: &Envelope) -> Outcome {
        if self.outages.is_out(&self.name, self.clock.now()) {
            return refusal(Verdict::later(), "421", "the sandbox plays dead for a while");
        }
        match manner(&envelope.to) {
            Manner::Refuses => refusal(Verdict::Refused, "554", "refused on purpose"),
            Manner::Bounces => {
                refusal(Verdict::BadAddress, "550 5.1.1", "no such receiver, on purpose")
            }
            Manner::AsksForTime => {
                let after = Some(Duration::from_secs(30));
                let verdict = Verdict::Later { after, obstacle: Obstacle::Receiver };
                match envelope.attempt {
                    1 => refusal(verdict, "450", "come back in 30 seconds, on purpose"),
                    _ => taken(envelope),
                }
            }
            Manner::Hangs => {
                self.clock.sleep(self.patience).await;
                let verdict =
                    if envelope.attempt == 1 { Verdict::Unknown } else { Verdict::Refused };
                refusal(verdict, "timeout", "no answer, on purpose")
            }
            Manner::Recovers if envelope.attempt < RECOVERS_AT => {
                refusal(Verdict::later_for_receiver(), "451", "not yet, on purpose")
            }
            Manner::LosesTheAnswer if envelope.attempt == 1 => Outcome {
                captured: Some(envelope.as_received()),
                ..refusal(Verdict::Unknown, "cut", "cut after the message, on purpose")
            },
            Manner::Takes | Manner::Recovers | Manner::LosesTheAnswer => taken(envelope),
        }
    }
}

fn taken(envelope: &Envelope) -> Outcome {
    let message_id = Some(format!("sandbox-{}", envelope.delivery));
    Outcome {
        verdict: Verdict::Accepted { message_id },
        answer: Answer::new(Some("250".to_owned()), "captured"),
        captured: Some(envelope.as_received()),
    }
}

fn refusal(verdict: Verdict, code: &str, text: &str) -> Outcome {
    Outcome { verdict, answer: Answer::new(Some(code.to_owned()), text), captured: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_misbehave_as_their_names_say() {
        let email = |text| manner(&Address::email(text).unwrap());
        let phone = |text| manner(&Address::phone(text, "VN").unwrap());

        assert_eq!(email("bounce.an@partner.test"), Manner::Bounces);
        assert_eq!(email("an@partner.test"), Manner::Takes);
        assert_eq!(phone("+84900000003"), Manner::AsksForTime);
        assert_eq!(phone("+84901234567"), Manner::Takes);
        assert_eq!(manner(&Address::chat("room:unknown").unwrap()), Manner::LosesTheAnswer);
    }
}
