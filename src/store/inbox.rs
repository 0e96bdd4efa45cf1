//! The accepting transaction: events, their deliveries, markers and rejected events in one commit.

mod fresh;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::model::delivery::{Delivery, Reason, State};
use crate::model::event::{Event, RejectReason, RejectedEvent, Rejection, Transport};
use crate::model::id::{DeliveryId, EventId, PartnerId, RejectedId};
use crate::store::changes::{Changes, EventDetails, EventFate, Told};
use crate::store::directory;
use crate::store::engine::{Tx, Value, Write};
use crate::store::gate::Stopping;
use crate::store::keys::{AskedWithKeys, Key, take_keys};
use crate::store::overtake::{self, Overtaking};
use crate::store::rows::{INSERT_DELIVERY, delivery_params, write_json};
use crate::store::waiting::{INSERT_CLAIMED, INSERT_WAITING, waiting_params};
use crate::store::{Acceptance, Accepted, NewDelivery, PlannedEvent, Store, StoreError, rejected};
pub(super) use fresh::Fresh;

/// Whether rejected events are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Keep,
    AllOrNothing,
}

impl Store {
    /// Commits a batch, and says for each arrival what became of it.
    ///
    /// # Errors
    /// When nothing of the batch was committed, or nobody knows: the same batch may be handed in
    /// again, and what was committed is then a repeat.
    pub async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StoreError> {
        let (store, batch) = (self.clone(), Arc::new(batch));
        self.write(move |tx| {
            let (store, batch) = (store.clone(), Arc::clone(&batch));
            Box::pin(async move { accept(tx, &store, &batch, Mode::Keep).await })
        })
        .await
    }

    /// The same, but a single rejection rolls everything back and nothing is kept.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn accept_all_or_nothing(
        &self,
        batch: Vec<Acceptance>,
    ) -> Result<Vec<Accepted>, StoreError> {
        let (store, batch) = (self.clone(), Arc::new(batch));
        let refused: Arc<Mutex<Option<Vec<Accepted>>>> = Arc::default();
        let answers = Arc::clone(&refused);
        let result = self
            .write(move |tx| {
                let (store, batch, answers) =
                    (store.clone(), Arc::clone(&batch), Arc::clone(&answers));
                Box::pin(async move {
                    let accepted = accept(tx, &store, &batch, Mode::AllOrNothing).await?;
                    if accepted.iter().all(|one| !matches!(one, Accepted::Rejected { .. })) {
                        return Ok(accepted);
                    }
                    *answers.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
                    Err(StoreError::Abandoned)
                })
            })
            .await;
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (result, refused) {
            (Err(StoreError::Abandoned), Some(accepted)) => Ok(accepted),
            (result, _) => result,
        }
    }
}

async fn accept(
    tx: &mut Tx<'_>,
    store: &Store,
    batch: &[Acceptance],
    mode: Mode,
) -> Result<Vec<Accepted>, StoreError> {
    let mut changes = Changes::new(store, tx.now());
    let stopping = Stopping::new(leased_of(batch));
    let (known, found) = take_keys((tx, store), batch, &stopping.asked()).await?;
    let Sorted { mut answers, fresh, rejections } = sort(batch, known, mode, &mut changes);
    let events = write_events(&fresh, &mut changes);
    let (mut deliveries, pages) =
        write_deliveries((tx, store), &fresh, (&stopping, found), &mut changes).await?;
    for answer in &mut answers {
        if let Accepted::Planned { event, leased, .. } = answer {
            leased.extend(deliveries.leased.remove(event).unwrap_or_default());
        }
    }
    let mut writes = vec![
        Write::insert(INSERT_DELIVERY, deliveries.rows).apart(),
        Write::insert(INSERT_WAITING, deliveries.waiting).apart(),
        Write::insert(INSERT_CLAIMED, deliveries.claimed).apart(),
        events,
        pages,
        count_repeats(batch, &answers),
    ];
    if mode == Mode::Keep {
        writes.push(rejected::keep(&rejections, &mut changes)?);
    }
    writes.extend(changes.into_writes());
    match mode {
        Mode::Keep => tx.write_last(&writes).await?,
        // The caller has yet to look at the answers.
        Mode::AllOrNothing => tx.write_all(&writes).await?,
    }
    Ok(answers)
}

/// What is leased while it is planned: it goes straight to its sender, so what was withdrawn since
/// it was planned must stop it now; of others the gate says so when they are claimed.
fn leased_of(batch: &[Acceptance]) -> Vec<&Delivery> {
    let planned = batch.iter().filter_map(|acceptance| match acceptance {
        Acceptance::Planned(planned) => Some(&planned.deliveries),
        Acceptance::Rejected(_) => None,
    });
    planned.flatten().filter(|new| new.lease.is_some()).map(|new| &new.delivery).collect()
}

