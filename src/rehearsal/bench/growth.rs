//! The row *growth*: accept, claim, record and search on tables of several sizes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::findings::{Findings, as_float, median, millis, round};
use super::ground::insist_that_it_closes;
use super::seed::{LEASE, Seed};
use super::settings::Stage;
use super::sink::Sinks;
use super::{Bench, BenchError, usage};
use crate::clock::Clock;
use crate::model::address::Channel;
use crate::model::contact::{DirectoryChange, Partner};
use crate::model::delivery::State;
use crate::model::id::ProviderName;
use crate::store::{Cursor, DeliveryFilter, PARTNERS};

/// How many deliveries the store holds.
const SIZES: [u64; 2] = [10_000, 1_000_000];
/// Deliveries of one transaction.
const BATCH: usize = 200;
/// How often each thing is done at each size, for one round of the benchmark's extent.
const TIMES: usize = 3;
/// Rows of a page.
const PAGE: u32 = 50;
/// From so many deliveries on, those of each partner and of each part of a name fill a page.
const FULL_FROM: u64 = 10_000;

/// What is done, and how long each time took, in milliseconds.
type Took = BTreeMap<&'static str, Vec<f64>>;

impl Bench {
    pub(super) async fn growth(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let sinks = Sinks::start(&Clock::system())?;
        let config = self.config(&sinks, &Stage::default())?;
        let mut seed = Seed::open(&config).await?;
        // Behind all that is accepted here meanwhile, which has other names and partners than
        // copies.
        let behind = Cursor { at: seed.clock.now(), id: uuid::Uuid::max() };
        let originals = seed.originals("bench.email", Channel::Email).await?;
        seed.store.change_directory((0..PARTNERS).map(partner).collect()).await?;
        let sizes = if self.sizes.is_empty() { SIZES.to_vec() } else { self.sizes.clone() };
        let (mut held, mut found) = (0, Vec::new());
        let empty = seed.store.size().await?;
        for size in sizes {
            tell(&format!("filling the store up to {size} deliveries"));
            let began = seed.clock.monotonic();
            seed.fill(originals, (held, size.max(held))).await?;
            let took = seed.clock.monotonic().saturating_sub(began).as_secs_f64();
            held = held.max(size);
            tell(&format!("filled in {took:.0} s; measuring"));
            let bytes = seed.store.size().await?;
            let (mut took, mut wal) = (Took::new(), Vec::new());
            for _ in 0..TIMES * self.extent.rounds {
                wal.extend(write(&mut seed, &mut took).await?);
                search(&seed, (held, behind), &mut took).await?;
            }
            found.push(Size { rows: held, bytes, wal, took });
        }
        insist_that_it_closes(&seed.store).await?;
        Ok(findings(&found, empty, &seed.store.describe()))
    }
}

/// What was found at one size.
struct Size {
    /// Deliveries.
    rows: u64,
    /// What the store takes on disk.
    bytes: u64,
    /// The bytes of WAL that each batch wrote, on PostgreSQL.
    wal: Vec<u64>,
    took: Took,
}

/// One batch from its acceptance to its record; how many bytes of WAL it wrote, if that is known.
async fn write(seed: &mut Seed, took: &mut Took) -> Result<Option<u64>, BenchError> {
    let batch = seed.batch("bench.email", Channel::Email, BATCH)?;
    let clock = seed.clock.clone();
    let before = seed.store.find_wal_bytes().await?;
    let began = clock.monotonic();
    seed.store.accept(batch).await?;
    let accepted = clock.monotonic();
    let claims = seed.store.claim(&ProviderName::from("email"), BATCH, LEASE).await?;
    let claimed = clock.monotonic();
    if claims.len() != BATCH {
        return Err(BenchError::Broken(format!("{} of {BATCH} were claimed", claims.len())));
    }
    let finishes = claims.iter().map(|claim| seed.sent(claim)).collect();
    let composed = clock.monotonic();
    seed.store.finish(finishes).await?;
    let recorded = clock.monotonic();
    note(took, "accept", accepted.saturating_sub(began));
    note(took, "claim", claimed.saturating_sub(accepted));
    note(took, "record", recorded.saturating_sub(composed));
    let after = seed.store.find_wal_bytes().await?;
    Ok(after.zip(before).map(|(after, before)| after.saturating_sub(before)))
}

/// One page of each search that operators make.
async fn search(
    seed: &Seed,
    (held, behind): (u64, Cursor),
    took: &mut Took,
) -> Result<(), BenchError> {
    for (what, fit, filter) in searches(held) {
        let began = seed.clock.monotonic();
        let page = seed.store.deliveries(filter, Some(behind), PAGE).await?;
        note(took, what, seed.clock.monotonic().saturating_sub(began));
        let found = page.len();
        if found == 0 || (held >= FULL_FROM && found != fit) {
            return Err(BenchError::Broken(format!(
                "the search {what} found {found} deliveries instead of {fit}"
            )));
        }
    }
    Ok(())
}

