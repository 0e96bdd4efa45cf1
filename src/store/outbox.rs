//! Status events on their way to the broker: written with what they tell of, deleted once
//! confirmed.
//!
//! Each process publishes what it wrote itself, so that of several each tells its own once. What is
//! left of a process that is no longer alive is taken over by another. A bundle that cannot be read
//! is set aside, so that it stops none of the others.

use jiff::Timestamp;
use serde_json::json;
use tracing::error;
use uuid::Uuid;

use crate::model::status::StatusEvent;
use crate::store::bundle;
use crate::store::engine::{Tx, Value, Write};
use crate::store::{Store, StoreError};

/// The most bundles that are read at once.
const MOST_BUNDLES: usize = 256;
/// How many bundles are taken over at once.
const ADOPTED: usize = 1_000;
/// A process that has not said for so long that it lives is not waited for: three of its beats, and
/// less than what makes it count as dead, since too early repeats some status events at worst.
const SILENT_MICROS: i64 = 15 * 1_000_000;

/// To whom the bundles belong that cannot be read: no process is ever called so, and all are before
/// it.
pub(super) const NOBODY: Uuid = Uuid::max();
/// How many processes' bundles are taken over at once.
const MOST_OWNERS: usize = 100;

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
    /// How many status events were in bundles that cannot be read and were set aside.
    pub unreadable: u64,
}

impl Store {
    /// The oldest bundles of this process that are not published yet, those behind `after` if it is
    /// given: up to the one with which they hold `events` status events. What cannot be read is set
    /// aside.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_outbox(
        &self,
        after: Option<Uuid>,
        events: usize,
    ) -> Result<Taken, StoreError> {
        let run = self.run;
        let rows = self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id, at, bundle, count FROM (SELECT id, at, bundle, count, \
                           CAST(SUM(count) OVER (ORDER BY id) AS BIGINT) - count AS before \
                           FROM (SELECT id, at, count, bundle FROM outbox_bundle \
                           WHERE run = $1 AND id > $2 ORDER BY id LIMIT $3) AS oldest) AS counted \
                           WHERE before < $4 ORDER BY id";
                let after = after.unwrap_or(Uuid::nil());
                let params = [run.0.into(), after.into(), MOST_BUNDLES.into(), events.into()];
                tx.query(sql, &params).await
            })
        });
        let rows = rows.await?;
        let (mut bundles, mut unreadable, mut found, mut lost) = (Vec::new(), Vec::new(), 0, 0);
        for row in &rows {
            let (id, at, count) = (row.uuid(0)?, row.time(1)?, row.count(3)?);
            found += count;
            match bundle::read(row.text(2)?, at) {
                Ok(events) => bundles.push(Bundle { id, at, events }),
                Err(error) => {
                    unreadable.push((id, count, error));
                    lost += count;
                }
            }
        }
        self.set_aside(unreadable).await?;
        let is_all = rows.len() < MOST_BUNDLES && found < events as u64;
        Ok(Taken { bundles, is_all, unreadable: lost })
    }

    /// Leaves bundles to nobody, with the number of status events and the fault of each.
    async fn set_aside(&self, bundles: Vec<(Uuid, u64, StoreError)>) -> Result<(), StoreError> {
        if bundles.is_empty() {
            return Ok(());
        }
        let run = self.run.0;
        let ids = Value::uuids(bundles.iter().map(|(id, ..)| *id));
        self.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                let sql = "UPDATE outbox_bundle SET run = $3 WHERE run = $1 AND id {any_uuid $2}";
                tx.execute(sql, &[run.into(), ids, NOBODY.into()]).await
            })
        })
        .await?;
        for (id, count, error) in bundles {
            error!(%error, count, "set {count} status events aside that cannot be published, as bundle {id}: {error}");
        }
        Ok(())
    }

    /// Takes back the bundles that were set aside, to be read once more; says how many.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_back_unreadable(&self) -> Result<u64, StoreError> {
        let run = self.run.0;
        let mut taken = 0;
        loop {
            let some = self.write(move |tx| Box::pin(take_over(tx, run, NOBODY, ADOPTED))).await?;
            taken += some;
            if some < ADOPTED as u64 {
                return Ok(taken);
            }
        }
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
        let done = Value::uuids(done);
        self.write(move |tx| {
            let (done, rests) = (done.clone(), rests.clone());
            Box::pin(async move {
                let delete = "DELETE FROM outbox_bundle WHERE run = $1 AND id {any_uuid $2}";
                let update = "UPDATE outbox_bundle SET count = $3, bundle = $4 \
                              WHERE run = $1 AND id = $2";
                let done = vec![vec![run.into(), done]];
                tx.write_last(&[Write::each(delete, done), Write::each(update, rests)]).await
            })
        })
        .await
    }

    /// Takes over what processes that are no longer alive have not published; says how many
    /// bundles.
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
    // One step of the index for each process that has bundles, however many bundles those are.
    let gone = "WITH RECURSIVE owner (run) AS (\
                SELECT (SELECT run FROM outbox_bundle ORDER BY run LIMIT 1) UNION ALL \
                SELECT (SELECT run FROM outbox_bundle WHERE run > owner.run ORDER BY run LIMIT 1) \
                FROM owner WHERE owner.run IS NOT NULL) \
                SELECT run FROM owner WHERE run NOT IN ($1, $2) \
                AND run NOT IN (SELECT run FROM process WHERE beat >= $3) LIMIT $4";
    let params = [run.into(), NOBODY.into(), silent.into(), MOST_OWNERS.into()];
    let mut adopted = 0;
    for owner in tx.query(gone, &params).await? {
        let left = ADOPTED.saturating_sub(usize::try_from(adopted).unwrap_or(ADOPTED));
        adopted += take_over(tx, run, owner.uuid(0)?, left).await?;
    }
    Ok(adopted + adopt_unbundled(tx, run).await?)
}

/// Takes over bundles of `owner`, the oldest first; says how many.
async fn take_over(
    tx: &mut Tx<'_>,
    run: Uuid,
    owner: Uuid,
    most: usize,
) -> Result<u64, StoreError> {
    let sql = "UPDATE outbox_bundle SET run = $1 WHERE run = $2 AND id IN (\
               SELECT id FROM outbox_bundle WHERE run = $2 ORDER BY id LIMIT $3 {skip_locked})";
    tx.execute(sql, &[run.into(), owner.into(), most.into()]).await
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
        let (owner, text) = match bundle::write(std::slice::from_ref(&event)) {
            Ok((text, _)) => (run, text),
            Err(error) => {
                error!(%error, "set one status event aside that cannot be published, as bundle {id}: {error}");
                let body = String::from_utf8_lossy(&event.body);
                let whole = json!({ "routing_key": event.routing_key, "body": &*body });
                (NOBODY, whole.to_string())
            }
        };
        bundles.push(vec![owner.into(), id.into(), at.into(), 1_i64.into(), text.into()]);
    }
    let count = bundles.len() as u64;
    tx.write_all(&[Write::insert(INSERT_BUNDLE, bundles)]).await?;
    Ok(count)
}

/// Puts a bundle into the outbox.
pub(super) const INSERT_BUNDLE: &str = "INSERT INTO outbox_bundle (run, id, at, count, bundle) \
                                        VALUES ($1, $2, $3, $4, $5)";
