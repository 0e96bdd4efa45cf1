//! What operators and housekeeping do to deliveries that nobody holds.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::deed::{DeedKind, LOA};
use crate::model::delivery::{Intent, Reason, State};
use crate::model::id::{DeliveryId, LeaseToken};
use crate::store::changes::{Changes, Told};
use crate::store::engine::{Tx, Value, Write};
use crate::store::finish::call_fallbacks;
use crate::store::gate::CHAINS;
use crate::store::rows::{DeliveryRow, named_events};
use crate::store::waiting::{
    INSERT_WAITING, intend, leave, lock_deliveries, read_ids, waiting_params,
};
use crate::store::{Store, StoreError, deeds};

/// What an operator does to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Reopens what failed or bounced; what expired only with a new expiry.
    Retry {
        /// Until when it may be sent.
        new_expiry: Option<Timestamp>,
    },
    /// Ends what is not sent yet.
    Cancel,
    /// Keeps it until it is released.
    Hold,
    /// Ends a hold.
    Release,
}

impl Repair {
    /// The states it fits.
    pub fn states(self) -> &'static [State] {
        match self {
            Self::Retry { .. } => &[State::Failed, State::Bounced, State::Expired],
            Self::Cancel => &[State::Waiting, State::Held],
            Self::Hold => &[State::Waiting],
            Self::Release => &[State::Held],
        }
    }

    /// What it is called afterwards.
    fn deed(self) -> DeedKind {
        match self {
            Self::Retry { .. } => DeedKind::Retried,
            Self::Cancel => DeedKind::Cancelled,
            Self::Hold => DeedKind::Held,
            Self::Release => DeedKind::Released,
        }
    }

    /// Those of `wanted` that it fits; none wanted means any.
    pub fn fitting(self, wanted: &[State]) -> Vec<State> {
        let fits = |state: &State| wanted.is_empty() || wanted.contains(state);
        self.states().iter().copied().filter(fits).collect()
    }
}

/// What a repair did to one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It is in this state now.
    Moved(State),
    /// It is being sent; the repair takes effect when its answer comes, unless it was accepted.
    Noted,
    /// The repair does not fit its state, so nothing was done.
    Unfit(State),
    /// There is no such delivery.
    Missing,
}

impl Repaired {
    /// Whether the repair did something, now or later.
    fn was_heeded(self) -> bool {
        match self {
            Self::Moved(_) | Self::Noted => true,
            Self::Unfit(_) | Self::Missing => false,
        }
    }
}

/// Whether a fallback replaces the channels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// It does; what waited of them is cancelled.
    Done,
    /// One of them was sent meanwhile.
    NotNeeded,
    /// Another one claims the fallback by now.
    Lost,
}

/// Where a repair or a sweep moves one delivery.
struct Move {
    state: State,
    reason: Reason,
    due_at: Timestamp,
    expires_at: Timestamp,
}

