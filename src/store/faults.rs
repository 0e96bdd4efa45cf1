//! Lets a chosen call of a store fail, for tests of what becomes of everything then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Store, StoreError};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing is done, and the caller is told so.
    Refused,
    /// All is done and committed, and the caller is told that it failed.
    AnswerLost,
    /// Nothing is done, now or later: the process is dead.
    DiesBefore,
    /// All is done and committed, and nothing more: the process is dead.
    DiesAfter,
}

/// What is to fail, and how often each method was called; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    counts: BTreeMap<String, u32>,
    chosen: Option<(String, u32, Failure)>,
    has_failed: bool,
    is_dead: bool,
}

impl Faults {
    /// Lets call number `nth` (from 1) of `method` fail.
    pub(crate) fn choose(&self, method: &str, nth: u32, failure: Failure) {
        self.script().chosen = Some((method.to_owned(), nth, failure));
    }

    /// How often each method was called.
    pub(crate) fn counts(&self) -> BTreeMap<String, u32> {
        self.script().counts.clone()
    }

    /// Whether the chosen call was made.
    pub(crate) fn has_failed(&self) -> bool {
        self.script().has_failed
    }

    /// Whether every further call fails, since the process counts as dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.script().is_dead
    }

    /// Ends the process, as far as its store can tell.
    pub(crate) fn die(&self) {
        self.script().is_dead = true;
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, whose closure has this type, unless it is to fail.
    pub(super) async fn around<T>(
        &self,
        closure: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let failure = self.note(method_of(closure));
        if self.is_dead() || failure == Some(Failure::Refused) {
            return Err(failed());
        }
        let result = call.await;
        if failure == Some(Failure::DiesAfter) {
            self.die();
        }
        // What a dead process asked for may still be done; nobody hears of it.
        if self.is_dead() || failure == Some(Failure::AnswerLost) {
            return Err(failed());
        }
        result
    }

    /// Counts a call of `method`, and says how it fails if it is the chosen one.
    fn note(&self, method: &str) -> Option<Failure> {
        let mut script = self.script();
        let count = script.counts.entry(method.to_owned()).or_default();
        *count += 1;
        let count = *count;
        let (_, _, failure) =
            script.chosen.as_ref().filter(|(name, nth, _)| name == method && *nth == count)?;
        let failure = *failure;
        script.has_failed = true;
        script.is_dead |= failure == Failure::DiesBefore;
        Some(failure)
    }
}

impl Store {
    /// What is to fail of this store.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The same store, whose calls do not fail.
    pub(crate) fn without_faults(&self) -> Self {
        Self { faults: Faults::default(), ..self.clone() }
    }
}

/// The method that a closure stands in: `loa::store::claim::<impl …>::claim::{{closure}}`.
fn method_of(closure: &str) -> &str {
    let mut words = closure.rsplit("::").filter(|word| *word != "{{closure}}");
    words.next().unwrap_or_default()
}

fn failed() -> StoreError {
    StoreError::Unreachable("a test lets this call fail".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_the_method_it_stands_in() {
        let closure =
            "loa::store::claim::<impl loa::store::Store>::claim::{{closure}}::{{closure}}";

        assert_eq!(method_of(closure), "claim");
    }
}
