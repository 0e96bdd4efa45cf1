//! What came to the receivers, message by message.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use uuid::Uuid;

use super::manner::Manner;
use super::work;
use crate::clock::Clock;

/// What a receiver can tell of a message: the delivery, or the number of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mark {
    /// By its idempotency header, its Message-ID or the id in its body.
    Delivery(Uuid),
    /// By the order number in its text, where a gateway takes nothing else.
    Event(u64),
    /// By nothing: no message of Loa's looks like this.
    Unknown,
}

/// One message that a receiver took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// When, by the monotonic clock of the drill.
    pub(super) at: Duration,
    /// How it was kept from saying so; none if it said so.
    pub(super) manner: Option<Manner>,
}

/// Counts what comes, and says how the receivers behave.
pub(super) struct Tally {
    clock: Clock,
    manner: Mutex<Option<Manner>>,
    rng: Mutex<Rng>,
    book: Mutex<Book>,
    /// How many messages came, however they were met.
    noted: watch::Sender<u64>,
}

/// All that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// Every message by its mark, in the order in which they came.
    pub(super) taken: HashMap<Mark, Vec<Taken>>,
    /// Messages that were refused for good.
    pub(super) refused: HashSet<Mark>,
}

impl Tally {
    /// A tally with nothing in it; `seed` decides which messages meet with a bad manner.
    pub(super) fn new(clock: Clock, seed: u64) -> Self {
        let rng = Mutex::new(Rng::with_seed(seed));
        let noted = watch::Sender::new(0);
        Self { clock, manner: Mutex::default(), rng, book: Mutex::default(), noted }
    }

    /// From now on half of all messages are met in this way.
    pub(super) fn behave(&self, manner: Option<Manner>) {
        *lock(&self.manner) = manner;
    }

    /// How the next message is met.
    pub(super) fn next_manner(&self) -> Option<Manner> {
        let manner = *lock(&self.manner);
        manner.filter(|_| lock(&self.rng).bool())
    }

    /// Takes note of a message, before it is answered.
    pub(super) fn note(&self, mark: Mark, manner: Option<Manner>) {
        let mut book = lock(&self.book);
        if manner == Some(Manner::Refuses) {
            book.refused.insert(mark);
        }
        if manner.is_none_or(Manner::takes) {
            let taken = Taken { at: self.clock.monotonic(), manner };
            book.taken.entry(mark).or_default().push(taken);
        }
        drop(book);
        self.noted.send_modify(|noted| *noted += 1);
    }

    /// How many messages came so far, and what tells when more do.
    pub(super) fn noted(&self) -> (u64, watch::Receiver<u64>) {
        let noted = self.noted.subscribe();
        let count = *noted.borrow();
        (count, noted)
    }

    /// All that came so far.
    pub(super) fn book(&self) -> Book {
        lock(&self.book).clone()
    }
}

impl Mark {
    /// The mark of a delivery's id as text.
    pub(super) fn of_id(text: &str) -> Self {
        Uuid::parse_str(text.trim()).map_or(Self::Unknown, Self::Delivery)
    }

    /// The mark of an order number somewhere in a text.
    pub(super) fn of_text(bytes: &[u8]) -> Self {
        work::number_in(bytes).map_or(Self::Unknown, Self::Event)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
