//! Hands a message to a provider at the pace it can take.
//!
//! [`Desk`] is one provider's place in this process: how many calls at once, how many a second,
//! whether to call at all. It never retries and never stores.

pub mod breaker;
pub mod only_to;
mod pace;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::config::ProviderSettings;
use crate::model::id::ProviderName;
use crate::model::message::{Dialect, Envelope};
use crate::model::outcome::{Answer, Outcome, Verdict};
use crate::provider::Provider;

use breaker::{Breaker, BreakerState};
use only_to::OnlyTo;
use pace::Pace;

/// How much longer than a provider's own deadline a call is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// One provider's place in this process.
pub struct Desk {
    /// Another one once its secrets were read anew.
    provider: ArcSwap<Arc<dyn Provider>>,
    settings: ProviderSettings,
    dialect: Dialect,
    slots: Arc<Semaphore>,
    /// None without a rate.
    pace: Option<Arc<Pace>>,
    breaker: Mutex<Breaker>,
    only_to: OnlyTo,
    clock: Clock,
}

/// A free place at a desk with the right to make one call; dropping it frees the place, and gives
/// back a call that was not made.
#[derive(Debug)]
pub struct Slot {
    _place: OwnedSemaphorePermit,
    call: Option<Arc<Pace>>,
}

impl Slot {
    fn spend(&mut self) {
        if let Some(pace) = self.call.take() {
            pace.spend();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pace) = self.call.take() {
            pace.give_back();
        }
    }
}

impl Desk {
    /// A desk with every slot free and the breaker closed.
    pub fn new(
        settings: ProviderSettings,
        (provider, dialect): (Arc<dyn Provider>, Dialect),
        only_to: OnlyTo,
        clock: Clock,
    ) -> Self {
        let pace = settings.rate.map(|rate| Pace::new(rate, settings.burst, clock.clone()));
        Self {
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            pace: pace.map(Arc::new),
            breaker: Mutex::new(Breaker::new(settings.breaker)),
            settings,
            dialect,
            provider: ArcSwap::from_pointee(provider),
            only_to,
            clock,
        }
    }

    /// Sends by `provider` from now on; calls that are under way end as they began.
    pub fn renew(&self, provider: Arc<dyn Provider>) {
        self.provider.store(Arc::new(provider));
    }

    /// The provider's name.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// How the provider writes chat messages.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What is configured for the provider.
    pub fn settings(&self) -> &ProviderSettings {
        &self.settings
    }

    /// Takes up to `wanted` free slots, as many as the rate allows now; none of them by waiting.
    pub fn take_slots(&self, wanted: usize) -> Vec<Slot> {
        let take = || {
            let place = Arc::clone(&self.slots).try_acquire_owned().ok()?;
            let may_call = self.pace.as_ref().is_none_or(|pace| pace.take());
            may_call.then(|| Slot { _place: place, call: self.pace.clone() })
        };
        std::iter::from_fn(take).take(wanted.min(self.settings.concurrency)).collect()
    }

    /// Waits for one free slot and until the rate allows its call; `None` once the desk is closed
    /// for good.
    pub async fn wait_for_slot(&self) -> Option<Slot> {
        let place = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        Some(Slot { _place: place, call: self.pace.clone() })
    }

    /// How many slots are free.
    pub fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    /// How many calls the breaker lets be under way now: none, a probe, a few, or no limit.
    pub fn allowance(&self) -> usize {
        self.breaker().allowance(self.time())
    }

    /// How many slots are taken.
    pub fn taken_slots(&self) -> usize {
        self.settings.concurrency.saturating_sub(self.free_slots())
    }

    /// When the breaker will let calls through again, if it does not now.
    pub fn opens_at(&self) -> Option<Timestamp> {
        let pause = self.breaker().opens_at()?.duration_since(self.time());
        self.clock.now().checked_add(pause).ok()
    }

