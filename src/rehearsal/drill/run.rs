//! A drill that is under way: faults on, then all is well again, then everything is added up.

use std::time::Duration;

use serde_json::Value;

use super::account::{Account, Entry, Evidence};
use super::attack::{Attack, Struck};
use super::fault::{self, Kind};
use super::report::Report;
use super::story::Story;
use super::{Drill, DrillError, Extent, Progress, clear, open, work};
use crate::broker::Playground;
use crate::config::RabbitSettings;
use crate::model::outcome::{Attempt, VerdictClass};
use crate::store::{Cursor, DeliveryFilter, Store, StoreError};

/// No fault waits longer than this for what goes on beside it.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a fault waits for more to be sent.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// How often it is looked how much waits.
const LOOK: Duration = Duration::from_millis(100);
/// While more than this waits, no further fault is added.
const BACKLOG: u64 = 5_000;
/// The shortest time in which a backlog must be drained, and what is added for each that waits.
const DRAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(10));
/// How many deliveries are read at once.
const PAGE: u32 = 1_000;

/// A drill that is under way.
pub(super) struct Run<'a> {
    pub(super) drill: &'a Drill,
    pub(super) attack: Attack<'a>,
    pub(super) playground: Option<(Playground, RabbitSettings)>,
    pub(super) possible: Vec<Kind>,
    /// The store, as people know it.
    pub(super) store: String,
    pub(super) began: Duration,
    pub(super) struck: Vec<Struck>,
    pub(super) broken: Vec<String>,
}

