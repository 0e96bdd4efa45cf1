//! Copies of one event: a store as it is after months, made within minutes, for benchmarks.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::id::EventId;
use crate::store::engine::{Tx, Value};
use crate::store::inbox::micros;
use crate::store::{Store, StoreError};

/// How many copies one transaction makes; a statement has ten seconds, however busy the machine is.
const AT_ONCE: u64 = 2_000;

/// How many partners the copies are of.
pub const PARTNERS: u64 = 150;

/// The recipient's name in a copy, of 2,000 however many copies there are: the original's name and
/// a number, a third of them of the family Nguyễn; but for the first five copies, whose name nobody
/// else has.
const NAME: &str = "CASE WHEN n < 5 THEN 'to huu' ELSE \
     CASE WHEN n % 2000 % 3 = 0 THEN 'nguyen ' ELSE '' END || recipient_folded || ' ' || (n % 2000) \
     END";

/// When copies seem to have been made.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The time of the copy number 0.
    pub from: Timestamp,
    /// How much later each one is than the one before it.
    pub gap: Duration,
}

impl Store {
    /// Copies an event with its key, deliveries and attempts, each copy with a number of its own.
    ///
    /// Copies differ in what people look for: ids, business key, partner, recipient, address,
    /// times. Deliveries that wait stay due when the original is. The ledger counts them all.
    ///
    /// # Errors
    /// When the store does not answer; some of the copies may be made.
    pub async fn copy_event(
        &self,
        event: EventId,
        numbers: Range<u64>,
        spread: Spread,
    ) -> Result<(), StoreError> {
        let mut from = numbers.start;
        while from < numbers.end {
            let to = (from + AT_ONCE).min(numbers.end);
            self.write(move |tx| Box::pin(copy(tx, event, from..to, spread))).await?;
            from = to;
        }
        Ok(())
    }

