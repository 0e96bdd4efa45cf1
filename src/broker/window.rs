//! Which deliveries may be acknowledged: only a prefix without gaps, only on their own channel.

use std::collections::VecDeque;

/// Where an arrival came from: which subscription, and its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    generation: u64,
    tag: u64,
}

/// The deliveries that were handed out and not yet acknowledged, in their order.
///
/// A broker closes a channel that acknowledges a tag it does not know, and after a reconnect tags
/// begin anew: hence generations, of which only the present one counts.
#[derive(Debug, Default)]
pub(super) struct AckWindow {
    generation: u64,
    handed_out: VecDeque<(u64, bool)>,
}

impl AckWindow {
    /// Begins a new subscription; what was handed out before will come again under a new link.
    pub(super) fn begin(&mut self) {
        self.generation += 1;
        self.handed_out.clear();
    }

    /// Notes a delivery; tags of one subscription grow.
    pub(super) fn hand_out(&mut self, tag: u64) -> Link {
        self.handed_out.push_back((tag, false));
        Link { generation: self.generation, tag }
    }

    /// Notes that a delivery is done for good; nothing happens for one of an earlier subscription.
    pub(super) fn settle(&mut self, link: Link) {
        if link.generation != self.generation {
            return;
        }
        if let Ok(at) = self.handed_out.binary_search_by_key(&link.tag, |(tag, _)| *tag) {
            self.handed_out[at].1 = true;
        }
    }

    /// Takes the settled deliveries from the front: how many, and the tag up to which all are.
    pub(super) fn take_settled(&mut self) -> Option<(usize, u64)> {
        let settled = self.handed_out.iter().take_while(|(_, is_settled)| *is_settled).count();
        let (last, _) = self.handed_out.drain(..settled).next_back()?;
        Some((settled, last))
    }

    /// Whether `link` belongs to the present subscription.
    pub(super) fn is_current(&self, link: Link) -> bool {
        link.generation == self.generation
    }

    /// Whether everything that was handed out is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.handed_out.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_holds_back_what_comes_after_it() {
        let mut window = AckWindow::default();
        window.begin();
        let links: Vec<_> = (1..=4).map(|tag| window.hand_out(tag)).collect();

        window.settle(links[1]);
        window.settle(links[2]);
        assert_eq!(window.take_settled(), None);
        window.settle(links[0]);

        assert_eq!(window.take_settled(), Some((3, 3)));
        assert!(!window.is_empty());
    }

    #[test]
    fn a_link_of_an_earlier_subscription_settles_nothing() {
        let mut window = AckWindow::default();
        window.begin();
        let old = window.hand_out(1);
        window.begin();
        let new = window.hand_out(1);

        window.settle(old);

        assert_eq!(window.take_settled(), None);
        assert!(window.is_current(new) && !window.is_current(old));
    }

    #[derive(Clone, Debug)]
    enum Move {
        HandOut,
        Settle(prop::sample::Index),
        Take,
        Begin,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            4 => Just(Move::HandOut),
            4 => any::<prop::sample::Index>().prop_map(Move::Settle),
            2 => Just(Move::Take),
            1 => Just(Move::Begin),
        ];
        prop::collection::vec(one, 0..200)
    }

    proptest! {
        #[test]
        fn nothing_is_acknowledged_before_it_and_all_before_it_are_settled(moves in moves()) {
            let mut window = AckWindow::default();
            window.begin();
            let (mut links, mut settled) = (Vec::new(), BTreeSet::new());
            let (mut next, mut acknowledged) = (1, 0);
            for step in moves {
                match step {
                    Move::HandOut => {
                        links.push(window.hand_out(next));
                        next += 1;
                    }
                    Move::Settle(_) if links.is_empty() => {}
                    Move::Settle(index) => {
                        let link = *index.get(&links);
                        window.settle(link);
                        settled.insert(link);
                    }
                    Move::Take => {
                        if let Some((count, tag)) = window.take_settled() {
                            prop_assert_eq!(acknowledged + count as u64, tag);
                            acknowledged = tag;
                        }
                        let generation = window.generation;
                        let is_settled = |tag| settled.contains(&Link { generation, tag });
                        prop_assert!((1..=acknowledged).all(is_settled));
                        prop_assert!(acknowledged + 1 == next || !is_settled(acknowledged + 1));
                    }
                    Move::Begin => {
                        window.begin();
                        (next, acknowledged) = (1, 0);
                    }
                }
            }
        }
    }
}
