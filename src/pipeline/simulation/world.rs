//! The store, the workers and the receivers, and what each deed does to them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use super::catalogue::{PROMOTION, TYPES, catalogue, rules};
use super::deeds::{Answer, Coming, Deed, Repairing};
use super::hands::{Hand, Hands, LEASE};
use super::promises::Book;
use crate::app;
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::lifecycle::Tasks;
use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, DirectoryChange, Suppression};
use crate::model::delivery::{Delivery, Reason, Settlement, State};
use crate::model::event::{Arrival, Properties, Transport};
use crate::model::id::{DeliveryId, ProviderName, RunId};
use crate::model::outcome::{self, Obstacle, Outcome, Verdict};
use crate::pipeline::gate::ask_gate;
use crate::pipeline::{Acceptor, Deliverer, Desks, OnReject, Rulebook};
use crate::record::{self, Tried};
use crate::store::{self, Ages, Claimed, Finish, Repair, Settings, Store, TakenOver};
use crate::telemetry::Metrics;

/// The contacts of the directory; each owns an email address, a chat and a phone.
pub(super) const CONTACTS: [&str; 3] = ["an", "binh", "chi"];
/// The providers: of email, chat and SMS.
pub(super) const PROVIDERS: [&str; 3] = ["relay", "room", "gateway"];
/// When every history begins: three in the afternoon in Vietnam.
const BEGINNING: &str = "2026-03-02T08:00:00Z";
/// How long what is final is kept.
const AGE: Duration = Duration::from_hours(3);
/// After how many rounds a healed store must have come to rest.
const MOST_ROUNDS: usize = 300;

/// Where every history takes place, one after the other.
pub(super) struct Place {
    store: Store,
    clock: Clock,
    rulebook: Arc<ArcSwap<Rulebook>>,
    metrics: Arc<Metrics>,
    _folder: TempDir,
}

/// Everything of one history.
pub(super) struct World<'p> {
    place: &'p Place,
    clock: Clock,
    store: Store,
    acceptor: Acceptor,
    hands: Hands,
    book: Book,
}

/// A folder in memory, where there is one: no history pulls the plug of the machine.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    TempDir::new_in(memory).or_else(|_| TempDir::new()).unwrap()
}

pub(super) fn email(contact: &str) -> Address {
    Address::Email { email: format!("{contact}@example.test") }
}

impl Place {
    pub(super) async fn open() -> Self {
        let (folder, clock) = (folder(), Clock::manual(BEGINNING.parse().unwrap()));
        let day = Duration::from_hours(24);
        let place = store::Place::Sqlite(folder.path().join("loa.db"));
        let settings =
            Settings { place, outbox: true, keys_last: 30 * day, derived_keys_last: day };
        let run = RunId::new(clock.now());
        let store = Store::open(settings, clock.clone(), run).await.unwrap();
        let (mut config, _) = config::read(&Sources::defaults());
        config.catalogue = catalogue();
        let mut rulebook = app::rulebook(&config).unwrap();
        rulebook.rules = rules();
        let rulebook = Arc::new(ArcSwap::from_pointee(rulebook));
        let metrics = Arc::new(Metrics::new("test"));
        Self { store, clock, rulebook, metrics, _folder: folder }
    }

    /// The acceptor of a process on `store`.
    fn acceptor(&self, store: &Store) -> Acceptor {
        let (rulebook, metrics) = (Arc::clone(&self.rulebook), Arc::clone(&self.metrics));
        let times = (self.clock.clone(), Tasks::new());
        let deliverer =
            Deliverer::new(store.clone(), Arc::clone(&rulebook), times, Arc::clone(&metrics));
        let desks = Arc::new(Desks::new(Vec::new(), deliverer, LEASE));
        Acceptor::new(store.clone(), rulebook, desks, self.clock.clone(), metrics)
    }
}

/// The directory with which every history begins.
fn directory(now: Timestamp) -> Vec<DirectoryChange> {
    let change = |(number, id): (usize, &&str)| {
        let phone = Address::Sms { phone: format!("+8490123456{number}") };
        let contact = json!({ "id": id, "name": id, "changed_at": BEGINNING });
        let mut contact: Contact = serde_json::from_value(contact).unwrap();
        let chat = Address::Chat { provider: "room".into(), target: Some((*id).to_owned()) };
        contact.addresses = vec![email(id), chat, phone];
        let (granted, source) = (true, "import".to_owned());
        let consents = vec![Consent { address: email(id), granted, at: now, source }];
        DirectoryChange::Contact { contact, consents }
    };
    CONTACTS.iter().enumerate().map(change).collect()
}