/// What is looked for, with how many deliveries a page of it shows, the same at every size.
fn searches(held: u64) -> [(&'static str, usize, DeliveryFilter); 10] {
    // The newest may be as new as what the search begins behind.
    let number = fastrand::u64(..held.max(1) - held / 1000);
    let (full, copy) = (PAGE as usize, format!("copy-{number}"));
    let none = DeliveryFilter::default;
    let name = |part: &str| DeliveryFilter { name: Some(part.to_owned()), ..none() };
    let address = format!("{copy}@sink.example");
    let partner = partner_id(number % PARTNERS);
    // Of 2,000 names 11 fit: 20 and 200 to 209, up to 99 and 990 to 999.
    let part = format!("bich {}", 20 + number % 80);
    [
        ("by order", 1, DeliveryFilter { business_key: Some(copy.clone()), ..none() }),
        ("by recipient", 1, DeliveryFilter { contact: Some(copy), ..none() }),
        ("by address", 1, DeliveryFilter { address: Some(address), ..none() }),
        ("by partner", full, DeliveryFilter { partner: Some(partner), ..none() }),
        ("by part of a name", full, name(&part)),
        ("by a name that a third have", full, name("Nguyễn")),
        ("by the name of a partner", full, name(&partner_name(number % PARTNERS))),
        ("by a name that five have", 5, name("Tố Hữu")),
        ("failed", full, DeliveryFilter { states: vec![State::Failed], ..none() }),
        ("newest", full, none()),
    ]
}

/// The partner that copies are of, as a directory knows it.
fn partner(number: u64) -> DirectoryChange {
    let (id, name) = (partner_id(number), partner_name(number));
    DirectoryChange::Partner(Partner::named(&id, name, Timestamp::UNIX_EPOCH))
}

fn partner_id(number: u64) -> String {
    format!("partner-{number}")
}

/// No partner's name is a part of another's.
fn partner_name(number: u64) -> String {
    format!("Công ty số {number:03}")
}

fn note(took: &mut Took, what: &'static str, lasted: Duration) {
    took.entry(what).or_default().push(millis(lasted));
}

fn findings(found: &[Size], empty: u64, store: &str) -> Findings {
    let smallest = found.first().map(|size| &size.took);
    let mut rows = Vec::new();
    let mut sizes = Vec::new();
    for size in found {
        let each = as_float(size.bytes.saturating_sub(empty)) / as_float(size.rows.max(1));
        let mut json = serde_json::Map::from_iter([("rows".to_owned(), json!(size.rows))]);
        for (what, times) in &size.took {
            let time = median(times.iter().copied());
            let first = smallest.and_then(|took| took.get(what));
            let first = median(first.into_iter().flatten().copied());
            let times = time / first.max(f64::EPSILON);
            let figure = json!({ "ms": round(time, 2), "times_the_smallest": round(times, 2) });
            json.insert(what.replace(' ', "_"), figure);
            let cells = [size.rows.to_string(), (*what).to_owned()];
            rows.push([cells.to_vec(), vec![format!("{time:.2}"), format!("{times:.2}")]].concat());
        }
        let mut add_bytes = |what: &str, each: f64| {
            json.insert(what.to_lowercase().replace(' ', "_"), json!(round(each, 0)));
            let cells = [size.rows.to_string(), what.to_owned(), format!("{each:.0}")];
            rows.push([cells.to_vec(), vec![String::new()]].concat());
        };
        add_bytes("bytes a delivery", each);
        if !size.wal.is_empty() {
            let wal = median(size.wal.iter().copied().map(as_float));
            add_bytes("bytes of WAL a delivery", wal / as_float(BATCH as u64));
        }
        sizes.push(Value::Object(json));
    }
    let peak = usage::peak_memory() >> 20;
    Findings {
        titles: vec!["deliveries", "what", "ms", "times the smallest"],
        rows,
        lines: vec![
            format!("accept, claim and record: {BATCH} deliveries"),
            format!(
                "searches: a full page of {PAGE} at each size, but for one delivery by order, \
                 recipient and address; as many partners ({PARTNERS}) and names (2,000) at each size"
            ),
            format!("peak memory {peak} MiB; the ledger closes"),
            store.to_owned(),
        ],
        json: json!({
            "batch": BATCH, "page": PAGE, "sizes": sizes, "store": store, "peak_memory_mib": peak,
        }),
    }
}