impl Store {
    /// Repairs deliveries by id, as somebody wants it; the answers stand in the order of the ids.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn repair(
        &self,
        ids: Vec<DeliveryId>,
        repair: Repair,
        by: &str,
    ) -> Result<Vec<Repaired>, StoreError> {
        let (store, ids, by) = (self.clone(), Arc::new(ids), Arc::<str>::from(by));
        self.write(move |tx| {
            let (store, ids, by) = (store.clone(), Arc::clone(&ids), Arc::clone(&by));
            Box::pin(async move { repair_all(tx, &store, &ids, (repair, &by)).await })
        })
        .await
    }

    /// Cancels the channels before a fallback that is about to be sent: `before`, the one before
    /// that, and so on. What is being sent is cancelled when its answer comes, unless it was
    /// accepted.
    ///
    /// Nothing is done if one of them was sent meanwhile, or if the claim of the fallback was lost.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_over_from(
        &self,
        before: DeliveryId,
        fallback: (DeliveryId, LeaseToken),
    ) -> Result<TakenOver, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move { take_over_from(tx, &store, before, fallback).await })
        })
        .await
    }

    /// Ends what waits and is too late; says how many there were.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn expire(&self, limit: usize) -> Result<usize, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move {
                let sql = "SELECT delivery FROM waiting WHERE expires_at < $1 \
                           ORDER BY expires_at LIMIT $2 {skip_locked}";
                let found = tx.query(sql, &[tx.now().into(), limit.into()]).await?;
                let (rows, _) = lock_deliveries(tx, read_ids(&found)?).await?;
                let count = rows.len();
                let expired = |row: DeliveryRow| {
                    let (due_at, expires_at) = (row.delivery.due_at, row.delivery.expires_at);
                    let (state, reason) = (State::Expired, Reason::Expiry);
                    (row, Move { state, reason, due_at, expires_at })
                };
                move_all(tx, &store, rows.into_iter().map(expired).collect()).await?;
                Ok(count)
            })
        })
        .await
    }

    /// Releases what a template's fault held, after a new version of it was loaded.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn release_render_held(&self, limit: usize) -> Result<usize, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move {
                // Those of one template one after the other.
                let sql = "SELECT delivery.id FROM notable CROSS JOIN delivery \
                           WHERE notable.reason = 'render_fault' AND notable.state = 'held' \
                           AND delivery.id = notable.delivery \
                           ORDER BY delivery.template LIMIT $1";
                let found = tx.query(sql, &[limit.into()]).await?;
                let (mut rows, _) = lock_deliveries(tx, read_ids(&found)?).await?;
                rows.retain(|row| {
                    row.delivery.state == State::Held && row.delivery.reason == Reason::RenderFault
                });
                let count = rows.len();
                let now = tx.now();
                let why = Some("its template was loaded anew");
                let released = (DeedKind::Released, now);
                let deeds =
                    rows.iter().map(|row| deeds::row(row.delivery.id.0, released, LOA, why));
                tx.write_all(&[deeds::keep(deeds.collect())]).await?;
                let moves = rows.into_iter().map(|row| {
                    let to = release(&row, now);
                    (row, to)
                });
                move_all(tx, &store, moves.collect()).await?;
                Ok(count)
            })
        })
        .await
    }
}

async fn take_over_from(
    tx: &mut Tx<'_>,
    store: &Store,
    before: DeliveryId,
    (fallback, token): (DeliveryId, LeaseToken),
) -> Result<TakenOver, StoreError> {
    let chain = tx.query(CHAINS, &[Value::uuids([before.0])]).await?;
    let ids: Vec<uuid::Uuid> = chain.iter().map(|row| row.uuid(1)).collect::<Result<_, _>>()?;
    let locked = ids.into_iter().map(DeliveryId).chain([fallback]);
    let (mut rows, claims) = lock_deliveries(tx, locked).await?;
    if claims.get(&fallback).is_none_or(|claim| claim.token != token) {
        return Ok(TakenOver::Lost);
    }
    rows.retain(|row| row.delivery.id != fallback);
    if rows.iter().any(|row| row.delivery.state.has_gone_out()) {
        return Ok(TakenOver::NotNeeded);
    }
    let (leased, free): (Vec<DeliveryRow>, Vec<DeliveryRow>) = rows
        .into_iter()
        .filter(|row| !row.delivery.state.is_final())
        .partition(|row| claims.contains_key(&row.delivery.id));
    let intents: Vec<_> =
        leased.iter().map(|row| (row.delivery.id, Intent::CancelForFallback)).collect();
    tx.write_all(&[intend(&intents)]).await?;
    let cancelled = |row: DeliveryRow| {
        let delivery = &row.delivery;
        let (due_at, expires_at) = (delivery.due_at, delivery.expires_at);
        let (state, reason) = (State::Cancelled, Reason::FallbackTookOver);
        (row, Move { state, reason, due_at, expires_at })
    };
    move_all(tx, store, free.into_iter().map(cancelled).collect()).await?;
    Ok(TakenOver::Done)
}

async fn repair_all(
    tx: &mut Tx<'_>,
    store: &Store,
    ids: &[DeliveryId],
    (repair, by): (Repair, &str),
) -> Result<Vec<Repaired>, StoreError> {
    let now = tx.now();
    let (rows, claims) = lock_deliveries(tx, ids.iter().copied()).await?;
    let mut answers: std::collections::HashMap<DeliveryId, Repaired> = Default::default();
    let mut moves = Vec::new();
    let mut intents = Vec::new();
    for row in rows {
        let (id, state) = (row.delivery.id, row.delivery.state);
        if claims.contains_key(&id) {
            let intent = match repair {
                Repair::Cancel => Intent::CancelByOperator,
                Repair::Hold => Intent::HoldByOperator,
                Repair::Retry { .. } | Repair::Release => {
                    answers.insert(id, Repaired::Unfit(state));
                    continue;
                }
            };
            intents.push((id, intent));
            answers.insert(id, Repaired::Noted);
            continue;
        }
        match decide(&row, repair, now) {
            Some(to) => {
                answers.insert(id, Repaired::Moved(to.state));
                moves.push((row, to));
            }
            None => {
                answers.insert(id, Repaired::Unfit(state));
            }
        }
    }
    let done = answers.iter().filter(|(_, answer)| answer.was_heeded());
    let deeds = done.map(|(id, _)| deeds::row(id.0, (repair.deed(), now), by, None)).collect();
    tx.write_all(&[intend(&intents), deeds::keep(deeds)]).await?;
    move_all(tx, store, moves).await?;
    Ok(ids.iter().map(|id| answers.get(id).copied().unwrap_or(Repaired::Missing)).collect())
}

