//! What Loa must never tell: looked for in everything that each journey hears from it.
//!
//! The whole log of each Loa is searched when it ends, at the level `debug`; what one in the test's
//! own process logs, when its stage ends; `/metrics` and every refusal, whenever one is heard.

use std::io::{self, Write};
use std::sync::{Mutex, Once};

/// Secrets of settings, numbers, names and words of the people and messages of all journeys.
const WORDS: [&str; 9] = [
    "canary",
    "0123456789abcdef0123456789abcdef",
    "5550100",
    "901234567",
    "909999999",
    "907777777",
    "Nguyễn Thị Lan",
    "giao chậm",
    "<script>alert",
];

/// The ends of the domains at which the addresses of journeys are.
const DOMAINS: [&str; 2] = [".test", ".example"];

/// The first thing in `text` that nobody must be told, with its line; `secrets` are those of one
/// Loa.
pub(super) fn find_in(text: &str, secrets: &[String]) -> Option<String> {
    text.lines().find_map(|line| {
        let word = WORDS.iter().copied().chain(secrets.iter().map(String::as_str));
        let found = word.into_iter().find(|word| is_told_in(line, word)).map(str::to_owned);
        let found = found.or_else(|| find_address(line))?;
        Some(format!("`{found}` in: {line}"))
    })
}

/// Whether `line` has `word`; digits of a fraction are no phone number, such as those of a sum of
/// seconds in `/metrics`.
fn is_told_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, _) = line.split_at(at);
        let before = before.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let whole = before.strip_suffix('.').unwrap_or_default();
        !word.starts_with(|letter: char| letter.is_ascii_digit())
            || !whole.ends_with(|letter: char| letter.is_ascii_digit())
    })
}

fn find_address(line: &str) -> Option<String> {
    line.split('@').skip(1).find_map(|behind| {
        let end = behind
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.' && letter != '-');
        let domain = behind.get(..end.unwrap_or(behind.len()))?;
        let domain = domain.trim_end_matches('.');
        DOMAINS.iter().any(|end| domain.ends_with(end)).then(|| format!("@{domain}"))
    })
}

/// Fails if `text`, which came from `place`, tells what nobody must be told.
#[track_caller]
pub(super) fn assert_silent(place: &str, text: &str, secrets: &[String]) {
    if let Some(found) = find_in(text, secrets) {
        panic!("{place} tells {found}");
    }
}

/// What this process has logged that it must not.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Listens to what the test's own process logs, from now on.
pub(crate) fn overhear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = loa::telemetry::subscriber("debug", false, false, || Overhearer).unwrap();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// Fails if this process has logged what nobody must be told.
#[track_caller]
pub(crate) fn assert_unheard() {
    let heard = std::mem::take(&mut *HEARD.lock().unwrap());
    assert!(heard.is_empty(), "the log tells {heard:?}");
}

struct Overhearer;

impl Write for Overhearer {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        HEARD.lock().unwrap().extend(find_in(&String::from_utf8_lossy(record), &[]));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whatever_must_not_be_told_is_found_and_nothing_else() {
    let secrets = ["token-7".to_owned()];
    for told in [
        "sent to lan@minhphat.test.",
        "{\"to\":\"x@a.example\"}",
        "a line\nand +84901234567",
        "it took 0.0601234 s. 0909999999",
        "with token-7",
        "for Nguyễn Thị Lan",
    ] {
        assert!(find_in(told, &secrets).is_some(), "{told}");
    }
    let fraction = "loa_store_batch_seconds_sum{what=\"claim\"} 0.060116909999999999";
    for silent in ["https://loa.test/u", "loa@127.0.0.1", "user@host", "a@b.testing", fraction] {
        assert_eq!(find_in(silent, &secrets), None);
    }
}
