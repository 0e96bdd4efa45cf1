//! Ways out: what a provider is, and the list of kinds.
//!
//! A provider hands one message to one gateway, once, and says what came of it. It never retries,
//! never stores, never logs a message: `send` decides when to ask again, `record` keeps what was
//! answered. A new kind is one file here and its two lines below (`mod` and [`KINDS`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::config::{Config, ProviderSettings, Section};
use crate::model::address::{Address, Channel};
use crate::model::message::{Dialect, Envelope};
use crate::model::outcome::{Answer, Outcome, Verdict};

#[cfg(test)]
mod conformance;
mod egress;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod gateway;
mod handbook;
#[cfg(test)]
mod injection;
pub mod sandbox;
mod secrets;
mod slack;
mod sms_http;
mod smtp;
mod webhook;

pub use crate::provider::egress::Egress;
pub use crate::provider::handbook::handbook;
use crate::provider::sandbox::Outages;

/// Every kind, in the order in which the handbook tells of them.
pub const KINDS: &[&Kind] =
    &[&smtp::KIND, &slack::KIND, &webhook::KIND, &sms_http::KIND, &sandbox::KIND];

/// One configured way out of a channel.
pub trait Provider: Send + Sync {
    /// Hands one message to the gateway, once.
    ///
    /// Dropping the future before it ends leaves the outcome unknown; nothing else breaks by it.
    fn send<'a>(&'a self, envelope: &'a Envelope) -> BoxFuture<'a, Outcome>;

    /// How long one call takes at most; the provider itself ends what takes longer.
    fn longest_call(&self) -> Duration;

    /// Whether a message to this address goes to a gateway of the address's own, so that its
    /// failures say nothing about the provider.
    fn leads_elsewhere(&self, _to: &Address) -> bool {
        false
    }
}

/// A sort of provider: what its settings are and how one is made from them.
pub struct Kind {
    /// The word in `kind = "…"`.
    pub name: &'static str,
    /// The channels it can send on.
    pub channels: &'static [Channel],
    /// How it writes emphasis and links of chat messages.
    pub dialect: Dialect,
    /// What it is for, in a sentence or two of Markdown.
    pub about: &'static str,
    /// What the gateway may say, and which class of answer that is.
    pub answers: &'static [(&'static str, &'static str)],
    /// Every setting of the kind in one commented `[providers.NAME]` table that can be read.
    pub example: &'static str,
    /// Makes a provider; faults go to the section, which is read to its end either way.
    pub build: fn(&ProviderSettings, &Surroundings) -> Option<Arc<dyn Provider>>,
}

/// What providers share besides their own settings.
#[derive(Clone)]
pub struct Surroundings {
    /// The time, for signatures and the sandbox.
    pub clock: Clock,
    /// Where outbound HTTP may go.
    pub egress: Egress,
    /// Which sandbox providers play dead, and until when.
    pub outages: Outages,
}

impl Surroundings {
    /// The surroundings that `config` describes.
    pub fn new(clock: Clock, config: &Config) -> Self {
        let own_host = config.http.public_url.as_ref().and_then(url::Url::host_str);
        let egress = Egress::new(own_host, config.send.allow_private_addresses);
        Self { clock, egress, outages: Outages::default() }
    }

    /// Where a provider may call: what its section allows besides.
    fn egress_of(&self, section: &Section) -> Egress {
        let mut allowed = Vec::new();
        for range in section.list("allow_addresses").unwrap_or_default() {
            match range.parse() {
                Ok(range) => allowed.push(range),
                Err(_) => section.fault(
                    "allow_addresses",
                    format!("`{range}` is no network"),
                    "write 10.1.0.0/16",
                ),
            }
        }
        self.egress.with(allowed, section.boolean("allow_plain_http").unwrap_or(false))
    }
}

/// The URL that a chat address brings along, if it does.
fn own_url(to: &Address) -> Option<&str> {
    match to {
        Address::Chat { target, .. } => target.as_deref(),
        Address::Email { .. } | Address::Sms { .. } => None,
    }
}

/// What becomes of a message that cannot be made fit for its provider: only it is at fault.
fn unfit(text: &str) -> Outcome {
    let answer = Answer::new(Some("not sent".to_owned()), text);
    Outcome { verdict: Verdict::Refused, answer, captured: None }
}

/// The kind called `name`.
pub fn find_kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// Makes the provider that `settings` describe; what is wrong with them goes to their section.
///
/// A kind that is unknown is told by the checks of all settings.
pub fn build(
    settings: &ProviderSettings,
    surroundings: &Surroundings,
) -> Option<Arc<dyn Provider>> {
    let kind = find_kind(&settings.kind)?;
    let provider = (kind.build)(settings, surroundings);
    settings.section.finish();
    provider
}
