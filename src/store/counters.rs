//! The ledger's figures: counted live, counted again from the rows, and compared.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::catalogue::Lane;
use crate::model::id::RunId;
use crate::model::ledger::Ledger;
use crate::store::engine::Tx;
use crate::store::outbox::NOBODY;
use crate::store::{Store, StoreError};

/// Counters by event type and name; the empty type stands for what could not be read.
pub type Counters = BTreeMap<(String, String), i64>;

/// How old the oldest due delivery of each lane is, and what is overdue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The due time of the oldest due and unclaimed delivery, by lane; none of a provider on hold.
    pub oldest_due: BTreeMap<String, Timestamp>,
    /// Deliveries due for five minutes and unclaimed; none of a provider on hold.
    pub overdue: u64,
    /// Status events that are not published yet.
    pub outbox: u64,
    /// Status events that were set aside, since they cannot be read.
    pub outbox_unreadable: u64,
    /// Big audiences that are still being planned.
    pub pages: u64,
}

/// What lies before the claims at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agenda {
    /// When the first delivery that nobody has claimed is due; none of a provider on hold.
    pub next_due: Option<Timestamp>,
    /// How many deliveries are claimed, by whichever process.
    pub claimed: u64,
}

/// Due for longer than this, and a delivery is overdue.
const OVERDUE_MICROS: i64 = 5 * 60 * 1_000_000;
/// A process that has not said so for longer than this is not alive: six times what passes
/// between two of its beats, so that one that is busy is not taken for dead.
const DEAD_MICROS: i64 = 30 * 1_000_000;

impl Store {
    /// The live figures.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn counters(&self) -> Result<Counters, StoreError> {
        self.read(|tx| Box::pin(counters(tx))).await
    }

    /// The ledger by the live figures.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ledger(&self) -> Result<Ledger, StoreError> {
        Ok(Ledger::of(&self.counters().await?))
    }

    /// What waits to be done.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(|tx| Box::pin(backlog(tx))).await
    }

    /// Merges the counter rows of all slots into one.
    ///
    /// A process that lives on writes new rows; nothing is lost by it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn fold_counters(&self) -> Result<(), StoreError> {
        self.write(|tx| Box::pin(fold_counters(tx))).await
    }

    /// Says that this process is alive, and returns how many are.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn beat(&self) -> Result<u32, StoreError> {
        let run = self.run;
        self.write(move |tx| Box::pin(beat(tx, run))).await
    }

    /// What lies before the claims, all at one moment.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn agenda(&self) -> Result<Agenda, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                tx.read_whole_tables(true).await?;
                let sql = format!(
                    "SELECT (SELECT MIN(due_at) FROM waiting WHERE {CLAIMABLE}), \
                     (SELECT COUNT(*) FROM claimed)"
                );
                let none = Agenda { next_due: None, claimed: 0 };
                tx.query_one(&sql, &[]).await?.map_or(Ok(none), |row| {
                    Ok(Agenda { next_due: row.opt_time(0)?, claimed: row.count(1)? })
                })
            })
        })
        .await
    }

    /// How many deliveries are claimed, by whichever process.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn leased(&self) -> Result<u64, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                tx.read_whole_tables(true).await?;
                count(tx, "SELECT COUNT(*) FROM claimed", &[]).await
            })
        })
        .await
    }
}

pub(super) async fn counters(tx: &mut Tx<'_>) -> Result<Counters, StoreError> {
    tx.read_whole_tables(true).await?;
    let sql = "SELECT event_type, name, CAST(SUM(value) AS BIGINT) FROM counter \
               GROUP BY event_type, name";
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(((row.text(0)?, row.text(1)?), row.int(2)?))).collect()
}

/// What may be claimed, but for its due time.
const CLAIMABLE: &str =
    "(provider IS NULL OR provider NOT IN (SELECT provider FROM provider_hold))";

async fn backlog(tx: &mut Tx<'_>) -> Result<Backlog, StoreError> {
    tx.read_whole_tables(true).await?;
    let now = tx.now().as_microsecond();
    let mut backlog = Backlog::default();
    let oldest = format!(
        "SELECT lane, MIN(due_at) FROM waiting WHERE {CLAIMABLE} AND due_at <= $1 GROUP BY lane"
    );
    for row in tx.query(&oldest, &[now.into()]).await? {
        let lane = Lane::from_rank(row.int(0)?).as_str().to_owned();
        backlog.oldest_due.insert(lane, row.time(1)?);
    }
    let overdue = format!("SELECT COUNT(*) FROM waiting WHERE {CLAIMABLE} AND due_at <= $1");
    backlog.overdue = count(tx, &overdue, &[(now - OVERDUE_MICROS).into()]).await?;
    let outbox = "SELECT (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM outbox_bundle \
                  WHERE run < $1) + (SELECT COUNT(*) FROM outbox)";
    backlog.outbox = count(tx, outbox, &[NOBODY.into()]).await?;
    let unreadable = "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM outbox_bundle \
                      WHERE run = $1";
    backlog.outbox_unreadable = count(tx, unreadable, &[NOBODY.into()]).await?;
    backlog.pages = count(tx, "SELECT COUNT(*) FROM page", &[]).await?;
    Ok(backlog)
}

pub(super) async fn count(
    tx: &mut Tx<'_>,
    sql: &str,
    params: &[crate::store::engine::Value],
) -> Result<u64, StoreError> {
    tx.query_one(sql, params).await?.map_or(Ok(0), |row| row.count(0))
}

async fn fold_counters(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.read_whole_tables(true).await?;
    // Locked in the order in which transactions count, so that nobody waits in a circle.
    let lock = "SELECT 1 FROM counter WHERE slot <> 'all' \
                ORDER BY slot, event_type {in_bytes}, name {in_bytes} {for_update}";
    tx.query(lock, &[]).await?;
    let fold = "DELETE FROM counter WHERE slot <> 'all' RETURNING event_type, name, value";
    let rows = tx.query(fold, &[]).await?;
    let mut sums = Counters::new();
    for row in rows {
        *sums.entry((row.text(0)?, row.text(1)?)).or_default() += row.int(2)?;
    }
    let params: Vec<_> = sums
        .into_iter()
        .map(|((event_type, name), value)| vec![event_type.into(), name.into(), value.into()])
        .collect();
    let upsert = "INSERT INTO counter (slot, event_type, name, value) VALUES ('all', $1, $2, $3) \
                  ON CONFLICT (slot, event_type, name) \
                  DO UPDATE SET value = counter.value + excluded.value";
    tx.execute_many(upsert, &params).await?;
    Ok(())
}

async fn beat(tx: &mut Tx<'_>, run: RunId) -> Result<u32, StoreError> {
    let now = tx.now().as_microsecond();
    let upsert = "INSERT INTO process (run, beat) VALUES ($1, $2) \
                  ON CONFLICT (run) DO UPDATE SET beat = excluded.beat";
    tx.execute(upsert, &[run.0.into(), now.into()]).await?;
    let silent = match tx.is_postgres() {
        true => now - DEAD_MICROS,
        // The file is open in this process alone, so any other is dead however short its silence.
        false => i64::MAX,
    };
    // One that says so itself right now is not waited for: it may wait for this one.
    let dead = "DELETE FROM process WHERE run IN \
                (SELECT run FROM process WHERE beat < $1 AND run <> $2 {skip_locked})";
    tx.execute(dead, &[silent.into(), run.0.into()]).await?;
    let alive = count(tx, "SELECT COUNT(*) FROM process", &[]).await?;
    Ok(u32::try_from(alive).unwrap_or(u32::MAX))
}
