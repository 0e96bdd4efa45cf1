//! The corpus kept in the repository, and what small changes make of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::*;

/// How many changed copies of each file are tried.
const COPIES: usize = 40;
/// How long one input may take on a slow machine that does other things besides.
const PATIENCE: Duration = Duration::from_secs(20);

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// One change such as happens to bytes on their way, or is tried by someone who looks for a hole.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = rng.usize(at..=bytes.len());
    match rng.u8(..6) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.insert(at, rng.u8(..)),
        3 => {
            let piece = bytes[at..end].repeat(rng.usize(1..8));
            bytes.splice(at..at, piece);
        }
        4 => {
            let odd: [&[u8]; 8] =
                [b"\0", b"\r\n", b"{{", b"\xff", b"\"", b"999999999999", b"\xe2\x80\xae", b"<!@"];
            bytes.splice(at..at, rng.choice(odd).unwrap().iter().copied());
        }
        _ => bytes[at..end].fill(rng.u8(..)),
    }
}

fn survives(name: &str) {
    let target = find(name).unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir(corpora().join(name)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "tests/corpus/{name} is empty");
    for file in files {
        let kept = std::fs::read(&file).unwrap();
        // The same copies each time, so that what fails can be tried again.
        let mut rng = Rng::with_seed(kept.len() as u64);
        for copy in 0..=COPIES {
            let mut bytes = kept.clone();
            for _ in 0..copy.div_ceil(10) {
                change(&mut bytes, &mut rng);
            }
            bytes.truncate(16 << 10);
            let began = Instant::now();
            target(&bytes);
            let took = began.elapsed();
            let shown = String::from_utf8_lossy(&bytes);
            assert!(took < PATIENCE, "{took:?} for copy {copy} of {}: {shown}", file.display());
        }
    }
}

#[test]
fn each_target_has_a_corpus_and_each_corpus_a_target() {
    let named: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();

    let folders = std::fs::read_dir(corpora()).unwrap();
    let kept: BTreeSet<_> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();

    assert_eq!(kept, named);
}

macro_rules! each_survives {
    ($($test:ident $name:literal)*) => {
        $(
            #[test]
            fn $test() {
                survives($name);
            }
        )*

        #[test]
        fn every_target_is_tried() {
            let tried = [$($name),*];

            assert_eq!(tried.to_vec(), TARGETS.map(|(name, _)| name).to_vec());
        }
    };
}

each_survives! {
    chat_survives_any_bytes "chat"
    config_survives_any_bytes "config"
    cursor_survives_any_bytes "cursor"
    event_survives_any_bytes "event"
    filter_survives_any_bytes "filter"
    handlebars_survives_any_bytes "handlebars"
    http_answer_survives_any_bytes "http_answer"
    retry_after_survives_any_bytes "retry_after"
    sms_survives_any_bytes "sms"
    smtp_answers_survives_any_bytes "smtp_answers"
    template_survives_any_bytes "template"
    url_survives_any_bytes "url"
}
