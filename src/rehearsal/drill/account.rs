//! Holds what came to the receivers against what was published and what the store says: pure rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use super::attack::Struck;
use super::fault::Kind;
use super::manner::Manner;
use super::tally::{Book, Mark, Taken};
use super::work::{self, Sort};
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::id::DeliveryId;

/// A delivery as far as the account needs it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: DeliveryId,
    /// The number of its event; none if no drill published that.
    pub(super) number: Option<u64>,
    pub(super) provider: String,
    pub(super) state: State,
    pub(super) reason: Reason,
}

impl Entry {
    /// Whether its event type holds what has an unknown outcome.
    fn is_held_when_unknown(&self) -> bool {
        self.number.map(Sort::of) == Some(Sort::Hold)
    }
}

impl From<&Delivery> for Entry {
    fn from(delivery: &Delivery) -> Self {
        let provider = delivery.provider.as_ref().map(ToString::to_string);
        Self {
            id: delivery.id,
            number: delivery.business_key.as_deref().and_then(work::number_of),
            provider: provider.unwrap_or_default(),
            state: delivery.state,
            reason: delivery.reason,
        }
    }
}

/// Everything that the account is made from.
pub(super) struct Evidence<'a> {
    /// Events up to this number were accepted.
    pub(super) accepted: u64,
    /// Every delivery of the store.
    pub(super) entries: &'a [Entry],
    /// What came to the receivers.
    pub(super) book: &'a Book,
    /// The faults, in the order in which they began.
    pub(super) struck: &'a [Struck],
}

/// What the account comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Accepted events without all their deliveries, and deliveries that are `sent` and came to
    /// nobody.
    pub(super) lost: Vec<String>,
    /// Messages that came once more, by what had kept Loa from knowing that they came before.
    pub(super) duplicates: BTreeMap<&'static str, u64>,
    /// What was taken more than once.
    pub(super) repeated: BTreeMap<DeliveryId, Repeated>,
    /// Messages that no delivery explains.
    pub(super) orphans: Vec<String>,
    /// Whatever else must not be.
    pub(super) broken: Vec<String>,
    /// How many deliveries were in flight, over all faults: the bound on duplicates.
    pub(super) in_flight: u64,
    /// How many were in flight at each fault, in the order in which the faults began: what was
    /// claimed, or what a receiver took without saying so.
    pub(super) in_flight_at: Vec<u64>,
}

/// A delivery that was taken more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    /// The provider that it went to.
    pub(super) provider: String,
    /// Each time that it came.
    pub(super) taken: Vec<Taken>,
    /// Whether a fault explains every repetition, and none was promised not to be.
    pub(super) is_explained: bool,
}

/// How much later than a fault a receiver may read what was on its way when the fault struck.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// The word for a duplicate that nothing explains.
pub(super) const UNEXPLAINED: &str = "unexplained";

impl Account {
    /// Adds everything up.
    pub(super) fn of(evidence: &Evidence<'_>) -> Self {
        let mut account = Self::default();
        account.find_lost_events(evidence);
        let mut marks = BTreeSet::new();
        for entry in evidence.entries {
            let mark = mark_of(entry);
            marks.insert(mark);
            let taken = evidence.book.taken.get(&mark).map_or(&[][..], Vec::as_slice);
            account.judge(entry, taken, evidence);
        }
        let orphans = evidence.book.taken.iter().filter(|(mark, _)| !marks.contains(mark));
        account.orphans = orphans.map(|(mark, taken)| name_orphan(*mark, taken.len())).collect();
        account.orphans.sort_unstable();
        account.count_in_flight(evidence);
        account
    }

    /// How many messages came once more.
    pub(super) fn count_duplicates(&self) -> u64 {
        self.duplicates.values().sum()
    }

    fn find_lost_events(&mut self, evidence: &Evidence<'_>) {
        let mut found: HashMap<u64, Vec<&str>> = HashMap::new();
        for entry in evidence.entries {
            match entry.number {
                Some(number) => found.entry(number).or_default().push(&entry.provider),
                None => self.broken.push(format!("delivery {}: of no event of ours", entry.id)),
            }
        }
        for number in 0..evidence.accepted {
            let mut providers = found.remove(&number).unwrap_or_default();
            providers.sort_unstable();
            let wanted = Sort::of(number).providers();
            if providers != wanted {
                let event = work::business_key(number);
                let what = format!("event {event}: planned for {providers:?}, not {wanted:?}");
                match providers.len() < wanted.len() {
                    true => self.lost.push(what),
                    false => self.broken.push(what),
                }
            }
        }
    }