/// Whether nobody is waited for to write an event once its key is taken.
fn waits_for_nobody(Fresh { planned, .. }: &Fresh<'_>) -> bool {
    planned.change.is_none() && planned.cancels.is_empty()
}

/// A batch by what becomes of its arrivals.
#[derive(Default)]
struct Sorted<'a> {
    answers: Vec<Accepted>,
    fresh: Vec<Fresh<'a>>,
    rejections: Vec<RejectedEvent>,
}

/// Sorts a batch by what is `known` of its keys; counts the repeats.
fn sort<'a>(
    batch: &'a [Acceptance],
    known: Vec<Key>,
    mode: Mode,
    changes: &mut Changes,
) -> Sorted<'a> {
    let mut known = known.into_iter();
    let mut sorted = Sorted::default();
    for acceptance in batch {
        let answer = match acceptance {
            Acceptance::Rejected(event) => {
                sorted.rejections.push((**event).clone());
                reject(event, mode)
            }
            Acceptance::Planned(planned) => match known.next().unwrap_or(Key::Fresh) {
                Key::Fresh => {
                    let new = Fresh::of(planned);
                    let answer = new.accepted();
                    sorted.fresh.push(new);
                    answer
                }
                Key::Repeat(event) => {
                    if is_published(planned) {
                        repeat(changes, planned, event);
                    }
                    Accepted::Repeat { event }
                }
                Key::Reused => {
                    let event = reused(planned, changes.now());
                    let answer = reject(&event, mode);
                    sorted.rejections.push(event);
                    answer
                }
            },
        };
        sorted.answers.push(answer);
    }
    sorted
}

fn reject(event: &RejectedEvent, mode: Mode) -> Accepted {
    let id = (mode == Mode::Keep).then_some(event.id);
    Accepted::Rejected { id, rejection: event.rejection.clone() }
}

/// Whether an event came from outside. Loa's own alarms are raised anew by each process and after
/// each start, with one id an hour: such a one is none that a publisher sent twice.
fn is_published(planned: &PlannedEvent) -> bool {
    planned.event.transport != Transport::Alarm
}

fn repeat(changes: &mut Changes, planned: &PlannedEvent, first: EventId) {
    let event = &planned.event;
    changes.count(event.event_type.as_str(), "event.received", 1);
    changes.count(event.event_type.as_str(), EventFate::Repeated.counter(), 1);
    let about = (Some(&event.key), event.correlation_id.as_deref());
    let details = EventDetails::Repeated { loa_id: first };
    changes.tell_event(EventFate::Repeated, event.event_type.as_str(), about, &details);
}

/// The rejected event of a key that came before with other bytes.
fn reused(planned: &PlannedEvent, now: Timestamp) -> RejectedEvent {
    let event = &planned.event;
    let rejection = Rejection {
        reason: RejectReason::IdReused,
        place: Some("/id".to_owned()),
        message: format!(
            "the id `{}` of source `{}` came before with other data; give each event its own id",
            event.key.id, event.key.source
        ),
        event_type: Some(event.event_type.to_string()),
        key: Some(event.key.clone()),
    };
    RejectedEvent { id: RejectedId::new(now), arrival: planned.arrival.clone(), rejection }
}