    /// What the breaker thinks of the provider.
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker().state()
    }

    /// When the rate allows the next call, if it does not now.
    pub fn rate_allows_at(&self) -> Option<Timestamp> {
        let pace = self.pace.as_ref().filter(|pace| pace.is_exhausted())?;
        Some(self.clock.now().checked_add(pace.ready_in()).unwrap_or(Timestamp::MAX))
    }

    /// Splits the provider's rate among `processes` that are alive.
    pub fn share_rate(&self, processes: u32) {
        if let Some(pace) = &self.pace {
            pace.share(processes);
        }
    }

    /// Hands one message over, once, and learns from the answer how the provider is doing.
    ///
    /// An address that `only_to` does not allow is never called: the message is captured.
    pub async fn send(&self, envelope: &Envelope, slot: &mut Slot) -> Outcome {
        self.call(None, envelope, slot).await
    }

    /// The same for somebody who waits no longer than `patience`: an answer that has not come by
    /// then counts as one that never came, for the breaker too.
    pub async fn send_within(
        &self,
        patience: Duration,
        envelope: &Envelope,
        slot: &mut Slot,
    ) -> Outcome {
        self.call(Some(patience), envelope, slot).await
    }

    async fn call(
        &self,
        patience: Option<Duration>,
        envelope: &Envelope,
        slot: &mut Slot,
    ) -> Outcome {
        if !self.only_to.allows(&envelope.to) {
            return captured_by_only_to(envelope);
        }
        // From here on the call is made, whatever comes of it.
        slot.spend();
        let provider = self.provider.load_full();
        // The provider ends what takes longer; this catches one that does not.
        let longest = || provider.longest_call() + PATIENCE;
        let deadline = patience.or_else(|| (!self.clock.is_manual()).then(longest));
        let call = provider.send(envelope);
        let mut outcome = match deadline {
            None => call.await,
            Some(deadline) => match tokio::time::timeout(deadline, call).await {
                Ok(outcome) => outcome,
                Err(_) => no_answer(deadline),
            },
        };
        outcome.verdict = outcome.verdict.kept();
        if !provider.leads_elsewhere(&envelope.to) {
            self.breaker().learn(&outcome.verdict, self.time(), fastrand::f64());
        }
        outcome
    }

    /// The time that pauses run on, which no change of the wall clock touches.
    fn time(&self) -> Timestamp {
        let passed =
            SignedDuration::try_from(self.clock.monotonic()).unwrap_or(SignedDuration::MAX);
        Timestamp::UNIX_EPOCH.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn captured_by_only_to(envelope: &Envelope) -> Outcome {
    let text = "not sent: the address is not in send.only_to; the message was captured";
    let mut captured = envelope.as_received();
    // By this whoever shows it tells that it was to go to a provider that sends.
    captured["captured_by"] = json!("only_to");
    Outcome {
        verdict: Verdict::accepted(),
        answer: Answer::new(Some("captured".to_owned()), text),
        captured: Some(captured),
    }
}

fn no_answer(deadline: Duration) -> Outcome {
    let seconds = deadline.as_secs_f64().ceil();
    let text = format!("no answer within {seconds} s; it may have been sent");
    Outcome { verdict: Verdict::Unknown, answer: Answer::new(None, &text), captured: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Sources};
    use crate::model::address::Address;
    use crate::model::id::DeliveryId;
    use crate::model::message::{ChatMessage, Message};
    use crate::provider::{self, Surroundings};

    /// The desk of a webhook whose receiver is away.
    fn desk(url: &str) -> Desk {
        let text = format!(
            "[send]\nallow_private_addresses = true\n\
             [providers.hook]\nkind = \"webhook\"\nurl = \"{url}\"\n"
        );
        let (config, _) = config::read(&Sources::defaults().with_text("loa.toml", &text));
        let settings = config.providers[&"hook".into()].clone();
        let surroundings = Surroundings::new(Clock::system(), &config);
        let built = provider::build(&settings, &surroundings).unwrap();
        Desk::new(settings, (built, Dialect::CommonMark), OnlyTo::default(), Clock::system())
    }

    fn envelope(to: &str) -> Envelope {
        let at = Timestamp::UNIX_EPOCH;
        let text = "Trễ".to_owned();
        Envelope {
            delivery: DeliveryId::new(at),
            attempt: 1,
            event_type: "order.delayed".into(),
            at,
            business_key: None,
            to: Address::chat(to).unwrap(),
            to_name: None,
            data: Arc::new(json!({})),
            message: Message::Chat(ChatMessage { plain: text.clone(), text }),
        }
    }

    async fn send(desk: &Desk, to: &str) {
        let mut slot = desk.wait_for_slot().await.unwrap();
        desk.send(&envelope(to), &mut slot).await;
    }

    #[tokio::test]
    async fn a_clock_that_jumps_back_does_not_lengthen_a_pause() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", free.local_addr().unwrap());
        drop(free);
        let desk = desk(&url);
        while desk.breaker_state() == BreakerState::Closed {
            send(&desk, "hook").await;
        }
        let pause = |desk: &Desk| desk.opens_at().unwrap().duration_since(desk.clock.now());
        let before = pause(&desk);

        desk.clock.shift(-SignedDuration::from_hours(1));

        assert!(pause(&desk) <= before, "{} after {before}", pause(&desk));
    }

    #[tokio::test]
    async fn a_partners_own_url_that_fails_says_nothing_about_the_provider() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", free.local_addr().unwrap());
        drop(free);
        let desk = desk(&url);

        for _ in 0..20 {
            send(&desk, &format!("hook:{url}")).await;
        }
        let after_own = desk.breaker_state();
        for _ in 0..20 {
            send(&desk, "hook").await;
        }

        assert_eq!(after_own, BreakerState::Closed);
        assert_eq!(desk.breaker_state(), BreakerState::Open);
    }

    #[tokio::test]
    async fn an_answer_that_somebody_waits_for_in_vain_counts_against_the_provider() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let desk = desk(&format!("http://{}/", silent.local_addr().unwrap()));

        for _ in 0..20 {
            let mut slot = desk.wait_for_slot().await.unwrap();
            let patience = Duration::from_millis(1);
            let outcome = desk.send_within(patience, &envelope("hook"), &mut slot).await;
            assert_eq!(outcome.verdict, Verdict::Unknown);
        }

        assert_eq!(desk.breaker_state(), BreakerState::Open);
    }
}