    /// Asks of one delivery whether it stands where it may stand.
    fn judge(&mut self, entry: &Entry, taken: &[Taken], evidence: &Evidence<'_>) {
        let (id, state) = (entry.id, entry.state.as_str());
        let may_be_held = entry.is_held_when_unknown();
        let is_refused = evidence.book.refused.contains(&mark_of(entry));
        match entry.state {
            State::Sent if taken.is_empty() => {
                self.lost.push(format!("delivery {id}: sent, and nobody has it"));
            }
            State::Sent | State::Delivered => {}
            State::Held if may_be_held && entry.reason == Reason::UnknownOutcome => {}
            State::Failed if is_refused => {}
            State::Waiting => self.broken.push(format!("delivery {id}: still waits")),
            State::Held
            | State::Failed
            | State::Bounced
            | State::Skipped
            | State::Expired
            | State::Cancelled => {
                let reason = entry.reason.as_str();
                self.broken
                    .push(format!("delivery {id}: {state} ({reason}) for no reason of ours"));
            }
        }
        if taken.len() > 1 {
            self.judge_repeated(entry, taken, evidence);
        }
    }

    /// Asks of one delivery why it came again.
    fn judge_repeated(&mut self, entry: &Entry, taken: &[Taken], evidence: &Evidence<'_>) {
        let id = entry.id;
        let mut is_explained = true;
        if entry.is_held_when_unknown() {
            is_explained = false;
            let text = format!("delivery {id}: repeated, although an unknown outcome holds it");
            self.broken.push(text);
        }
        for pair in taken.windows(2) {
            let [before, after] = pair else { continue };
            let cause = cause(id, (before, after), evidence.struck);
            *self.duplicates.entry(cause).or_default() += 1;
            if cause == UNEXPLAINED {
                is_explained = false;
                self.broken.push(format!("delivery {id}: repeated for no reason of ours"));
            }
        }
        let (provider, taken) = (entry.provider.clone(), taken.to_vec());
        self.repeated.insert(id, Repeated { provider, taken, is_explained });
    }

    fn count_in_flight(&mut self, evidence: &Evidence<'_>) {
        let claimed = evidence.struck.iter().map(|struck| struck.in_flight.len() as u64);
        self.in_flight_at = claimed.collect();
        for taken in evidence.book.taken.values().flatten() {
            let Some(manner) = taken.manner else { continue };
            let met = |struck: &Struck| {
                struck.kind == Kind::Receivers(manner) && struck.began <= taken.at
            };
            // The last one before it: a receiver may read a message after it was told to behave.
            let fault = evidence.struck.iter().rposition(met);
            match fault.and_then(|fault| self.in_flight_at.get_mut(fault)) {
                Some(count) => *count += 1,
                None => self.broken.push(format!("a receiver misbehaved by itself: {manner:?}")),
            }
        }
        self.in_flight = self.in_flight_at.iter().sum();
        let duplicates = self.count_duplicates();
        if duplicates > self.in_flight {
            let in_flight = self.in_flight;
            self.broken.push(format!("{duplicates} duplicates, and only {in_flight} in flight"));
        }
    }
}

/// By what a receiver knows the messages of a delivery.
fn mark_of(entry: &Entry) -> Mark {
    match (entry.provider.as_str(), entry.number) {
        ("team", Some(number)) => Mark::Event(number),
        _ => Mark::Delivery(entry.id.0),
    }
}

/// What kept Loa from knowing that a message had come, so that it came again.
fn cause(id: DeliveryId, (before, after): (&Taken, &Taken), struck: &[Struck]) -> &'static str {
    if let Some(manner) = before.manner {
        return Manner::as_str(manner);
    }
    let explains = |struck: &&Struck| {
        struck.in_flight.contains(&id)
            && struck.ended + UNDER_WAY >= before.at
            && struck.began <= after.at
    };
    struck.iter().find(explains).map_or(UNEXPLAINED, |struck| struck.kind.as_str())
}

