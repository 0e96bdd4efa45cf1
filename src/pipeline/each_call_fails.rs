//! Each call of the store and of a provider fails once in turn, in every way in which it can.
//!
//! A calm run of a small story counts the calls. Then it is told again and again, each time with
//! one call that is refused, whose answer is lost after the commit, or at which the process dies
//! and is started again. Each time the ledger must close and agree with the rows, everything must
//! end as in the calm run, and a message may arrive twice only with an attempt `unknown`.

mod ground;
mod house;
mod receiver;
mod story;

use futures_util::StreamExt;

use self::house::{House, Template};
use self::receiver::Setback;
use self::story::Ending;
use crate::store::faults::Failure;

/// Calls of one method beyond this many find what an earlier one found: on SQLite, and on
/// PostgreSQL, where each telling takes longer.
const MOST_CALLS: [u32; 2] = [3, 1];
/// How many stories are told at once.
const AT_ONCE: usize = 4;

/// What goes wrong in one telling.
#[derive(Clone, Debug)]
enum Trouble {
    /// A call of a method of the store.
    Store(String, u32, Failure),
    /// A call of the provider.
    Provider(u32, Setback),
}

/// Tells the story with this trouble, and checks how it ends.
async fn tell(template: &Template, calm: &Ending, trouble: Trouble) {
    let mut house = House::open(template, Some(&trouble)).await;
    let faults = house.store.faults().clone();

    let ending = story::tell(&mut house).await;

    let ending = ending.unwrap_or_else(|fault| panic!("{trouble:?}: {fault}"));
    let (happened, must_happen) = match &trouble {
        // How often the sweep comes by depends on who is quicker, but it comes.
        Trouble::Store(_, nth, _) => (faults.has_failed(), *nth == 1),
        Trouble::Provider(..) => (house.receiver.has_failed(), true),
    };
    assert!(happened || !must_happen, "{trouble:?} did not happen");
    let may_end_otherwise = matches!(trouble, Trouble::Provider(_, Setback::Refused));
    ending.check(calm, may_end_otherwise).unwrap_or_else(|fault| panic!("{trouble:?}: {fault}"));
    house.close().await;
}

async fn tell_with_each(
    troubles: impl IntoIterator<Item = Trouble>,
    calm: &Ending,
    template: &Template,
) {
    let told = troubles.into_iter().map(|trouble| tell(template, calm, trouble));
    futures_util::stream::iter(told).for_each_concurrent(AT_ONCE, |told| told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_of_the_store_fails_nothing_is_lost_sqlite() {
    let [most_calls, _] = MOST_CALLS;
    fail_each_call_of_the_store(&Template::sqlite().await, most_calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_of_the_store_fails_nothing_is_lost_postgres() {
    let [_, most_calls] = MOST_CALLS;
    fail_each_call_of_the_store(&Template::postgres("each_store_call").await, most_calls).await;
}

async fn fail_each_call_of_the_store(template: &Template, most_calls: u32) {
    let mut house = House::open(template, None).await;
    let calm = story::tell(&mut house).await.unwrap();
    let counts = house.store.faults().counts();
    house.close().await;
    for method in ["accept", "claim", "finish", "claim_expired", "answer", "keep_template_version"]
    {
        assert!(counts.contains_key(method), "nothing calls {method}: {counts:?}");
    }

    let ways = [Failure::Refused, Failure::AnswerLost, Failure::DiesBefore, Failure::DiesAfter];
    let calls = counts.iter().flat_map(|(method, count)| {
        (1..=(*count).min(most_calls)).map(move |nth| (method.clone(), nth))
    });
    let troubles: Vec<Trouble> = calls
        .flat_map(|(method, nth)| ways.map(|way| Trouble::Store(method.clone(), nth, way)))
        .collect();
    tell_with_each(troubles, &calm, template).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_of_a_provider_fails_nothing_is_lost_sqlite() {
    fail_each_call_of_a_provider(&Template::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_of_a_provider_fails_nothing_is_lost_postgres() {
    fail_each_call_of_a_provider(&Template::postgres("each_provider_call").await).await;
}

async fn fail_each_call_of_a_provider(template: &Template) {
    let mut house = House::open(template, None).await;
    let calm = story::tell(&mut house).await.unwrap();
    let count = house.receiver.calls();
    house.close().await;
    assert!(count >= 6, "the story calls the provider only {count} times");

    let troubles =
        (1..=count).flat_map(|nth| Setback::ALL.map(|setback| Trouble::Provider(nth, setback)));
    tell_with_each(troubles, &calm, template).await;
}
