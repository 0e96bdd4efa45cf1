//! The line before a desk: deliveries leased while planned that wait a moment for a slot.
//!
//! What stands in line never waits in the store: it is neither written there nor claimed. So the
//! line is only as long as the desk works off within [`IN_LINE`], going by how long its calls took
//! lately, and nobody stands in it for longer than [`PATIENCE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// How long the last in line should wait.
const IN_LINE: Duration = Duration::from_millis(100);
/// How long one stands in line before it is given back: the desk has become slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The longest line, however fast the desk.
const LONGEST: usize = 1_000;
/// How often who waits for room looks for it.
const LOOK: Duration = Duration::from_millis(5);
/// How much of the time of the calls before one more call changes.
const INERTIA: u64 = 16;

/// Who stands before a desk with so many slots.
#[derive(Debug)]
pub(super) struct Line {
    slots: usize,
    taken: AtomicUsize,
    /// How long a slot was taken lately, in microseconds; 0 if nothing is known.
    call: AtomicU64,
    /// Held by who waits for room, and until it has taken it.
    turn: Mutex<()>,
}

/// A place in line; dropped, it is free.
#[derive(Debug)]
pub struct Place(Arc<Line>);

impl Line {
    /// A line before a desk with this many slots; without places until its calls have proved short.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            slots,
            taken: AtomicUsize::new(0),
            call: AtomicU64::new(0),
            turn: Mutex::new(()),
        })
    }

    /// A free place, if there is one.
    pub(super) fn stand(self: &Arc<Self>) -> Option<Place> {
        let longest = self.longest();
        let stand = |taken| (taken < longest).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, stand).ok()?;
        Some(Place(Arc::clone(self)))
    }

    /// Learns from a slot that was taken for so long.
    pub(super) fn learn(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Two that learn at once may lose one of the two: it is a rule of thumb.
        let now = match self.call.load(Ordering::Relaxed) {
            0 => took,
            before => before - before / INERTIA + took / INERTIA,
        };
        self.call.store(now.max(1), Ordering::Relaxed);
    }

    /// Waits until so many find a slot or a place, or as many as ever do. Nobody else has a turn
    /// until what it returns is dropped. The caller bounds how long.
    pub(super) async fn wait_for_room(
        &self,
        wanted: usize,
        free_slots: impl Fn() -> usize,
    ) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        // A line without places is not waited for: its desk is slow.
        let enough = || match self.longest() {
            0 => true,
            places => self.room(free_slots()) >= wanted.min(self.slots + places),
        };
        while !enough() {
            tokio::time::sleep(LOOK).await;
        }
        turn
    }

    #[cfg(test)]
    pub(super) fn is_waited_for(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    fn room(&self, free_slots: usize) -> usize {
        free_slots + self.longest().saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// By Little's law: so many come out of it within [`IN_LINE`].
    fn longest(&self) -> usize {
        let call = u128::from(self.call.load(Ordering::Relaxed));
        let longest = (self.slots as u128 * IN_LINE.as_micros()).checked_div(call).unwrap_or(0);
        usize::try_from(longest).unwrap_or(LONGEST).min(LONGEST)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand_all(line: &Arc<Line>) -> Vec<Place> {
        std::iter::from_fn(|| line.stand()).collect()
    }

    /// A line with as many places as slots.
    fn line(slots: usize) -> Arc<Line> {
        let line = Line::new(slots);
        line.learn(IN_LINE);
        line
    }

    fn learn(line: &Line, took: Duration) {
        (0..200).for_each(|_| line.learn(took));
    }

    /// Whether room comes, however long that takes.
    async fn comes(wait: impl Future) -> bool {
        tokio::time::timeout(Duration::from_mins(1), wait).await.is_ok()
    }

    #[test]
    fn a_line_is_as_long_as_is_soon_worked_off() {
        let line = Line::new(8);

        let at_first = stand_all(&line).len();
        line.learn(IN_LINE);
        let after_one_call = stand_all(&line).len();
        learn(&line, Duration::from_millis(10));
        let fast = stand_all(&line).len();
        learn(&line, Duration::from_micros(10));
        let fastest = stand_all(&line).len();
        learn(&line, Duration::from_secs(1));
        let slow = stand_all(&line).len();

        assert_eq!((at_first, after_one_call), (0, 8));
        assert!((75..=85).contains(&fast), "eight slots end 80 calls of 10 ms in 100 ms: {fast}");
        assert_eq!(fastest, LONGEST);
        assert_eq!(slow, 0);
    }

    #[test]
    fn a_place_is_free_once_it_is_left() {
        let line = line(2);
        let mut places = stand_all(&line);
        assert!(line.stand().is_none());

        places.pop();

        assert!(line.stand().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_has_it_once_enough_have_left() {
        let line = line(4);
        let mut places = stand_all(&line);
        let mut wait = Box::pin(line.wait_for_room(2, || 0));
        assert!(!comes(&mut wait).await, "the line is full");

        places.pop();
        let with_one_place = comes(&mut wait).await;
        places.pop();

        assert!(!with_one_place);
        assert!(comes(&mut wait).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_more_than_there_is_waits_for_all_there_is() {
        let line = line(4);
        let mut places = stand_all(&line);
        let mut wait = Box::pin(line.wait_for_room(500, || 4));
        assert!(!comes(&mut wait).await, "the line is full");

        places.clear();

        assert!(comes(&mut wait).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_after_the_other_and_one_that_gives_up_is_in_nobodys_way() {
        let line = line(4);
        let first = line.wait_for_room(1, || 0).await;
        let mut second = Box::pin(line.wait_for_room(1, || 0));
        assert!(!comes(&mut second).await, "it is not its turn");

        drop(first);
        let places = stand_all(&line);
        assert!(!comes(&mut second).await, "the line is full");
        drop(second);
        drop(places);

        assert!(comes(line.wait_for_room(1, || 0)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_room_before_a_slow_desk() {
        let line = Line::new(4);

        assert!(comes(line.wait_for_room(1, || 0)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn slots_that_come_free_unheard_are_found_and_so_is_a_desk_that_has_become_slow() {
        let (line, free) = (line(4), AtomicUsize::new(0));
        let places = stand_all(&line);
        let free_slots = || free.load(Ordering::Relaxed);
        let mut wait = Box::pin(line.wait_for_room(2, free_slots));
        assert!(!comes(&mut wait).await, "the line is full");

        free.store(2, Ordering::Relaxed);
        drop(wait.await);
        free.store(0, Ordering::Relaxed);
        let mut wait = Box::pin(line.wait_for_room(2, free_slots));
        assert!(!comes(&mut wait).await, "the line is full");
        learn(&line, Duration::from_secs(1));
        drop(wait.await);

        assert_eq!(places.len(), 4, "nobody has left");
    }
}
