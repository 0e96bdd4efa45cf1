//! What a drill found, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::account::{Account, UNEXPLAINED};
use super::attack::Struck;
use super::fault::Kind;
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

    /// How often each kind was done, and how many deliveries were in flight then.
    fn faults_by_kind(&self) -> BTreeMap<Kind, (u64, u64)> {
        let mut kinds: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
        for (struck, claimed) in self.struck.iter().zip(&self.account.in_flight_at) {
            let (count, in_flight) = kinds.entry(struck.kind).or_default();
            *count += 1;
            *in_flight += claimed;
        }
        kinds
    }

    /// The whole report for programs.
    pub fn json(&self) -> Value {
        let account = &self.account;
        let faults = self.struck.iter().zip(&account.in_flight_at).map(|(struck, in_flight)| {
            json!({
                "kind": struck.kind.as_str(), "at_seconds": struck.began.as_secs_f64(),
                "lasted_seconds": struck.ended.saturating_sub(struck.began).as_secs_f64(),
                "in_flight": in_flight,
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

    /// The faults for people, a row a kind: how often, how much was in flight, and how much came
    /// twice by it; a dash where nothing can.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |(kind, (count, in_flight)): (Kind, (u64, u64))| {
            let duplicates = self.account.duplicates.get(kind.as_str()).copied().unwrap_or(0);
            let figure = |figure: u64| match kind.may_repeat() {
                true => figure.to_string(),
                false => "–".to_owned(),
            };
            let (in_flight, duplicates) = (figure(in_flight), figure(duplicates));
            vec![kind.as_str().to_owned(), count.to_string(), in_flight, duplicates]
        };
        let mut rows: Vec<Vec<String>> = self.faults_by_kind().into_iter().map(row).collect();
        rows.sort();
        if let Some(count) = self.account.duplicates.get(UNEXPLAINED) {
            let dash = || "–".to_owned();
            rows.push(vec![UNEXPLAINED.to_owned(), dash(), dash(), count.to_string()]);
        }
        rows
    }

    /// The titles of [`Report::rows`].
    pub const TITLES: [&str; 4] = ["fault", "times", "in flight", "duplicates"];

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::id::DeliveryId;
    use crate::model::ledger::DeliveryLedger;
    use crate::rehearsal::drill::manner::Manner;

    fn struck(kind: Kind, ids: &[u128]) -> Struck {
        let ids = ids.iter().map(|id| DeliveryId(uuid::Uuid::from_u128(*id)));
        let (began, ended) = (Duration::from_secs(3), Duration::from_secs(4));
        Struck { kind, began, ended, in_flight: ids.collect::<BTreeSet<_>>(), broke: None }
    }

    fn report() -> Report {
        let hangs = Kind::Receivers(Manner::Hangs);
        let deliveries = DeliveryLedger {
            planned: 40,
            states: [("sent", 37), ("held", 2), ("failed", 1), ("waiting", 0)].into(),
            closes: true,
        };
        Report {
            seed: 7,
            store: "PostgreSQL at 127.0.0.1:5432 (database `drill`)".to_owned(),
            intake: "RabbitMQ",
            workers: 2,
            accepted: 20,
            again: 6,
            struck: vec![
                struck(Kind::Kill, &[1, 2]),
                struck(Kind::BrokerCut, &[]),
                struck(hangs, &[]),
                struck(Kind::Kill, &[3]),
            ],
            account: Account {
                duplicates: [(Kind::Kill.as_str(), 1), (hangs.as_str(), 2)].into(),
                in_flight: 8,
                in_flight_at: vec![2, 0, 5, 1],
                ..Account::default()
            },
            ledger: Ledger { deliveries, closes: true, ..Ledger::default() },
            audit: Vec::new(),
            drained: Some(Duration::from_millis(1_800)),
            took: Duration::from_secs(36),
            broken: Vec::new(),
            stories: Vec::new(),
        }
    }

    /// All that people are shown.
    fn shown(report: &Report) -> String {
        let rows = [Report::TITLES.map(str::to_owned).to_vec()].into_iter().chain(report.rows());
        let lines = rows.map(|row| row.join(" | ")).chain(report.lines());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn people_are_told_everything_that_was_counted() {
        insta::assert_snapshot!(shown(&report()));
    }

    #[test]
    fn people_are_told_of_each_broken_promise_with_its_delivery() {
        let mut report = report();
        let id = "0193c1f0-0000-7000-8000-000000000001";
        report.account.lost.push(format!("delivery {id}: sent, and nobody has it"));
        report.account.duplicates.insert(UNEXPLAINED, 1);
        report.account.broken.push(format!("delivery {id}: repeated for no reason of ours"));
        report.drained = None;
        report.stories.push(format!("delivery {id} by hook: 1.000 taken; 2.000 taken"));

        insta::assert_snapshot!(shown(&report));
    }

    #[test]
    fn programs_are_told_how_many_were_in_flight_at_each_fault() {
        let told = report().json();

        let faults = told["faults"].as_array().unwrap();
        let in_flight: Vec<u64> =
            faults.iter().map(|fault| fault["in_flight"].as_u64().unwrap()).collect();
        assert_eq!(in_flight, [2, 0, 5, 1]);
        for (key, value) in [("lost", 0), ("duplicates", 3), ("in_flight", 8), ("seed", 7)] {
            assert_eq!(told[key], value, "{key}");
        }
    }
}
