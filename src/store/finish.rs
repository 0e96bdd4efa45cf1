//! Ends claims: writes what became of each delivery, and everything that follows from it.

mod standing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::model::address::{Address, Channel};
use crate::model::deed::{DeedKind, LOA};
use crate::model::delivery::{Delivery, Intent, Reason, Settlement, State, late_acceptance_wins};
use crate::model::id::DeliveryId;
use crate::model::outcome::{Attempt, VerdictClass, hold_cause};
use crate::store::changes::{Changes, Told};
use crate::store::claim::Claimed;
use crate::store::engine::{Tx, Value, Write};
use crate::store::waiting::{
    INSERT_WAITING, LOCK_CLAIMS, end_claims, leave, lock_fallbacks, read_claims, waiting_params,
};
use crate::store::{Store, StoreError, deeds};
use standing::{Others, Standing, is_of};

/// The end of one claim.
#[derive(Clone, Debug)]
pub struct Finish {
    /// What was claimed, and the token that proves it.
    pub claimed: Arc<Claimed>,
    /// The try, if there was one.
    pub attempt: Option<Attempt>,
    /// Where the delivery goes.
    pub settlement: Settlement,
    /// The message, if a sandbox or `only_to` captured it.
    pub captured: Option<Json>,
}

impl Finish {
    fn id(&self) -> DeliveryId {
        self.claimed.delivery.id
    }
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
    let failed = finishes.iter().filter(|finish| finish.settlement.state.calls_fallback());
    lock_fallbacks(tx, &failed.map(Finish::id).collect::<Vec<_>>()).await?;
    let ids = Value::uuids(finishes.iter().map(|finish| finish.id().0));
    let claims = read_claims(&tx.query(LOCK_CLAIMS, &[ids]).await?)?;
    let mut changes = Changes::new(store, now);
    let others = Others::find(tx, &claims, finishes, changes.tells()).await?;
    let mut standings = others.standings();
    for finish in finishes {
        if let Some(claim) = claims.get(&finish.id()).filter(|claim| is_of(claim, finish)) {
            // Nobody moves what is claimed, so it stands as it did when it was claimed.
            standings.entry(finish.id()).or_insert_with(|| Standing::of(&finish.claimed, claim));
        }
    }
    let mut book = Book::default();
    let mut finished = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let Some(standing) = standings.get_mut(&finish.id()) else {
            // Purged meanwhile: there is nothing left to say about it.
            let Settlement { state, reason, .. } = finish.settlement;
            finished.push(Finished { state, reason, was_claimed: false });
            continue;
        };
        finished.push(book.enter(standing, finish, now, &mut changes));
    }
    let mut writes = book.into_writes(now);
    writes.extend(changes.into_writes());
    tx.write_last(&writes).await?;
    Ok(finished)
}

