//! Ends claims: writes what became of each delivery, and everything that follows from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::model::address::Address;
use crate::model::delivery::{Delivery, Intent, Reason, Settlement, State, late_acceptance_wins};
use crate::model::event::EventKey;
use crate::model::id::{DeliveryId, EventId, LeaseToken};
use crate::model::outcome::{Attempt, VerdictClass};
use crate::store::changes::{Changes, Told};
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::rows::{DELIVERY, DeliveryRow, read_delivery};
use crate::store::{Store, StoreError};

/// The end of one claim.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Proves the claim.
    pub token: LeaseToken,
    /// The try, if there was one.
    pub attempt: Option<Attempt>,
    /// Where the delivery goes.
    pub settlement: Settlement,
    /// The message, if a sandbox or `only_to` captured it.
    pub captured: Option<Json>,
}

/// Where a delivery stands after a [`Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Whether the claim still held; if not, the answer was kept and changed the state only if the
    /// message was accepted.
    pub was_claimed: bool,
}

impl Store {
    /// Ends claims in one transaction, and says for each delivery where it stands now.
    ///
    /// # Errors
    /// When nothing was written, or nobody knows: the same may be written again.
    pub async fn finish(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        let (store, finishes) = (self.clone(), Arc::new(finishes));
        self.write(move |tx| {
            let (store, finishes) = (store.clone(), Arc::clone(&finishes));
            Box::pin(async move { finish(tx, &store, &finishes).await })
        })
        .await
    }
}

async fn finish(
    tx: &mut Tx<'_>,
    store: &Store,
    finishes: &[Finish],
) -> Result<Vec<Finished>, StoreError> {
    let now = tx.now();
    let mut rows = lock_rows(tx, finishes).await?;
    let mut changes = Changes::new(store, now);
    let events = match changes.tells() {
        true => events_told_of(tx, &rows).await?,
        false => HashMap::new(),
    };
    let mut book = Book::default();
    let mut finished = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let Some(row) = rows.get_mut(&finish.delivery) else {
            // Purged meanwhile: there is nothing left to say about it.
            let Settlement { state, reason, .. } = finish.settlement;
            finished.push(Finished { state, reason, was_claimed: false });
            continue;
        };
        finished.push(book.enter(row, finish, now, (&mut changes, &events)));
    }
    let mut writes = book.into_writes(now);
    writes.extend(changes.into_writes());
    tx.write_all(&writes).await?;
    Ok(finished)
}

/// Reads and locks the rows, in the order of their ids so that nobody waits in a circle.
async fn lock_rows(
    tx: &mut Tx<'_>,
    finishes: &[Finish],
) -> Result<HashMap<DeliveryId, DeliveryRow>, StoreError> {
    let sql = format!(
        "SELECT {DELIVERY} FROM delivery WHERE id {{any_uuid $1}} ORDER BY id {{for_update}}"
    );
    let ids = Value::uuids(finishes.iter().map(|finish| finish.delivery.0));
    let rows = tx.query(&sql, &[ids]).await?;
    let rows = rows.iter().map(read_delivery);
    rows.map(|row| row.map(|row| (row.delivery.id, row))).collect()
}

/// What status events say of an event: its key, and what its publisher correlates by.
struct Named {
    key: EventKey,
    correlation: Option<String>,
}

/// What is said of the events of these rows; their data, which is most of them, stays unread.
async fn events_told_of(
    tx: &mut Tx<'_>,
    rows: &HashMap<DeliveryId, DeliveryRow>,
) -> Result<HashMap<EventId, Named>, StoreError> {
    let ids: HashSet<uuid::Uuid> = rows.values().map(|row| row.delivery.event.0).collect();
    let sql = "SELECT id, source, external_id, correlation_id FROM event WHERE id {any_uuid $1}";
    let found = tx.query(sql, &[Value::uuids(ids)]).await?;
    let read = |row: &Row| {
        let key = EventKey { source: row.text(1)?, id: row.text(2)? };
        Ok((EventId(row.uuid(0)?), Named { key, correlation: row.opt_text(3)? }))
    };
    found.iter().map(read).collect()
}