fn name_orphan(mark: Mark, times: usize) -> String {
    match mark {
        Mark::Delivery(id) => format!("{times} × delivery {}", Uuid::hyphenated(id)),
        Mark::Event(number) => format!("{times} × event {}", work::business_key(number)),
        Mark::Unknown => format!("{times} × a message that names no delivery"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The deliveries of events 0 (held if unknown) and 1 (by the team's chat).
    fn entries() -> Vec<Entry> {
        let entry = |id: u128, number, provider: &str| Entry {
            id: DeliveryId(Uuid::from_u128(id)),
            number: Some(number),
            provider: provider.to_owned(),
            state: State::Sent,
            reason: Reason::Accepted,
        };
        vec![entry(1, 0, "hook"), entry(2, 1, "team")]
    }

    fn taken(second: u64, manner: Option<Manner>) -> Taken {
        Taken { at: Duration::from_secs(second), manner }
    }

    fn book(hook: &[Taken], team: &[Taken]) -> Book {
        let mut book = Book::default();
        book.taken.insert(Mark::Delivery(Uuid::from_u128(1)), hook.to_vec());
        book.taken.insert(Mark::Event(1), team.to_vec());
        book.taken.retain(|_, taken| !taken.is_empty());
        book
    }

    fn kill(second: u64, in_flight: &[u128]) -> Struck {
        let at = Duration::from_secs(second);
        let ids = in_flight.iter().map(|id| DeliveryId(Uuid::from_u128(*id)));
        let in_flight = ids.collect();
        Struck { kind: Kind::Kill, began: at, ended: at, in_flight, broke: None }
    }

    fn account(entries: &[Entry], book: &Book, struck: &[Struck]) -> Account {
        Account::of(&Evidence { accepted: 2, entries, book, struck })
    }

    #[test]
    fn what_came_once_is_in_order() {
        let book = book(&[taken(1, None)], &[taken(1, None)]);

        assert_eq!(account(&entries(), &book, &[]), Account::default());
    }

    #[test]
    fn what_was_accepted_and_is_not_there_is_lost() {
        let book = book(&[taken(1, None)], &[]);

        let found = account(&entries(), &book, &[]);
        let without_event = account(&entries()[..1], &book, &[]);

        assert_eq!(found.lost.len(), 1, "{found:?}");
        assert_eq!(without_event.lost.len(), 1, "{without_event:?}");
    }

    #[test]
    fn a_duplicate_is_explained_by_a_fault_that_met_it_in_flight_and_by_nothing_else() {
        let book = book(&[taken(1, None)], &[taken(5, None), taken(9, None)]);
        let causes = |struck: &[Struck]| account(&entries(), &book, struck).duplicates;
        let explained = BTreeMap::from([(Kind::Kill.as_str(), 1)]);
        let unexplained = BTreeMap::from([(UNEXPLAINED, 1)]);

        assert_eq!(causes(&[kill(6, &[2])]), explained);
        assert_eq!(causes(&[kill(6, &[1])]), unexplained);
        assert_eq!(causes(&[kill(2, &[2])]), unexplained);
        assert_eq!(causes(&[kill(10, &[2])]), unexplained);
        assert_eq!(account(&entries(), &book, &[]).broken.len(), 2);
    }

    #[test]
    fn a_receiver_that_did_not_answer_explains_a_duplicate_but_not_of_what_is_held() {
        let cut = Some(Manner::CutsAfter);
        let team = book(&[taken(1, None)], &[taken(5, cut), taken(9, None)]);
        let hook = book(&[taken(1, cut), taken(2, None)], &[taken(5, None)]);

        let cuts =
            |second| Struck { kind: Kind::Receivers(Manner::CutsAfter), ..kill(second, &[]) };
        let struck = [cuts(0), kill(4, &[1]), cuts(4), cuts(6)];
        let account = |book| account(&entries(), book, &struck);
        let (team, hook) = (account(&team), account(&hook));

        assert_eq!((team.count_duplicates(), team.in_flight, team.broken.len()), (1, 2, 0));
        assert_eq!(team.in_flight_at, [0, 1, 1, 0]);
        assert_eq!(hook.in_flight_at, [1, 1, 0, 0]);
        assert_eq!(hook.broken.len(), 1, "{hook:?}");
    }

    #[test]
    fn what_no_delivery_explains_is_an_orphan() {
        let mut book = book(&[taken(1, None)], &[taken(1, None)]);
        book.taken.insert(Mark::Delivery(Uuid::from_u128(3)), vec![taken(1, None)]);
        book.taken.insert(Mark::Unknown, vec![taken(1, None)]);

        assert_eq!(account(&entries(), &book, &[]).orphans.len(), 2);
    }

    #[test]
    fn a_state_that_nothing_explains_is_told_with_its_delivery() {
        let book = book(&[taken(1, None)], &[taken(1, None)]);
        let mut entries = entries();
        entries[1].state = State::Waiting;
        entries[0].state = State::Failed;

        let found = account(&entries, &book, &[]);

        assert_eq!(found.broken.len(), 2, "{found:?}");
        assert!(found.broken.iter().all(|text| text.contains("00000000-0000-")));
    }
}
