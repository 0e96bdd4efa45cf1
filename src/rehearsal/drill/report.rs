//! What a drill found, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::account::Account;
use super::attack::Struck;
use crate::model::ledger::Ledger;
use crate::store::Discrepancy;

/// What a drill found.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) store: String,
    pub(super) intake: &'static str,
    pub(super) workers: usize,
    /// Events that were accepted, and those that came again on purpose.
    pub(super) accepted: u64,
    pub(super) again: u64,
    pub(super) struck: Vec<Struck>,
    pub(super) account: Account,
    pub(super) ledger: Ledger,
    pub(super) audit: Vec<Discrepancy>,
    /// From when all was well again until nothing waited; none if it did not come to that.
    pub(super) drained: Option<Duration>,
    pub(super) took: Duration,
    /// Promises that were broken, beside what the account names.
    pub(super) broken: Vec<String>,
    /// What is known of the deliveries that broke a promise by coming again.
    pub(super) stories: Vec<String>,
}

/// The most deliveries and events that are named to people, of each sort.
const NAMED: usize = 20;
/// The most deliveries whose stories are told to people.
const TOLD: usize = 5;

impl Report {
    /// Every promise that was broken, in a sentence with the delivery or event.
    pub fn broken(&self) -> Vec<String> {
        let account = &self.account;
        let lost = account.lost.iter().map(|text| format!("lost: {text}"));
        let orphans = account.orphans.iter().map(|text| format!("orphan: {text}"));
        let audit = self.audit.iter().map(|found| {
            let (event_type, name) = (&found.event_type, &found.name);
            let (counted, found) = (found.counted, found.found);
            format!("audit: {event_type} {name}: counted {counted}, found {found}")
        });
        let mut broken: Vec<String> = lost.chain(orphans).chain(audit).collect();
        broken.extend(account.broken.iter().chain(&self.broken).cloned());
        if !self.ledger.closes {
            broken.push("the ledger does not close".to_owned());
        }
        if self.drained.is_none() {
            broken.push("the backlog did not reach zero in time".to_owned());
        }
        broken
    }

    /// How many processes were killed and connections cut.
    fn kills_and_cuts(&self) -> usize {
        self.struck.iter().filter(|struck| struck.kind.is_kill_or_cut()).count()
    }

    fn faults_by_kind(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let mut kinds: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
        for struck in &self.struck {
            let (count, in_flight) = kinds.entry(struck.kind.as_str()).or_default();
            *count += 1;
            *in_flight += struck.in_flight.len() as u64;
        }
        kinds
    }

    /// The whole report for programs.
    pub fn json(&self) -> Value {
        let account = &self.account;
        let faults = self.struck.iter().map(|struck| {
            json!({
                "kind": struck.kind.as_str(), "at_seconds": struck.began.as_secs_f64(),
                "lasted_seconds": struck.ended.saturating_sub(struck.began).as_secs_f64(),
                "in_flight": struck.in_flight.len(),
            })
        });
        json!({
            "seed": self.seed, "store": self.store, "intake": self.intake,
            "workers": self.workers, "kept": self.broken().is_empty(), "broken": self.broken(),
            "events": { "accepted": self.accepted, "published_again": self.again },
            "lost": account.lost.len(), "duplicates": account.count_duplicates(),
            "duplicates_by_cause": account.duplicates, "in_flight": account.in_flight,
            "orphans": account.orphans.len(), "faults": faults.collect::<Vec<_>>(),
            "kills_and_cuts": self.kills_and_cuts(), "ledger": self.ledger, "audit": self.audit,
            "drain_seconds": self.drained.map(|time| time.as_secs_f64()),
            "took_seconds": self.took.as_secs_f64(), "stories": self.stories,
        })
    }

    /// The faults for people, a row a kind: how often, and how much was in flight.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (kind, (count, in_flight)) in self.faults_by_kind() {
            let duplicates = self.account.duplicates.get(kind).copied().unwrap_or(0);
            rows.push(vec![
                kind.to_owned(),
                count.to_string(),
                in_flight.to_string(),
                duplicates.to_string(),
            ]);
        }
        rows
    }

    /// The titles of [`Report::rows`].
    pub const TITLES: [&str; 4] = ["fault", "times", "claimed then", "duplicates"];

    /// Everything else for people.
    pub fn lines(&self) -> Vec<String> {
        let account = &self.account;
        let states = self.ledger.deliveries.states.iter().filter(|(_, count)| **count > 0);
        let states: Vec<String> = states.map(|(state, count)| format!("{count} {state}")).collect();
        let drained = match self.drained {
            Some(time) => format!("{:.1} s", time.as_secs_f64()),
            None => "not in time".to_owned(),
        };
        let mut lines = vec![
            String::new(),
            format!(
                "store       {}, {} workers, events by {}",
                self.store, self.workers, self.intake
            ),
            format!("seed        {} (--seed {} chooses the same faults)", self.seed, self.seed),
            format!(
                "faults      {}, of them {} kills and cuts",
                self.struck.len(),
                self.kills_and_cuts()
            ),
            format!("events      {} accepted, {} published again", self.accepted, self.again),
            format!(
                "deliveries  {} planned = {}",
                self.ledger.deliveries.planned,
                states.join(" + ")
            ),
            format!("lost        {}", account.lost.len()),
            format!(
                "duplicates  {}, of {} that were in flight at a fault",
                account.count_duplicates(),
                account.in_flight
            ),
            format!("orphans     {}", account.orphans.len()),
            format!(
                "drained     {drained} after all was well again; {:.0} s in all",
                self.took.as_secs_f64()
            ),
        ];
        let broken = self.broken();
        lines.push(match (broken.is_empty(), self.ledger.closes && self.audit.is_empty()) {
            (true, _) => "The ledger closes, and every promise was kept.".to_owned(),
            (false, true) => {
                format!("The ledger closes, but {} promises were broken:", broken.len())
            }
            (false, false) => format!("{} promises were broken:", broken.len()),
        });
        lines.extend(broken.iter().take(NAMED).map(|text| format!("  ✗ {text}")));
        if broken.len() > NAMED {
            lines.push(format!("  … and {} more; --output json names all", broken.len() - NAMED));
        }
        lines.extend(self.stories.iter().take(TOLD).map(|story| format!("  {story}")));
        lines
    }
}