/// The rows to write at the end.
#[derive(Default)]
struct Book {
    moves: Vec<(DeliveryId, Vec<Value>)>,
    attempts: Vec<Vec<Value>>,
    captured: Vec<Vec<Value>>,
    suppressed: Vec<Vec<Value>>,
    held_providers: Vec<Vec<Value>>,
    fallbacks: Vec<DeliveryId>,
}

type Surroundings<'a> = (&'a mut Changes, &'a HashMap<EventId, Named>);

impl Book {
    fn enter(
        &mut self,
        row: &mut DeliveryRow,
        finish: &Finish,
        now: Timestamp,
        (changes, events): Surroundings<'_>,
    ) -> Finished {
        self.note_attempt(row, finish, now);
        let delivery = &row.delivery;
        let was_claimed = row.token == Some(finish.token);
        let accepted =
            finish.attempt.as_ref().is_some_and(|attempt| attempt.class == VerdictClass::Accepted);
        let wins = accepted && late_acceptance_wins(delivery.state, delivery.reason);
        // Even an answer that comes too late for its delivery says how address and provider stand.
        self.note_consequences(delivery, &finish.settlement, now);
        if !was_claimed && !wins {
            let Delivery { state, reason, .. } = *delivery;
            return Finished { state, reason, was_claimed };
        }
        let mut settlement = finish.settlement.clone();
        if was_claimed {
            obey_intent(&mut settlement, row.intent, accepted);
        }
        self.note_move(delivery, &settlement, finish, (now, was_claimed));
        changes.moved(&delivery.event_type, delivery.state, settlement.state);
        let code = finish.attempt.as_ref().and_then(|attempt| attempt.answer.code.as_deref());
        let told = Told {
            state: settlement.state,
            reason: settlement.reason,
            version: delivery.version + 1,
            attempts: attempts(delivery, &settlement, was_claimed),
            code,
            ..Told::of(delivery)
        };
        let event = events.get(&delivery.event);
        let correlation = event.and_then(|event| event.correlation.as_deref());
        changes.tell(&told, event.map(|event| &event.key), correlation);
        if settlement.state.calls_fallback() {
            self.fallbacks.push(delivery.id);
        }
        // A batch may hold another answer for the same delivery: it meets the delivery as it is now.
        let Settlement { state, reason, due_at, .. } = settlement;
        let (version, attempts) = (told.version, told.attempts);
        let moved = Delivery { state, reason, due_at, attempts, version, ..delivery.clone() };
        *row = DeliveryRow { delivery: moved, token: None, intent: None, ..row.clone() };
        Finished { state, reason, was_claimed }
    }

    fn note_attempt(&mut self, row: &DeliveryRow, finish: &Finish, now: Timestamp) {
        let channel = row.delivery.channel.as_str();
        if let Some(attempt) = &finish.attempt {
            self.attempts.push(vec![
                attempt.delivery.0.into(),
                attempt.number.into(),
                attempt.started_at.into(),
                attempt.finished_at.into(),
                attempt.provider.as_str().into(),
                attempt.class.as_str().into(),
                attempt.answer.code.clone().into(),
                attempt.answer.text.as_str().into(),
                attempt.template_version.clone().into(),
            ]);
        }
        if let Some(message) = &finish.captured {
            let number = finish.attempt.as_ref().map_or(0, |attempt| attempt.number);
            self.captured.push(vec![
                finish.delivery.0.into(),
                number.into(),
                now.into(),
                channel.into(),
                message.to_string().into(),
            ]);
        }
    }