    /// What the database takes on disk, in bytes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn size(&self) -> Result<u64, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                let sql = match tx.is_postgres() {
                    true => "SELECT pg_database_size(current_database())",
                    false => {
                        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
                    }
                };
                tx.query_one(sql, &[]).await?.map_or(Ok(0), |row| row.count(0))
            })
        })
        .await
    }

    /// How many bytes the server has written to its log (WAL) so far, for all its databases; `None`
    /// of SQLite, which moves its log into the file and begins it anew.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_wal_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.read(|tx| {
            Box::pin(async move {
                if !tx.is_postgres() {
                    return Ok(None);
                }
                let sql = "SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS BIGINT)";
                tx.query_one(sql, &[]).await?.map(|row| row.count(0)).transpose()
            })
        })
        .await
    }

    /// Tells the database what its tables hold now, as it finds out by itself in time.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn analyze(&self) -> Result<(), StoreError> {
        self.analyze_by("ANALYZE").await
    }

    /// The same by a statement that may name tables.
    pub(in crate::store) async fn analyze_by(&self, sql: &'static str) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                // SQLite plans by its indexes alone, unless it is asked to look.
                if tx.is_postgres() {
                    tx.execute(sql, &[]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

async fn copy(
    tx: &mut Tx<'_>,
    event: EventId,
    numbers: Range<u64>,
    spread: Spread,
) -> Result<(), StoreError> {
    let count = numbers.end - numbers.start;
    let params: Vec<Value> = vec![
        event.0.into(),
        numbers.start.into(),
        (numbers.end - 1).into(),
        spread.from.into(),
        micros(spread.gap).into(),
    ];
    let id = new_id(tx);
    for (into, from) in tables(id) {
        let sql = format!(
            "WITH RECURSIVE series (n) AS (SELECT CAST($2 AS BIGINT) UNION ALL \
             SELECT n + 1 FROM series WHERE n < CAST($3 AS BIGINT)), \
             copies AS (SELECT n, CAST($4 AS BIGINT) + n * CAST($5 AS BIGINT) AS at FROM series) \
             INSERT INTO {into} SELECT {from}"
        );
        tx.execute(&sql, &params).await?;
    }
    count_copies(tx, event, count).await
}

/// An id that grows with time, as Loa's own do.
fn new_id(tx: &Tx<'_>) -> &'static str {
    match tx.is_postgres() {
        true => {
            "(lpad(to_hex(at / 1000), 12, '0') || '7000a000' || lpad(to_hex(n), 12, '0'))::uuid"
        }
        false => "unhex(printf('%012x7000a000%012x', at / 1000, n))",
    }
}

/// What is inserted where, and what is selected for it.
fn tables(id: &str) -> [(&'static str, String); 5] {
    let event = format!(
        "{id}, source, 'copy-' || n, event_type, at, at, NULL, 'copy-' || n, \
         'partner-' || (n % {PARTNERS}), NULL, NULL, NULL, data, transport, state, deliveries, 0 \
         FROM event, copies WHERE event.id = $1"
    );
    let key = format!(
        "source, 'copy-' || n, digest, {id}, expires_at FROM event_key, copies WHERE event = $1"
    );
    let delivery = format!(
        "{id}, {id}, event_type, step, 'copy-' || n, contact, 'partner-' || (n % {PARTNERS}), \
         'copy-' || n, channel, provider, \
         CASE channel WHEN 'email' THEN 'copy-' || n || '@sink.example' ELSE address END, locale, \
         time_zone, recipient, {NAME}, template, category, lane, \
         state, reason, detail, CASE state WHEN 'waiting' THEN due_at ELSE at END, \
         CASE state WHEN 'waiting' THEN expires_at ELSE at + expires_at - created_at END, \
         attempts, NULL, version, provider_message_id, last_code, unless, at, at \
         FROM delivery, copies WHERE event = $1"
    );
    let waiting = format!(
        "{id}, provider, lane, due_at, expires_at, at FROM delivery, copies \
         WHERE event = $1 AND state = 'waiting'"
    );
    let attempt = format!(
        "{id}, number, at, at, attempt.provider, class, code, answer, template_version \
         FROM attempt JOIN delivery ON attempt.delivery = delivery.id, copies \
         WHERE delivery.event = $1"
    );
    [
        (
            "event (id, source, external_id, event_type, time, received_at, not_before, \
             business_key, partner, correlation_id, traceparent, only_address, data, transport, \
             state, deliveries, repeats)",
            event,
        ),
        ("event_key (source, external_id, digest, event, expires_at)", key),
        (
            "delivery (id, event, event_type, step, recipient_key, contact, partner, \
             business_key, channel, provider, address, locale, time_zone, recipient, \
             recipient_folded, template, category, lane, state, reason, detail, due_at, \
             expires_at, attempts, follows, version, provider_message_id, last_code, unless, \
             created_at, updated_at)",
            delivery,
        ),
        ("waiting (delivery, provider, lane, due_at, expires_at, created_at)", waiting),
        (
            "attempt (delivery, number, started_at, finished_at, provider, class, code, answer, \
             template_version)",
            attempt,
        ),
    ]
}

/// Counts what was copied as if it had been accepted and sent one by one.
async fn count_copies(tx: &mut Tx<'_>, event: EventId, count: u64) -> Result<(), StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let counted = "SELECT event_type, state FROM delivery WHERE event = $1";
    let mut counters: Vec<(String, String)> = Vec::new();
    for row in tx.query(counted, &[event.0.into()]).await? {
        let (event_type, state) = (row.text(0)?, row.text(1)?);
        counters.push((event_type.clone(), format!("delivery.{state}")));
        counters.push((event_type, "delivery.planned".to_owned()));
    }
    let of_event = "SELECT event_type FROM event WHERE id = $1";
    for row in tx.query(of_event, &[event.0.into()]).await? {
        counters.push((row.text(0)?, "event.received".to_owned()));
        counters.push((row.text(0)?, "event.planned".to_owned()));
    }
    let upsert = "INSERT INTO counter (slot, event_type, name, value) VALUES ('all', $1, $2, $3) \
                  ON CONFLICT (slot, event_type, name) \
                  DO UPDATE SET value = counter.value + excluded.value";
    let row = |(event_type, name): (String, String)| -> Vec<Value> {
        vec![event_type.into(), name.into(), count.into()]
    };
    let rows: Vec<Vec<Value>> = counters.into_iter().map(row).collect();
    tx.execute_many(upsert, &rows).await?;
    Ok(())
}
