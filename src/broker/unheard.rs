//! Keys of status events that nobody listens for, so that not each of them goes to the broker and
//! back.

use std::collections::{HashMap, HashSet};

use crate::model::status::StatusEvent;

use super::publication::{StatusOutcome, has_header};

/// How many keys are remembered. One too many forgets all; then each is published as if it were
/// heard.
const MOST_KEYS: usize = 4096;

/// The routing keys for which no queue was bound when last something was published by them.
///
/// It is known for certain that nobody gets what is left out. All that decides where a status event
/// goes is the exchange, the routing key and the headers; those with a header are never left out,
/// and the exchange is one. Of those with one key the first is published. If it comes back, then no
/// queue was bound for the key at that moment, and to have published the others of the same call at
/// that moment would have brought each of them back too: they were all written before. Whoever
/// binds a queue later gets what is written afterwards, since each call publishes the first of a
/// key again. If it is heard, the others follow at once.
///
/// While nothing changes, the order is that of the events. Only in the call in which a key comes to
/// be heard does the first one of that key go before others; a listener has the version to go by.
#[derive(Debug, Default)]
pub(super) struct Unheard(HashSet<String>);

impl Unheard {
    /// What is to be published first, by position: all but what waits for the first one of its key.
    pub(super) fn first_round(&self, events: &[StatusEvent]) -> Vec<usize> {
        let mut asked: HashSet<&str> = HashSet::new();
        let mut round = Vec::with_capacity(events.len());
        for (at, event) in events.iter().enumerate() {
            let is_unheard = !has_header(event) && self.0.contains(&event.routing_key);
            if !is_unheard || asked.insert(&event.routing_key) {
                round.push(at);
            }
        }
        round
    }

    /// Learns from what became of some events, settles what waited for them, and returns what is to
    /// be published now.
    pub(super) fn learn(
        &mut self,
        events: &[StatusEvent],
        outcomes: &mut [Option<StatusOutcome>],
    ) -> Vec<usize> {
        let mut last: HashMap<&str, StatusOutcome> = HashMap::new();
        for (event, outcome) in events.iter().zip(&*outcomes) {
            if let Some(outcome) = outcome.as_ref().filter(|_| !has_header(event)) {
                last.insert(&event.routing_key, outcome.clone());
            }
        }
        let mut next = Vec::new();
        for (at, (event, outcome)) in events.iter().zip(outcomes).enumerate() {
            if outcome.is_some() {
                continue;
            }
            match last.get(&*event.routing_key) {
                Some(StatusOutcome::Returned | StatusOutcome::LeftOut) => {
                    *outcome = Some(StatusOutcome::LeftOut);
                }
                Some(StatusOutcome::Failed(text)) => {
                    *outcome = Some(StatusOutcome::Failed(text.clone()));
                }
                Some(StatusOutcome::Confirmed) | None => next.push(at),
            }
        }
        self.remember(last);
        next
    }

    fn remember(&mut self, last: HashMap<&str, StatusOutcome>) {
        for (key, outcome) in last {
            match outcome {
                StatusOutcome::Returned if !self.0.contains(key) => {
                    if self.0.len() >= MOST_KEYS {
                        self.0.clear();
                    }
                    self.0.insert(key.to_owned());
                }
                StatusOutcome::Confirmed => {
                    self.0.remove(key);
                }
                StatusOutcome::Returned | StatusOutcome::LeftOut | StatusOutcome::Failed(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn events(keys: &[&str]) -> Vec<StatusEvent> {
        let event = |key: &&str| StatusEvent {
            id: Uuid::nil(),
            routing_key: (*key).to_owned(),
            correlation_id: None,
            at: Timestamp::UNIX_EPOCH,
            body: Bytes::new(),
        };
        keys.iter().map(event).collect()
    }

    /// What a call does: the rounds, and what becomes of each event when `heard` is listened for.
    fn call(
        unheard: &mut Unheard,
        events: &[StatusEvent],
        fate: impl Fn(&str) -> StatusOutcome,
    ) -> (Vec<Vec<usize>>, Vec<StatusOutcome>) {
        let (mut rounds, mut outcomes) = (Vec::new(), vec![None; events.len()]);
        let mut round = unheard.first_round(events);
        while !round.is_empty() {
            for at in &round {
                outcomes[*at] = Some(fate(&events[*at].routing_key));
            }
            rounds.push(round);
            round = unheard.learn(events, &mut outcomes);
        }
        (rounds, outcomes.into_iter().flatten().collect())
    }

    fn only_b(key: &str) -> StatusOutcome {
        if key == "b" { StatusOutcome::Confirmed } else { StatusOutcome::Returned }
    }

    #[test]
    fn of_a_key_that_nobody_listens_for_only_the_first_is_published() {
        use StatusOutcome::{Confirmed, LeftOut, Returned};
        let mut unheard = Unheard::default();
        let events = events(&["a", "b", "a", "b", "a"]);

        let first = call(&mut unheard, &events, only_b);
        let second = call(&mut unheard, &events, only_b);

        assert_eq!(first.0, [vec![0, 1, 2, 3, 4]]);
        assert_eq!(second.0, [vec![0, 1, 3]]);
        assert_eq!(second.1, [Returned, Confirmed, LeftOut, Confirmed, LeftOut]);
    }

    #[test]
    fn once_the_first_is_heard_the_others_follow() {
        let mut unheard = Unheard::default();
        let events = events(&["a", "b", "a", "a"]);
        call(&mut unheard, &events, only_b);

        let bound = call(&mut unheard, &events, |_| StatusOutcome::Confirmed);
        let after = call(&mut unheard, &events, |_| StatusOutcome::Confirmed);

        assert_eq!(bound.0, [vec![0, 1], vec![2, 3]]);
        assert_eq!(bound.1, vec![StatusOutcome::Confirmed; 4]);
        assert_eq!(after.0, [vec![0, 1, 2, 3]]);
    }

    #[test]
    fn if_the_first_fails_so_do_the_others_and_nothing_is_learnt() {
        let mut unheard = Unheard::default();
        let events = events(&["a", "a"]);
        call(&mut unheard, &events, only_b);
        let failed = StatusOutcome::Failed("away".to_owned());

        let without = call(&mut unheard, &events, |_| failed.clone());
        let again = call(&mut unheard, &events, only_b);

        assert_eq!(without, (vec![vec![0]], vec![failed; 2]));
        assert_eq!(again.1, [StatusOutcome::Returned, StatusOutcome::LeftOut]);
    }

    #[test]
    fn what_has_a_header_is_published_and_says_nothing_of_others() {
        let mut unheard = Unheard::default();
        let mut events = events(&["a", "a", "a"]);
        call(&mut unheard, &events, only_b);
        events[1].correlation_id = Some("long".repeat(100));

        let (rounds, _) = call(&mut unheard, &events, only_b);

        assert_eq!(rounds, [vec![0, 1]]);
    }

    #[test]
    fn ever_other_keys_do_not_fill_the_memory() {
        let mut unheard = Unheard::default();

        for number in 0..3 * MOST_KEYS {
            call(&mut unheard, &events(&[&number.to_string()]), only_b);
        }

        assert!(unheard.0.len() <= MOST_KEYS);
    }
}