    fn note_move(
        &mut self,
        delivery: &Delivery,
        settlement: &Settlement,
        finish: &Finish,
        (now, was_claimed): (Timestamp, bool),
    ) {
        let code = finish.attempt.as_ref().and_then(|attempt| attempt.answer.code.clone());
        let row = vec![
            delivery.id.0.into(),
            settlement.state.as_str().into(),
            settlement.reason.as_str().into(),
            settlement.detail.clone().into(),
            settlement.due_at.into(),
            attempts(delivery, settlement, was_claimed).into(),
            settlement.provider_message_id.clone().into(),
            code.into(),
            now.into(),
        ];
        self.moves.push((delivery.id, row));
    }

    fn note_consequences(&mut self, delivery: &Delivery, settlement: &Settlement, now: Timestamp) {
        if let (true, Some(address)) = (settlement.suppresses, &delivery.address) {
            self.suppressed.push(vec![
                Address::value(address).into(),
                delivery.channel.as_str().into(),
                "hard_bounce".into(),
                now.into(),
            ]);
        }
        if let (true, Some(provider)) = (settlement.holds_provider, &delivery.provider) {
            let detail = settlement.detail.as_deref().unwrap_or("it is misconfigured");
            self.held_providers.push(vec![
                provider.as_str().into(),
                detail.into(),
                now.into(),
                "loa".into(),
            ]);
        }
    }

    fn into_writes(self, now: Timestamp) -> Vec<Write> {
        let update = "UPDATE delivery SET state = $2, reason = $3, detail = $4, due_at = $5, \
                      attempts = $6, provider_message_id = COALESCE($7, provider_message_id), \
                      last_code = COALESCE($8, last_code), updated_at = $9, \
                      version = version + 1, lease_token = NULL, lease_until = NULL, \
                      lease_run = NULL, intent = NULL WHERE id = $1";
        let attempt = "INSERT INTO attempt (delivery, number, started_at, finished_at, provider, \
                       class, code, answer, template_version) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let captured = "INSERT INTO captured (delivery, attempt, at, channel, message) \
                        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let suppression = "INSERT INTO suppression (address, channel, reason, at) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let hold = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let mut writes: Vec<Write> =
            in_rounds(self.moves).into_iter().map(|moves| Write::update(update, moves)).collect();
        writes.extend([
            Write::insert(attempt, self.attempts),
            Write::insert(captured, self.captured),
            Write::each(suppression, self.suppressed),
            Write::each(hold, self.held_providers),
            call_fallbacks(&self.fallbacks, now),
        ]);
        writes
    }
}

/// Makes the channels behind these deliveries due at once.
pub(super) fn call_fallbacks(ended: &[DeliveryId], now: Timestamp) -> Write {
    let sql = "UPDATE delivery SET due_at = $1 WHERE follows = $2 \
               AND state = 'waiting' AND lease_token IS NULL AND due_at > $1";
    Write::each(sql, ended.iter().map(|id| vec![now.into(), id.0.into()]).collect())
}

/// Splits moves so that each delivery moves once a round: a batch may hold two answers for one.
fn in_rounds(moves: Vec<(DeliveryId, Vec<Value>)>) -> Vec<Vec<Vec<Value>>> {
    let mut rounds: Vec<Vec<Vec<Value>>> = Vec::new();
    let mut moved: HashMap<DeliveryId, usize> = HashMap::new();
    for (id, row) in moves {
        let round = moved.entry(id).or_default();
        match rounds.get_mut(*round) {
            Some(rows) => rows.push(row),
            None => rounds.push(vec![row]),
        }
        *round += 1;
    }
    rounds
}

/// The attempts that count: a try that costs nothing gives back what its claim counted.
fn attempts(delivery: &Delivery, settlement: &Settlement, was_claimed: bool) -> u32 {
    match settlement.counts || !was_claimed {
        true => delivery.attempts,
        false => delivery.attempts.saturating_sub(1),
    }
}

/// What was asked for while the delivery was being sent takes effect now, unless it was accepted
/// or has ended anyway.
fn obey_intent(settlement: &mut Settlement, intent: Option<Intent>, accepted: bool) {
    if accepted || settlement.state.is_final() {
        return;
    }
    if let Some(intent) = intent {
        (settlement.state, settlement.reason) = intent.leads_to();
    }
}
