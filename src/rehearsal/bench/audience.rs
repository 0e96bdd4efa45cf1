//! The row *audience*: one event to everyone of a large segment, planned page by page.

use std::time::Duration;

use jiff::Timestamp;

use super::findings::{Figures, Findings, as_float, millis};
use super::ground::insist_that_it_closes;
use super::settings::Stage;
use super::sink::Sinks;
use super::work::{self, arrival};
use super::{Bench, BenchError, usage};
use crate::app::App;
use crate::clock::Clock;
use crate::model::address::{Address, Channel};
use crate::model::contact::{Contact, DirectoryChange};
use crate::model::segment::SegmentFilter;
use crate::pipeline::{Answer, OnReject};

/// Contacts of the segment.
const CONTACTS: u64 = 100_000;
/// Contacts of one transaction.
const AT_ONCE: u64 = 1_000;
/// How often it is looked whether all is planned.
const LOOK: Duration = Duration::from_millis(20);
const NAME: &str = "bench.audience";
const SEGMENT: &str = "everyone";

impl Bench {
    pub(super) async fn audience(
        &self,
        mut tell: impl FnMut(&str),
    ) -> Result<Findings, BenchError> {
        let sinks = Sinks::start(&Clock::system())?;
        let event_type = work::named_event_type(Channel::Email, NAME, "bulk");
        let event_type =
            event_type.replace("to = [\"recipients\"]", &format!("to = [\"segment:{SEGMENT}\"]"));
        let event_types = vec![(NAME.to_owned(), event_type)];
        let stage = Stage { event_types, ..Stage::default() };
        let (app, playground) = self.open(&sinks, &stage).await?;
        let contacts = self.size(CONTACTS);
        tell(&format!("putting {contacts} contacts into the directory"));
        settle_in(&app, contacts).await?;

        let mut figures = Figures::default();
        figures.count(("recipients", "recipients"), contacts);
        // Planned for later, then planned and sent at once.
        let later = app.clock.now().checked_add(jiff::SignedDuration::from_hours(12)).ok();
        for (not_before, what, key) in
            [(later, "", ""), (None, ", while sending", "_while_sending")]
        {
            let took = plan(&app, not_before).await?;
            let keys = ["accepted_in_ms", "planned_in_s", "memory_grew_by_mib"];
            let [accepted, planned, grown] = keys.map(|name| format!("{name}{key}"));
            let add = [
                (format!("accepted in, ms{what}"), accepted, millis(took.accepted), 1),
                (format!("all planned in, s{what}"), planned, took.planned.as_secs_f64(), 2),
                (format!("memory grew by, MiB{what}"), grown, took.grown_mib, 1),
            ];
            for (what, key, figure, digits) in add {
                figures.add((&what, &key), figure, digits);
            }
            tell(&format!("planned{what} in {:.1} s", took.planned.as_secs_f64()));
        }
        figures.count(("peak memory, MiB", "peak_memory_mib"), usage::peak_memory() >> 20);
        check(&app, contacts).await?;
        let store = app.store.clone();
        // Nobody wants the rest.
        app.tasks.hard().cancel();
        app.stop().await;
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        insist_that_it_closes(&store).await?;
        Ok(figures.findings(&store.describe()))
    }
}

/// How long one event to everyone took, and how much more memory was resident meanwhile.
struct Took {
    accepted: Duration,
    planned: Duration,
    grown_mib: f64,
}

/// Hands one event to everyone in, and waits until all of it is planned.
async fn plan(app: &App, not_before: Option<Timestamp>) -> Result<Took, BenchError> {
    usage::forget_peak_memory();
    let resident = usage::resident_memory();
    let number = u64::from(not_before.is_none());
    let event = work::event(NAME, Channel::Email, number, not_before);
    let event = arrival(event, app.clock.now());
    let began = app.clock.monotonic();
    let answers = app.pipeline.acceptor().accept(vec![event], OnReject::Keep).await?;
    let accepted = app.clock.monotonic().saturating_sub(began);
    if !matches!(answers.first(), Some(Answer::Planned { planning: true, .. })) {
        return Err(BenchError::Broken(format!("not planned page by page: {answers:?}")));
    }
    while app.store.backlog().await?.pages > 0 {
        tokio::time::sleep(LOOK).await;
    }
    let planned = app.clock.monotonic().saturating_sub(began);
    let grown = usage::peak_memory().saturating_sub(resident) >> 10;
    Ok(Took { accepted, planned, grown_mib: as_float(grown) / 1024.0 })
}

/// Puts contacts and their segment into the directory.
async fn settle_in(app: &App, count: u64) -> Result<(), BenchError> {
    for first in (0..count).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
        let contact = |number: u64| {
            let contact = Contact {
                id: format!("contact-{number:07}").as_str().into(),
                name: format!("Trần Thị Bích {number}"),
                addresses: vec![Address::Email { email: format!("c{number}@sink.example") }],
                tags: vec![SEGMENT.to_owned()],
                partner: None,
                duty: None,
                locale: None,
                time_zone: None,
                region: None,
                teams: Vec::new(),
                superior: None,
                signature: None,
                changed_at: app.clock.now(),
            };
            DirectoryChange::Contact { contact, consents: Vec::new() }
        };
        app.store
            .change_directory((first..(first + AT_ONCE).min(count)).map(contact).collect())
            .await?;
    }
    let filter = SegmentFilter { tags: vec![SEGMENT.to_owned()], ..SegmentFilter::default() };
    app.store.put_segment(SEGMENT.into(), filter).await?;
    app.store.analyze().await?;
    Ok(())
}

/// Each contact was planned for once by each event.
async fn check(app: &App, contacts: u64) -> Result<(), BenchError> {
    let planned = app.store.ledger().await?.deliveries.planned;
    match planned.unsigned_abs() == contacts * 2 {
        true => Ok(()),
        false => Err(BenchError::Broken(format!(
            "{planned} deliveries of {} were planned",
            contacts * 2
        ))),
    }
}
