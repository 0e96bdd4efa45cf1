//! Status events on their way to the broker: written with what they tell of, deleted once confirmed.
//!
//! Each process publishes what it wrote itself, so that of several each tells its own once. What is left
//! of a process that is no longer alive is taken over by another.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::model::status::StatusEvent;
use crate::store::bundle;
use crate::store::engine::{Row, Tx, Value, Write};
use crate::store::{Store, StoreError};

/// The most bundles that are read at once.
const MOST_BUNDLES: usize = 256;
/// How many bundles are taken over at once.
const ADOPTED: usize = 1_000;
/// A process that has not said for so long that it lives is not waited for: three of its beats, and
/// less than what makes it count as dead, since too early repeats some status events at worst.
const SILENT_MICROS: i64 = 15 * 1_000_000;

/// The status events of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its own id.
    pub id: Uuid,
    /// When they came about.
    pub at: Timestamp,
    /// In the order in which they came about.
    pub events: Vec<StatusEvent>,
}

/// Some bundles of the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The oldest first.
    pub bundles: Vec<Bundle>,
    /// Whether there were no more.
    pub is_all: bool,
}

impl Store {
    /// The oldest bundles of this process that are not published yet, those behind `after` if it is
    /// given: up to the one with which they hold `events` status events.
    ///
    /// # Errors
    /// When the store does not answer, or a bundle cannot be read.
    pub async fn take_outbox(
        &self,
        after: Option<Uuid>,
        events: usize,
    ) -> Result<Taken, StoreError> {
        let run = self.run;
        let rows = self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id, at, bundle FROM (SELECT id, at, bundle, \
                           CAST(SUM(count) OVER (ORDER BY id) AS BIGINT) - count AS before \
                           FROM (SELECT id, at, count, bundle FROM outbox_bundle \
                           WHERE run = $1 AND id > $2 ORDER BY id LIMIT $3) AS oldest) AS counted \
                           WHERE before < $4 ORDER BY id";
                let after = after.unwrap_or(Uuid::nil());
                let params = [run.0.into(), after.into(), MOST_BUNDLES.into(), events.into()];
                tx.query(sql, &params).await
            })
        });
        let read = |row: &Row| {
            let (id, at) = (row.uuid(0)?, row.time(1)?);
            Ok(Bundle { id, at, events: bundle::read(row.text(2)?, at)? })
        };
        let bundles = rows.await?.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        let found: usize = bundles.iter().map(|bundle| bundle.events.len()).sum();
        let is_all = bundles.len() < MOST_BUNDLES && found < events;
        Ok(Taken { bundles, is_all })
    }

    /// Keeps of each bundle what is `left` of it: one without status events is forgotten.
    ///
    /// # Errors
    /// When the store does not answer; what was published is then published again, with the same ids.
    pub async fn settle_outbox(&self, left: Vec<Bundle>) -> Result<(), StoreError> {
        let (run, mut done, mut rests) = (self.run.0, Vec::new(), Vec::new());
        for Bundle { id, events, .. } in left {
            if events.is_empty() {
                done.push(id);
                continue;
            }
            let (text, count) = bundle::write(&events)?;
            rests.push(vec![run.into(), id.into(), count.into(), text.into()]);
        }
        let (done, rests) = (Value::uuids(done), Arc::new(rests));
        self.write(move |tx| {
            let (done, rests) = (done.clone(), Arc::clone(&rests));
            Box::pin(async move {
                let delete = "DELETE FROM outbox_bundle WHERE run = $1 AND id {any_uuid $2}";
                tx.execute(delete, &[run.into(), done]).await?;
                let update = "UPDATE outbox_bundle SET count = $3, bundle = $4 \
                              WHERE run = $1 AND id = $2";
                tx.execute_many(update, &rests).await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes over what processes that are no longer alive have not published; says how many bundles.
    ///
    /// On SQLite that is every other process. Of two that take over at once each gets others.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn adopt_outbox(&self) -> Result<u64, StoreError> {
        let run = self.run.0;
        let mut adopted = 0;
        loop {
            let some = self.write(move |tx| Box::pin(adopt(tx, run))).await?;
            adopted += some;
            if some < ADOPTED as u64 {
                return Ok(adopted);
            }
        }
    }

    /// Waits until a transaction of this process that tells something is about to be committed.
    pub async fn outbox_fills(&self) {
        self.telling.notified().await;
    }
}

async fn adopt(tx: &mut Tx<'_>, run: Uuid) -> Result<u64, StoreError> {
    let silent = match tx.is_postgres() {
        true => tx.now().as_microsecond() - SILENT_MICROS,
        // The file is open in this process alone.
        false => i64::MAX,
    };
    let sql = "UPDATE outbox_bundle SET run = $1 WHERE id IN (SELECT id FROM outbox_bundle \
               WHERE run <> $1 AND run NOT IN (SELECT run FROM process WHERE beat >= $2) \
               ORDER BY id LIMIT $3 {skip_locked})";
    let adopted = tx.execute(sql, &[run.into(), silent.into(), ADOPTED.into()]).await?;
    Ok(adopted + adopt_unbundled(tx, run).await?)
}

/// Takes over what a process of the version before wrote, one bundle each. One that still runs may
/// publish it too, with the same ids.
async fn adopt_unbundled(tx: &mut Tx<'_>, run: Uuid) -> Result<u64, StoreError> {
    let take = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1 \
                {skip_locked}) RETURNING id, routing_key, correlation_id, at, body";
    let mut bundles = Vec::new();
    for row in tx.query(take, &[ADOPTED.into()]).await? {
        let event = StatusEvent {
            id: row.uuid(0)?,
            routing_key: row.text(1)?,
            correlation_id: row.opt_text(2)?,
            at: row.time(3)?,
            body: row.text(4)?.into(),
        };
        let (id, at) = (event.id, event.at);
        let (text, count) = bundle::write(&[event])?;
        bundles.push(vec![run.into(), id.into(), at.into(), count.into(), text.into()]);
    }
    let count = bundles.len() as u64;
    tx.write_all(&[Write::insert(INSERT_BUNDLE, bundles)]).await?;
    Ok(count)
}

/// Puts a bundle into the outbox.
pub(super) const INSERT_BUNDLE: &str = "INSERT INTO outbox_bundle (run, id, at, count, bundle) \
                                        VALUES ($1, $2, $3, $4, $5)";