fn write_events(fresh: &[Fresh<'_>], changes: &mut Changes) -> Write {
    let mut params = Vec::with_capacity(fresh.len());
    for Fresh { planned, deliveries } in fresh {
        let event = &planned.event;
        let fate = match planned.pages.is_empty() {
            true => EventFate::Planned,
            false => EventFate::Planning,
        };
        params.push(event_params(event, fate, deliveries.len()));
        let event_type = event.event_type.as_str();
        changes.count(event_type, "event.received", 1);
        changes.count(event_type, fate.counter(), 1);
        let about = (Some(&event.key), event.correlation_id.as_deref());
        let details = EventDetails::Planned {
            loa_id: event.id,
            deliveries: deliveries.len() as u64,
            planning: fate == EventFate::Planning,
            business_key: event.business_key.as_deref(),
        };
        changes.tell_event(fate, event_type, about, &details);
    }
    let insert = "INSERT INTO event (id, source, external_id, event_type, time, received_at, \
                  not_before, business_key, partner, correlation_id, traceparent, only_address, \
                  data, transport, state, deliveries) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    Write::insert(insert, params).apart()
}

fn event_params(event: &Event, fate: EventFate, deliveries: usize) -> Vec<Value> {
    vec![
        event.id.0.into(),
        event.key.source.as_str().into(),
        event.key.id.as_str().into(),
        event.event_type.as_str().into(),
        event.time.into(),
        event.received_at.into(),
        event.not_before.into(),
        event.business_key.clone().into(),
        event.partner.as_ref().map(PartnerId::as_str).into(),
        event.correlation_id.clone().into(),
        event.traceparent.clone().into(),
        event.only.clone().into(),
        event.data.text().into(),
        event.transport.as_str().into(),
        (if fate == EventFate::Planning { "planning" } else { "planned" }).into(),
        deliveries.into(),
    ]
}

/// Deliveries as they are to be written.
#[derive(Default)]
struct NewRows {
    rows: Vec<Vec<Value>>,
    waiting: Vec<Vec<Value>>,
    claimed: Vec<Vec<Value>>,
    /// Those with a lease, by event.
    leased: HashMap<EventId, Vec<DeliveryId>>,
    /// Those that must not be sent as they are now.
    stopped: HashSet<DeliveryId>,
}

/// Writes markers and directory changes, event by event in their order; returns what else is to be
/// written, deliveries and pages.
async fn write_deliveries(
    (tx, store): (&mut Tx<'_>, &Store),
    fresh: &[Fresh<'_>],
    (stopping, found): (&Stopping<'_>, AskedWithKeys),
    changes: &mut Changes,
) -> Result<(NewRows, Write), StoreError> {
    let mut overtaking = Overtaking::new(store);
    for Fresh { planned, .. } in fresh {
        if let Some(change) = &planned.change {
            directory::apply_change(tx, change).await?;
        }
        overtaking.mark(tx, &planned.event, &planned.cancels, changes).await?;
    }
    let markers = overtake::markers_for(tx, fresh).await?;
    // Behind all that may wait for others.
    let found = match found.filter(|_| fresh.iter().all(waits_for_nobody)) {
        Some(found) => found,
        None => tx.query_all(&stopping.asked()).await?,
    };
    let mut rows = NewRows { stopped: stopping.read(found)?, ..NewRows::default() };
    let mut pages = Vec::new();
    for Fresh { planned, deliveries } in fresh {
        for new in deliveries {
            new_row((tx, store), (planned, new), &markers, changes, &mut rows)?;
        }
        for page in &planned.pages {
            let id = EventId::new(tx.now()).0;
            pages.push(vec![
                id.into(),
                planned.event.id.0.into(),
                page.step.as_str().into(),
                write_json(&page.query)?.into(),
            ]);
        }
    }
    let insert = "INSERT INTO page (id, event, step, query) VALUES ($1, $2, $3, $4)";
    Ok((rows, Write::insert(insert, pages).apart()))
}

/// Adds the row of one new delivery, cancelled if an event came that makes it unwanted.
fn new_row(
    (tx, store): (&Tx<'_>, &Store),
    (planned, new): (&PlannedEvent, &NewDelivery),
    markers: &HashMap<(String, String), Timestamp>,
    changes: &mut Changes,
    rows: &mut NewRows,
) -> Result<(), StoreError> {
    let (event, waits) = (&planned.event, new.delivery.state == State::Waiting);
    let is_overtaken =
        waits && overtake::is_overtaken(overtake::about(event), &new.unless, markers);
    let overtaken = is_overtaken.then(|| Delivery {
        state: State::Cancelled,
        reason: Reason::Overtaken,
        ..new.delivery.clone()
    });
    let delivery = overtaken.as_ref().unwrap_or(&new.delivery);
    let lease = new.lease.filter(|_| !is_overtaken && !rows.stopped.contains(&delivery.id));
    changes.planned(delivery);
    if delivery.state.is_final() {
        changes.tell(&Told::of(delivery), Some(&event.key), event.correlation_id.as_deref());
    }
    if let Some(lease) = lease {
        rows.leased.entry(delivery.event).or_default().push(delivery.id);
        let until = store.lease_clock(tx) + micros(lease.lasts);
        let (id, token, run) = (delivery.id.0, lease.token.0, store.run.0);
        rows.claimed.push(vec![id.into(), token.into(), until.into(), run.into()]);
    } else if delivery.state == State::Waiting {
        rows.waiting.push(waiting_params(delivery, delivery.due_at, delivery.expires_at));
    }
    rows.rows.push(delivery_params(delivery, &new.unless)?);
    Ok(())
}

/// A duration as leases count it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Counts at the first event how often it came again.
fn count_repeats(batch: &[Acceptance], answers: &[Accepted]) -> Write {
    let repeats = batch.iter().zip(answers).filter_map(|pair| match pair {
        (Acceptance::Planned(planned), Accepted::Repeat { event }) if is_published(planned) => {
            Some(vec![event.0.into()])
        }
        _ => None,
    });
    // One by one: the same event may come again several times in one batch. Not apart: its first
    // one may be of this batch, too.
    Write::each("UPDATE event SET repeats = repeats + 1 WHERE id = $1", repeats.collect())
}