/// Where `repair` moves a delivery that nobody holds, if it fits its state.
fn decide(row: &DeliveryRow, repair: Repair, now: Timestamp) -> Option<Move> {
    let delivery = &row.delivery;
    let to = |state, reason| Move {
        state,
        reason,
        due_at: delivery.due_at,
        expires_at: delivery.expires_at,
    };
    if !repair.states().contains(&delivery.state) {
        return None;
    }
    match repair {
        Repair::Cancel => Some(to(State::Cancelled, Reason::CancelledByOperator)),
        Repair::Hold => Some(to(State::Held, Reason::Operator)),
        Repair::Release => Some(release(row, now)),
        Repair::Retry { new_expiry } => {
            let expires_at = new_expiry.unwrap_or(delivery.expires_at);
            let again = Move { due_at: now, expires_at, ..to(State::Waiting, Reason::Released) };
            (expires_at > now && delivery.provider.is_some()).then_some(again)
        }
    }
}

/// What is released too late is expired.
fn release(row: &DeliveryRow, now: Timestamp) -> Move {
    let delivery = &row.delivery;
    let (due_at, expires_at) = (delivery.due_at.max(now), delivery.expires_at);
    if now > expires_at {
        return Move { state: State::Expired, reason: Reason::Expiry, due_at, expires_at };
    }
    // What stands behind another channel goes on standing there until its own time.
    let stands_behind = delivery.after.is_some() && due_at > now;
    let reason = if stands_behind { Reason::Fallback } else { Reason::Released };
    Move { state: State::Waiting, reason, due_at, expires_at }
}

/// Moves deliveries that nobody holds, with counters, status events and fallbacks.
async fn move_all(
    tx: &mut Tx<'_>,
    store: &Store,
    moves: Vec<(DeliveryRow, Move)>,
) -> Result<(), StoreError> {
    if moves.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let mut changes = Changes::new(store, now);
    let rows: Vec<DeliveryRow> = moves.iter().map(|(row, _)| row.clone()).collect();
    let events = named_events(tx, &rows, changes.tells()).await?;
    let mut params = Vec::with_capacity(moves.len());
    let (mut left, mut waiting) = (Vec::new(), Vec::new());
    let mut ended: Vec<DeliveryId> = Vec::new();
    for (row, to) in moves {
        let delivery = &row.delivery;
        changes.moved(&delivery.event_type, delivery.state, to.state);
        let event = events.get(&delivery.event);
        let told = Told {
            state: to.state,
            reason: to.reason,
            version: delivery.version + 1,
            ..Told::of(delivery)
        };
        let correlation = event.and_then(|event| event.correlation.as_deref());
        changes.tell(&told, event.map(|event| &event.key), correlation);
        if to.state.calls_fallback() {
            ended.push(delivery.id);
        }
        if delivery.state == State::Waiting {
            left.push(delivery.id);
        }
        if to.state == State::Waiting {
            waiting.push(waiting_params(delivery, to.due_at, to.expires_at));
        }
        params.push(vec![
            delivery.id.0.into(),
            to.state.as_str().into(),
            to.reason.as_str().into(),
            to.due_at.into(),
            to.expires_at.into(),
            now.into(),
        ]);
    }
    let update = "UPDATE delivery SET state = $2, reason = $3, due_at = $4, expires_at = $5, \
                  updated_at = $6, version = version + 1 WHERE id = $1";
    let mut writes =
        vec![Write::update(update, params), leave(&left), Write::insert(INSERT_WAITING, waiting)];
    writes.extend(call_fallbacks(&ended, now));
    writes.extend(changes.into_writes());
    tx.write_all(&writes).await
}