/// The rows to write at the end.
#[derive(Default)]
struct Book {
    moves: Vec<(DeliveryId, Vec<Value>)>,
    /// What waits no more, though nobody held it.
    left: Vec<DeliveryId>,
    /// What waits in the end.
    waiting: HashMap<DeliveryId, Vec<Value>>,
    attempts: Vec<Vec<Value>>,
    captured: Vec<Vec<Value>>,
    /// By address and channel, so that two transactions write them in one order.
    suppressed: BTreeMap<(String, &'static str), Vec<Value>>,
    held_providers: BTreeMap<String, Vec<Value>>,
    fallbacks: Vec<DeliveryId>,
    deeds: Vec<Vec<Value>>,
}

impl Book {
    fn enter(
        &mut self,
        standing: &mut Standing<'_>,
        finish: &Finish,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Finished {
        let delivery = standing.delivery;
        self.note_attempt(delivery.channel, finish, now);
        let was_claimed = standing.token == Some(finish.claimed.token);
        let accepted =
            finish.attempt.as_ref().is_some_and(|attempt| attempt.class == VerdictClass::Accepted);
        let wins = accepted && late_acceptance_wins(standing.state, standing.reason);
        // Even an answer that comes too late for its delivery says how address and provider stand.
        self.note_consequences(delivery, finish, now);
        if !was_claimed && !wins {
            let Standing { state, reason, .. } = *standing;
            return Finished { state, reason, was_claimed };
        }
        let Settlement { mut state, mut reason, due_at, .. } = finish.settlement;
        if was_claimed && let Some(obeyed) = obeyed(state, standing.intent, accepted) {
            (state, reason) = obeyed;
        }
        changes.moved(&delivery.event_type, standing.state, state);
        // A try that costs nothing gives back what its claim counted.
        let given_back = u32::from(was_claimed && !finish.settlement.counts);
        *standing = Standing {
            state,
            reason,
            attempts: standing.attempts.saturating_sub(given_back),
            version: standing.version + 1,
            token: None,
            intent: None,
            ..*standing
        };
        let code = finish.attempt.as_ref().and_then(|attempt| attempt.answer.code.as_deref());
        self.note_move(standing, (finish, code), now);
        self.note_hold(standing, &finish.settlement, now);
        let told = Told {
            state,
            reason,
            version: standing.version,
            attempts: standing.attempts,
            code,
            ..Told::of(delivery)
        };
        let (key, correlation) = standing.event.unzip();
        changes.tell(&told, key, correlation.flatten());
        if state.calls_fallback() {
            self.fallbacks.push(delivery.id);
        }
        if !was_claimed {
            self.left.push(delivery.id);
        }
        self.waiting.remove(&delivery.id);
        if state == State::Waiting {
            let waits = waiting_params(delivery, due_at, delivery.expires_at);
            self.waiting.insert(delivery.id, waits);
        }
        Finished { state, reason, was_claimed }
    }

    fn note_attempt(&mut self, channel: Channel, finish: &Finish, now: Timestamp) {
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
                finish.id().0.into(),
                number.into(),
                now.into(),
                channel.as_str().into(),
                message.to_string().into(),
            ]);
        }
    }

    fn note_move(
        &mut self,
        standing: &Standing<'_>,
        (finish, code): (&Finish, Option<&str>),
        now: Timestamp,
    ) {
        let (id, settlement) = (standing.delivery.id, &finish.settlement);
        let row = vec![
            id.0.into(),
            standing.state.as_str().into(),
            standing.reason.as_str().into(),
            settlement.detail.clone().into(),
            settlement.due_at.into(),
            standing.attempts.into(),
            settlement.provider_message_id.clone().into(),
            code.into(),
            now.into(),
        ];
        self.moves.push((id, row));
    }

    /// What Loa itself holds is told of even after somebody has released it.
    fn note_hold(&mut self, standing: &Standing<'_>, settlement: &Settlement, now: Timestamp) {
        // What an operator holds was noted when it was asked for.
        if standing.state == State::Held && standing.reason != Reason::Operator {
            let why = match &settlement.detail {
                Some(detail) => format!("{}: {detail}", standing.reason.as_str()),
                None => standing.reason.as_str().to_owned(),
            };
            let held = (DeedKind::Held, now);
            self.deeds.push(deeds::row(standing.delivery.id.0, held, LOA, Some(&why)));
        }
    }

    fn note_consequences(&mut self, delivery: &Delivery, finish: &Finish, now: Timestamp) {
        let settlement = &finish.settlement;
        if let (true, Some(address)) = (settlement.suppresses, &delivery.address) {
            let (address, channel) = (Address::value(address), delivery.channel.as_str());
            let row =
                vec![address.as_str().into(), channel.into(), "hard_bounce".into(), now.into()];
            self.suppressed.entry((address, channel)).or_insert(row);
        }
        if let (true, Some(provider)) = (settlement.holds_provider, &delivery.provider) {
            let answer = finish.attempt.as_ref().map(|attempt| attempt.answer.clone());
            let cause = hold_cause(&answer.unwrap_or_default());
            let row = vec![provider.as_str().into(), cause.into(), now.into(), "loa".into()];
            self.held_providers.entry(provider.to_string()).or_insert(row);
        }
    }

    fn into_writes(self, now: Timestamp) -> Vec<Write> {
        let update = "UPDATE delivery SET state = $2, reason = $3, detail = $4, due_at = $5, \
                      attempts = $6, provider_message_id = COALESCE($7, provider_message_id), \
                      last_code = COALESCE($8, last_code), updated_at = $9, \
                      version = version + 1 WHERE id = $1";
        let attempt = "INSERT INTO attempt (delivery, number, started_at, finished_at, provider, \
                       class, code, answer, template_version) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let captured = "INSERT INTO captured (delivery, attempt, at, channel, message) \
                        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let suppression = "INSERT INTO suppression (address, channel, reason, at) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let hold = "INSERT INTO provider_hold (provider, reason, since, held_by) \
                    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let moved: Vec<DeliveryId> = self.moves.iter().map(|(id, _)| *id).collect();
        let rounds = in_rounds(self.moves);
        let is_one = rounds.len() == 1;
        let moves = |moves| Write::update(update, moves);
        let moves = |round| if is_one { moves(round).apart() } else { moves(round) };
        let mut writes: Vec<Write> = rounds.into_iter().map(moves).collect();
        writes.extend([
            end_claims(&moved).apart(),
            leave(&self.left),
            Write::insert(INSERT_WAITING, self.waiting.into_values().collect()),
            Write::insert(attempt, self.attempts).apart(),
            Write::insert(captured, self.captured),
            Write::each(suppression, self.suppressed.into_values().collect()),
            Write::each(hold, self.held_providers.into_values().collect()),
            deeds::keep(self.deeds),
        ]);
        writes.extend(call_fallbacks(&self.fallbacks, now));
        writes
    }
}

/// Makes the channels behind these deliveries due at once.
pub(super) fn call_fallbacks(ended: &[DeliveryId], now: Timestamp) -> [Write; 2] {
    let delivery = "UPDATE delivery SET due_at = $1 WHERE follows = $2 AND due_at > $1 \
                    AND EXISTS (SELECT 1 FROM waiting WHERE waiting.delivery = delivery.id)";
    let waiting = "UPDATE waiting SET due_at = $1 WHERE due_at > $1 \
                   AND delivery IN (SELECT id FROM delivery WHERE follows = $2)";
    // The narrow row first, as everybody locks them. Neither is apart: what they find may be moved in
    // the same transaction.
    let rows: Vec<Vec<Value>> = ended.iter().map(|id| vec![now.into(), id.0.into()]).collect();
    [Write::each(waiting, rows.clone()), Write::each(delivery, rows)]
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

/// What was asked for while the delivery was being sent takes effect now, unless it was accepted
/// or has ended anyway.
fn obeyed(state: State, intent: Option<Intent>, accepted: bool) -> Option<(State, Reason)> {
    let intent = intent.filter(|_| !accepted && !state.is_final())?;
    Some(intent.leads_to())
}