impl Run<'_> {
    /// Plays both phases, adds up, and leaves nothing on a virtual host.
    pub(super) async fn run(
        mut self,
        tell: impl FnMut(Progress<'_>),
    ) -> Result<Report, DrillError> {
        let drained = self.play(tell).await?;
        let report = self.report(drained).await?;
        if let Some((playground, settings)) = self.playground.take() {
            clear(playground, &settings).await?;
        }
        Ok(report)
    }

    /// Both phases; how long the second took, unless it took too long.
    async fn play(
        &mut self,
        mut tell: impl FnMut(Progress<'_>),
    ) -> Result<Option<Duration>, DrillError> {
        let Extent { faults, events, within } = self.drill.extent;
        for worker in 0..self.attack.crew.len() {
            self.attack.crew.start(worker).await?;
        }
        let workers = self.attack.crew.len();
        let faults = fault::schedule(self.drill.seed, faults, &self.possible, workers);
        for (index, fault) in faults.iter().enumerate() {
            if self.attack.clock.monotonic().saturating_sub(self.began) > within {
                break;
            }
            tell((index, faults.len(), fault.kind.as_str()));
            let before = events * index as u64 / faults.len() as u64;
            let share = events * (index as u64 + 1) / faults.len() as u64;
            self.attack.press.allow(u64::midpoint(before, share));
            tokio::time::sleep(fault.after).await;
            self.attack.crew.all_live().await?;
            self.press_on(share).await;
            let mut struck = self.attack.strike(*fault).await?;
            self.broken.extend(struck.broke.take());
            self.struck.push(struck);
            self.keep_up(share).await;
        }
        self.attack.heal();
        self.attack.press.allow(events);
        tell((faults.len(), faults.len(), "all is well again; draining"));
        self.drain(events).await
    }

    /// Publishes the rest of a share, and waits until that is being sent: a fault strikes amid
    /// work.
    async fn press_on(&self, share: u64) {
        let (before, mut noted) = self.attack.receivers.tally.noted();
        self.attack.press.allow(share);
        let is_under_way = noted.wait_for(|count| *count > before);
        // Where no worker lives or the receivers are away, nothing comes.
        tokio::time::timeout(UNDER_WAY, is_under_way).await.ok();
    }

    /// Waits until the publishers have published their share and not too much is left to be sent.
    async fn keep_up(&self, share: u64) {
        let is_done = async {
            self.attack.press.has_taken(share).await;
            while self.waiting().await.is_none_or(|waiting| waiting > BACKLOG) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // What does not keep up shows at the end: here it only must not hold up the faults.
        tokio::time::timeout(PATIENCE, is_done).await.ok();
    }

    /// How much waits, by whichever worker answers first.
    async fn waiting(&self) -> Option<u64> {
        let ledger = self.ledger().await?;
        ledger.pointer("/deliveries/waiting").and_then(Value::as_u64)
    }

    async fn ledger(&self) -> Option<Value> {
        for worker in 0..self.attack.crew.len() {
            if let Some(answer) = self.attack.crew.get(worker, "/v1/ledger").await {
                return answer.get("ledger").cloned();
            }
        }
        None
    }

    /// How long it took until every event was planned and nothing waited.
    async fn drain(&self, events: u64) -> Result<Option<Duration>, DrillError> {
        let began = self.attack.clock.monotonic();
        let waiting = self.waiting().await.unwrap_or(0) + work::deliveries_of(events);
        let (least, each) = DRAIN;
        let bound = least + each * u32::try_from(waiting).unwrap_or(u32::MAX);
        loop {
            self.attack.crew.all_live().await?;
            let took = self.attack.clock.monotonic().saturating_sub(began);
            let is_planned = self.attack.press.taken() >= events;
            if let Some(ledger) = self.ledger().await
                && is_planned
            {
                let figure = |at: &str| ledger.pointer(at).and_then(Value::as_u64).unwrap_or(0);
                if figure("/events/planned") >= events && figure("/deliveries/waiting") == 0 {
                    return Ok(Some(took));
                }
            }
            if took > bound {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops the workers in order, reads the store, and adds everything up.
    async fn report(&mut self, drained: Option<Duration>) -> Result<Report, DrillError> {
        let workers = self.attack.crew.len();
        for worker in 0..workers {
            self.attack.crew.signal(worker, "TERM").await?;
        }
        for worker in 0..workers {
            if !self.attack.crew.ended(worker).await? {
                self.broken.push("a worker did not end well after SIGTERM".to_owned());
            }
        }
        let store = open(&self.attack.ground, &self.attack.clock).await?;
        let (ledger, audit) = (store.ledger().await?, store.audit().await?);
        let entries = entries(&store).await?;
        let book = self.attack.receivers.tally.book();
        let accepted = self.attack.press.taken();
        let (entries, struck) = (&entries, self.struck.as_slice());
        let account = Account::of(&Evidence { accepted, entries, book: &book, struck });
        let stories = self.look_for_unknown_attempts(&store, &account).await?;
        let rejected = self.attack.press.rejected();
        self.broken.extend(rejected.iter().map(|text| format!("rejected: {text}")));
        if ledger.events.rejected != 0 {
            self.broken.push(format!("{} events were rejected", ledger.events.rejected));
        }
        Ok(Report {
            seed: self.drill.seed,
            store: self.store.clone(),
            intake: if self.drill.amqp_url.is_some() { "RabbitMQ" } else { "HTTP" },
            workers,
            accepted,
            again: self.attack.press.again(),
            struck: self.struck.clone(),
            account,
            ledger,
            audit,
            drained,
            took: self.attack.clock.monotonic().saturating_sub(self.began),
            broken: std::mem::take(&mut self.broken),
            stories,
        })
    }

    /// Each repetition must be on record as an attempt of which nobody knew what came of it; the
    /// stories of those that broke a promise by coming again.
    async fn look_for_unknown_attempts(
        &mut self,
        store: &Store,
        account: &Account,
    ) -> Result<Vec<String>, DrillError> {
        let zero = self.attack.clock.now() - self.attack.clock.monotonic();
        let mut stories = Vec::new();
        for (id, repeated) in &account.repeated {
            let Some(found) = store.find_delivery(*id).await? else { continue };
            let unknown = |attempt: &&Attempt| attempt.class == VerdictClass::Unknown;
            let unknown = found.attempts.iter().filter(unknown).count();
            let taken = repeated.taken.len();
            let is_on_record = unknown + 1 >= taken;
            if !is_on_record {
                self.broken.push(format!(
                    "delivery {id}: came {taken} times, with {unknown} attempts unknown"
                ));
            }
            if repeated.is_explained && is_on_record {
                continue;
            }
            let story = Story {
                id: *id,
                provider: &repeated.provider,
                taken: &repeated.taken,
                attempts: &found.attempts,
                struck: &self.struck,
                zero,
                began: self.began,
            };
            stories.push(story.tell());
        }
        Ok(stories)
    }
}

/// Every delivery of the store.
async fn entries(store: &Store) -> Result<Vec<Entry>, StoreError> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = store.deliveries(DeliveryFilter::default(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(entries) };
        after = Some(Cursor { at: last.created_at, id: last.id.0 });
        entries.extend(page.iter().map(Entry::from));
    }
}