impl<'p> World<'p> {
    /// A store that knows the contacts and nothing else, on the afternoon of another day.
    pub(super) async fn begin(place: &'p Place) -> Self {
        let beginning: Timestamp = BEGINNING.parse().unwrap();
        let day = 24 * 3600;
        let days = (place.clock.now().as_second() - beginning.as_second()) / day + 1;
        place.clock.advance_to(beginning + Duration::from_secs(u64::try_from(days * day).unwrap()));
        let (clock, store) = (place.clock.clone(), place.store.of_next_run());
        store.forget_everything().await.unwrap();
        store.change_directory(directory(clock.now())).await.unwrap();
        let acceptor = place.acceptor(&store);
        let (hands, book) = (Hands::default(), Book::default());
        Self { place, clock, store, acceptor, hands, book }
    }

    /// Does one deed.
    pub(super) async fn play(&mut self, deed: &Deed) -> Result<(), String> {
        // No two things happen at the same moment.
        self.clock.advance(Duration::from_millis(1));
        match deed {
            Deed::Accept(batch) => self.accept(batch).await,
            Deed::Claim { provider, limit } => self.claim(*provider, *limit).await.map(drop),
            Deed::Begin { pick } => match self.hands.take(*pick, false) {
                Some(hand) => self.begin_sending(hand).await,
                None => Ok(()),
            },
            Deed::Answer { pick, answer, random } => match self.hands.take(*pick, true) {
                Some(hand) => self.answer(hand, answer, *random).await,
                None => Ok(()),
            },
            Deed::Renew { stalled } => self.renew(*stalled).await,
            Deed::Wait { seconds } => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(())
            }
            Deed::TakeOver { dies } => self.take_over(*dies).await.map(drop),
            Deed::Kill { arrives } => {
                self.kill(*arrives);
                Ok(())
            }
            Deed::Repair { pick, repair } => self.repair(*pick, *repair).await,
            Deed::HoldProvider { provider, held } => self.hold(PROVIDERS[*provider], *held).await,
            Deed::Suppress { contact, suppressed } => {
                self.suppress(email(CONTACTS[*contact]), *suppressed).await
            }
            Deed::Consent { contact, granted } => {
                self.consent(email(CONTACTS[*contact]), *granted).await
            }
            Deed::Sweep => self.sweep().await,
        }
    }

    /// Looks whether every promise holds.
    pub(super) async fn look(&mut self, deed: &Deed) -> Result<(), String> {
        let may_reopen = matches!(deed, Deed::Repair { .. });
        self.look_around(may_reopen, matches!(deed, Deed::Sweep)).await
    }

    async fn look_around(&mut self, may_reopen: bool, may_purge: bool) -> Result<(), String> {
        self.book.look(&self.store, (may_reopen, may_purge)).await
    }

    async fn accept(&mut self, batch: &[Coming]) -> Result<(), String> {
        let now = self.clock.now();
        let arrivals: Vec<Arrival> = batch.iter().map(|coming| arrival(coming, now)).collect();
        let answers = self.acceptor.accept(arrivals, OnReject::Keep).await;
        for (coming, answer) in batch.iter().zip(answers.map_err(|error| error.to_string())?) {
            let time = now - Duration::from_mins(1) * coming.minutes_old;
            self.book.note_answer((TYPES[coming.kind], coming.order), time, &answer);
        }
        Ok(())
    }

    /// Claims, and returns how many there were.
    async fn claim(&mut self, provider: usize, limit: usize) -> Result<usize, String> {
        let provider = ProviderName::from(PROVIDERS[provider]);
        let claims = self.store.claim(&provider, limit, LEASE).await;
        let claims = claims.map_err(|error| error.to_string())?;
        let count = claims.len();
        for claimed in claims {
            let objection = self.book.note_claim(&claimed)?;
            self.hands.add(claimed, objection, self.clock.monotonic())?;
        }
        Ok(count)
    }

    /// Asks the gate, and hands the message over if it may go.
    async fn begin_sending(&mut self, mut hand: Hand) -> Result<(), String> {
        let (now, claimed) = (self.clock.now(), &hand.claimed);
        if let Err(settlement) = ask_gate(claimed, &self.place.rulebook.load(), now) {
            let finish = record::without_try(claimed, settlement);
            return self.finish(finish).await;
        }
        Book::note_sending(claimed, hand.objection.as_deref(), now)?;
        if let Some(before) = claimed.delivery.after {
            let claim = (claimed.delivery.id, claimed.token);
            let taken_over = self.store.take_over_from(before, claim).await;
            let Delivery { reason, due_at, .. } = claimed.delivery;
            let settlement = match taken_over.map_err(|error| error.to_string())? {
                TakenOver::Done => None,
                TakenOver::Lost => Some(Settlement::uncounted(State::Waiting, reason, due_at)),
                TakenOver::NotNeeded => {
                    let reason = Reason::FallbackNotNeeded;
                    Some(Settlement::uncounted(State::Cancelled, reason, due_at))
                }
            };
            if let Some(settlement) = settlement {
                let finish = record::without_try(claimed, settlement);
                return self.finish(finish).await;
            }
        }
        hand.began = Some(now);
        self.hands.0.push(hand);
        Ok(())
    }

    async fn answer(&mut self, hand: Hand, answer: &Answer, random: f64) -> Result<(), String> {
        let verdict = match answer {
            Answer::Accepted => Verdict::accepted(),
            Answer::Refused => Verdict::Refused,
            Answer::BadAddress => Verdict::BadAddress,
            Answer::Later(seconds) => {
                let after = seconds.map(Duration::from_secs);
                Verdict::Later { after, obstacle: Obstacle::Receiver }
            }
            Answer::Misconfigured => Verdict::Misconfigured,
            Answer::Unknown { .. } => Verdict::Unknown,
        };
        if matches!(answer, Answer::Accepted | Answer::Unknown { arrived: true }) {
            self.book.note_receipt(&hand.claimed);
        }
        let finish = self.outcome(&hand.claimed, (verdict, hand.began), random);
        self.finish(finish).await
    }

    fn outcome(
        &self,
        claimed: &Arc<Claimed>,
        (verdict, began): (Verdict, Option<Timestamp>),
        random: f64,
    ) -> Finish {
        let now = self.clock.now();
        let outcome =
            Outcome { verdict, answer: outcome::Answer::new(None, "said"), captured: None };
        let (started_at, finished_at) = (began.unwrap_or(now), now);
        let tried = Tried { outcome, started_at, finished_at, template_version: None };
        record::outcome(claimed, tried, &self.place.rulebook.load().catalogue, random)
    }

    async fn finish(&mut self, finish: Finish) -> Result<(), String> {
        let finished = self.store.finish(vec![finish.clone()]).await;
        let finished = finished.map_err(|error| error.to_string())?;
        self.book.note_finish(&finish, finished[0])
    }

    async fn renew(&mut self, stalled: usize) -> Result<(), String> {
        let until = self.clock.monotonic() + LEASE;
        if let Some(hand) = self.hands.0.get_mut(stalled) {
            hand.is_stalled = true;
        }
        let going = self.hands.0.iter_mut().filter(|hand| !hand.is_stalled);
        let claims = going.map(|hand| {
            hand.until = until;
            (hand.claimed.delivery.id, hand.claimed.token)
        });
        let claims = claims.collect();
        self.store.renew(claims, LEASE).await.map_err(|error| error.to_string())
    }

    /// Takes over what was lost, and returns how much it was.
    async fn take_over(&mut self, dies: bool) -> Result<usize, String> {
        let going = self.hands.0.iter().filter(|hand| !hand.is_stalled);
        let ours = going.map(|hand| (hand.claimed.delivery.id, hand.claimed.token)).collect();
        let lost = self.store.claim_expired(10, LEASE, ours).await;
        let lost = lost.map_err(|error| error.to_string())?;
        let count = lost.len();
        for claimed in &lost {
            self.hands.lose(claimed.delivery.id, self.clock.monotonic())?;
        }
        if dies {
            self.kill(true);
            return Ok(count);
        }
        for claimed in lost {
            let finish = self.outcome(&claimed, (Verdict::Unknown, None), 0.5);
            self.finish(finish).await?;
        }
        Ok(count)
    }

    fn kill(&mut self, arrives: bool) {
        for hand in std::mem::take(&mut self.hands).0 {
            if arrives && hand.began.is_some() {
                self.book.note_receipt(&hand.claimed);
            }
        }
        self.store = self.store.of_next_run();
        self.acceptor = self.place.acceptor(&self.store);
    }

    async fn repair(&mut self, pick: usize, repair: Repairing) -> Result<(), String> {
        let Some(id) = self.book.pick(pick) else { return Ok(()) };
        let new_expiry = Some(self.clock.now() + Duration::from_hours(2));
        let repair = match repair {
            Repairing::Retry => Repair::Retry { new_expiry },
            Repairing::Cancel => Repair::Cancel,
            Repairing::Hold => Repair::Hold,
            Repairing::Release => Repair::Release,
        };
        self.repair_one(id, repair).await
    }

    async fn repair_one(&mut self, id: DeliveryId, repair: Repair) -> Result<(), String> {
        let repaired = self.store.repair(vec![id], repair, "lan").await;
        self.book.note_repair(id, repair, repaired.map_err(|error| error.to_string())?[0]);
        Ok(())
    }

    async fn hold(&mut self, provider: &str, held: bool) -> Result<(), String> {
        let name = ProviderName::from(provider);
        let done = match held {
            true => self.store.hold_provider(name, "broken".to_owned(), "lan".to_owned()).await,
            false => self.store.release_provider(name).await,
        };
        self.book.note_hold(provider, held);
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn suppress(&mut self, address: Address, suppressed: bool) -> Result<(), String> {
        self.book.note_suppression(&address, suppressed);
        let (reason, at) = ("operator".to_owned(), self.clock.now());
        let done = match suppressed {
            true => self.store.suppress(Suppression { address, reason, at }).await,
            false => self.store.unsuppress(address).await.map(drop),
        };
        done.map_err(|error| error.to_string())
    }

    async fn consent(&mut self, address: Address, granted: bool) -> Result<(), String> {
        self.book.note_consent(&address, granted);
        let (at, source) = (self.clock.now(), "link".to_owned());
        let consent = Consent { address, granted, at, source };
        self.store.record_consent(consent).await.map_err(|error| error.to_string())
    }

    async fn sweep(&mut self) -> Result<(), String> {
        let ages = Ages { deliveries: AGE, rejected: AGE, captured: AGE };
        let told = |error: store::StoreError| error.to_string();
        self.store.expire(100).await.map_err(told)?;
        self.store.purge(ages, 100).await.map_err(told)?;
        self.store.fold_counters().await.map_err(told)
    }

    /// Starts anew, lets go what is held, and works on until nothing is left to do.
    pub(super) async fn heal(&mut self) -> Result<(), String> {
        self.kill(true);
        for provider in PROVIDERS {
            self.hold(provider, false).await?;
        }
        for round in 0..MOST_ROUNDS {
            self.clock.advance(Duration::from_millis(1));
            if self.take_over(false).await? > 0 || round == 0 {
                self.look_around(false, false).await?;
            }
            let held = self.book.held();
            for id in &held {
                self.repair_one(*id, Repair::Release).await?;
            }
            if !held.is_empty() {
                self.look_around(true, false).await?;
            }
            let mut claimed = 0;
            for provider in 0..PROVIDERS.len() {
                claimed += self.claim(provider, 100).await?;
            }
            while let Some(hand) = self.hands.take(0, false) {
                self.begin_sending(hand).await?;
            }
            while let Some(hand) = self.hands.take(0, true) {
                self.answer(hand, &Answer::Accepted, 0.5).await?;
            }
            if claimed > 0 {
                self.look_around(false, false).await?;
            }
            let agenda = self.store.agenda().await.map_err(|error| error.to_string())?;
            let is_at_rest = claimed == 0 && agenda.claimed == 0 && self.book.held().is_empty();
            match agenda.next_due {
                None if is_at_rest => return self.book.close(&self.store).await,
                None => {}
                Some(due) => self.clock.advance_to(due),
            }
        }
        Err(format!("after {MOST_ROUNDS} rounds there is still something to do"))
    }
}

/// An event as its publisher writes it; the same id says the same as long as type and order do.
fn arrival(coming: &Coming, now: Timestamp) -> Arrival {
    let time = now - Duration::from_mins(1) * coming.minutes_old;
    let recipients: &[&str] = match TYPES[coming.kind] {
        PROMOTION => &["an", "binh", "nobody"],
        _ => &["an", "chi"],
    };
    let event = json!({
        "specversion": "1.0",
        "type": TYPES[coming.kind],
        "source": "shop",
        "id": coming.id.to_string(),
        "time": time.to_string(),
        "data": {
            "order": format!("DH-{}", coming.order),
            "recipients": recipients,
        },
    });
    let properties = Properties {
        content_type: Some("application/cloudevents+json".to_owned()),
        ..Properties::default()
    };
    Arrival { bytes: event.to_string().into(), properties, transport: Transport::Amqp, at: now }
}
