//! Thousands of random histories of the whole way of an event, on a clock moved by hand.
//!
//! A history is a list of deeds: events come, workers claim, ask the gate, call providers and get
//! answers or none, leases end, processes die, operators repair. What decides is the real thing:
//! decoding, planning, the accepting transaction, claims, the gate, windows, settlements, the
//! sweep, over a SQLite file. Only who does what when is random, and a provider is a number of
//! messages received. After each deed the promises of `docs/architecture.md` are looked at, and at
//! the end everything is healed and must come to rest. A history that breaks one is shrunk to the
//! shortest that does.

mod catalogue;
mod deeds;
mod hands;
mod promises;
mod world;

use std::ops::Range;
use std::process::Command;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use self::deeds::Deed;
use self::world::{Place, World};
use crate::sabotage::{self, Sabotage};

/// How many short histories there are, and of how many deeds; `PROPTEST_CASES` asks for more.
const SHORT: (u32, Range<usize>) = (1000, 1..16);
/// The same of long ones.
const LONG: (u32, Range<usize>) = (60, 30..60);
/// How many cases proptest has unless `PROPTEST_CASES` asks for more.
const UNASKED: u32 = 256;
/// What chance begins with, so that a run can be repeated; `PROPTEST_RNG_SEED` names another.
const SEED: RngSeed = RngSeed::Fixed(20_260_302);

/// Plays one history from an empty store to its end; `Err` says which promise is broken and where.
async fn play(place: &Place, history: &[Deed]) -> Result<(), String> {
    let mut world = World::begin(place).await;
    for (index, deed) in history.iter().enumerate() {
        let told = |fault| format!("{fault}\nafter deed {index}, {deed:?}");
        world.play(deed).await.map_err(told)?;
        world.look(deed).await.map_err(told)?;
    }
    world.heal().await.map_err(|fault| format!("{fault}\nonce all was healed"))
}

fn every_promise_holds((histories, deeds): (u32, Range<usize>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = runtime.block_on(Place::open());
    let asked = Config::default();
    let rng_seed = if asked.rng_seed == RngSeed::Random { SEED } else { asked.rng_seed };
    let cases = if asked.cases == UNASKED { histories } else { asked.cases };
    let (max_shrink_iters, failure_persistence) = (2000, None);
    let config = Config { cases, rng_seed, max_shrink_iters, failure_persistence, ..asked };
    let run = TestRunner::new(config).run(&deeds::history(deeds), |history| {
        runtime.block_on(play(&place, &history)).map_err(TestCaseError::fail)
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[test]
fn every_promise_holds_through_short_histories() {
    every_promise_holds(SHORT);
}

#[test]
fn every_promise_holds_through_long_histories() {
    every_promise_holds(LONG);
}

#[test]
fn histories_show_a_process_that_ignores_leases() {
    let name = "histories_show_a_process_that_ignores_leases";
    assert_shown(name, Sabotage::IgnoresLeases, "was claimed while another claim lasts");
}

#[test]
fn histories_show_a_process_that_retries_what_is_to_be_held() {
    let name = "histories_show_a_process_that_retries_what_is_to_be_held";
    assert_shown(name, Sabotage::RetriesWhatIsHeld, "unknown means hold");
}

/// Plays the histories in a process that is broken on purpose, which must be told in these words.
///
/// The test starts this very executable with its own name, and by a variable tells it to be broken.
#[expect(clippy::disallowed_methods, reason = "how the test tells itself which part it plays")]
fn assert_shown(name: &str, sabotage: Sabotage, words: &str) {
    const BROKEN: &str = "SIMULATION_IS_BROKEN";
    if std::env::var_os(BROKEN).is_some() {
        sabotage::commit(sabotage);
        return every_promise_holds(SHORT);
    }
    let own_name = module_path!().split_once("::").unwrap().1;
    let mut broken = Command::new(std::env::current_exe().unwrap());
    broken.args(["--exact", &format!("{own_name}::{name}"), "--nocapture"]).env(BROKEN, "");

    let output = broken.output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "no history shows it");
    assert!(told.contains(words), "{told}");
    assert!(told.contains("minimal failing input"), "{told}");
}
