//! Retention and backup.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::model::delivery::State;
use crate::store::changes::Changes;
use crate::store::engine::{Tx, Value};
use crate::store::outbox::NOBODY;
use crate::store::rows::read_state;
use crate::store::{Store, StoreError, rejected};

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Final deliveries, their events and attempts.
    pub deliveries: Duration,
    /// Rejected events, and status events that cannot be read.
    pub rejected: Duration,
    /// Captured messages.
    pub captured: Duration,
}

impl Store {
    /// Forgets what is older than its age, at most `limit` rows of each sort; says whether there
    /// is more to forget.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn purge(&self, ages: Ages, limit: usize) -> Result<bool, StoreError> {
        let store = self.clone();
        self.write(move |tx| {
            let store = store.clone();
            Box::pin(async move { purge(tx, &store, ages, limit).await })
        })
        .await
    }
}

/// Copies a SQLite store to a new file, while a Loa runs on it or not.
///
/// # Errors
/// When the file is there already or cannot be written.
pub async fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copy = tokio::task::spawn_blocking(move || -> Result<(), StoreError> {
        let source = rusqlite::Connection::open_with_flags(
            &from,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )?;
        create_private(&to)?;
        // One read transaction, so that writers go on and the copy is of one moment.
        let copied = source.execute("VACUUM INTO ?1", [to.display().to_string()]);
        if copied.is_err() {
            drop(std::fs::remove_file(&to));
        }
        copied?;
        std::fs::File::open(&to)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::Wrong(format!("cannot sync the backup: {error}")))
    });
    copy.await.map_err(|error| StoreError::cut_off("the backup", error))?
}

/// Makes the new file of a copy: it holds addresses and messages, so nobody but its owner reads it.
fn create_private(file: &Path) -> Result<(), StoreError> {
    let new = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file);
    new.map(drop).map_err(|error| {
        let file = file.display();
        StoreError::Wrong(if error.kind() == std::io::ErrorKind::AlreadyExists {
            format!("{file} exists already; name a new file")
        } else {
            format!("cannot write {file}: {error}")
        })
    })
}

async fn purge(
    tx: &mut Tx<'_>,
    store: &Store,
    ages: Ages,
    limit: usize,
) -> Result<bool, StoreError> {
    let now = tx.now();
    let before = |age: Duration| now.checked_sub(age).unwrap_or(jiff::Timestamp::MIN);
    let mut changes = Changes::new(store, now);
    let states = State::ALL.iter().filter(|state| state.is_final()).map(|state| state.as_str());
    let old = "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery \
               WHERE created_at < $1 AND updated_at < $1 AND state {any $2} \
               ORDER BY created_at LIMIT $3 {skip_locked}) RETURNING id, event_type, state";
    let params = [before(ages.deliveries).into(), Value::texts(states), limit.into()];
    let rows = tx.query(old, &params).await?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, event_type) = (row.uuid(0)?, row.text(1)?);
        changes.count(&event_type, purged_counter(read_state(&row.text(2)?)?), 1);
        ids.push(id);
    }
    let mut is_full = ids.len() == limit;
    let ids = Value::uuids(ids);
    tx.execute("DELETE FROM attempt WHERE delivery {any_uuid $1}", std::slice::from_ref(&ids))
        .await?;
    tx.execute("DELETE FROM captured WHERE delivery {any_uuid $1}", &[ids]).await?;
    let events = "DELETE FROM event WHERE id IN (SELECT id FROM event \
                  WHERE received_at < $1 AND state = 'planned' AND NOT EXISTS \
                  (SELECT 1 FROM delivery WHERE delivery.event = event.id) \
                  ORDER BY received_at LIMIT $2) RETURNING event_type";
    let rows = tx.query(events, &[before(ages.deliveries).into(), limit.into()]).await?;
    for row in &rows {
        changes.count(&row.text(0)?, "forgotten.planned", 1);
    }
    is_full |= rows.len() == limit;
    let refused = "DELETE FROM rejected WHERE id IN (SELECT id FROM rejected \
                    WHERE at < $1 ORDER BY at LIMIT $2 {skip_locked}) RETURNING reason, event_type";
    let rows = tx.query(refused, &[before(ages.rejected).into(), limit.into()]).await?;
    is_full |= rejected::forget(&rows, &mut changes)? == limit as u64;
    let unread = "DELETE FROM outbox_bundle WHERE run = $1 AND id IN (SELECT id \
                  FROM outbox_bundle WHERE run = $1 AND at < $2 ORDER BY id LIMIT $3 {skip_locked})";
    let params = [NOBODY.into(), before(ages.rejected).into(), limit.into()];
    is_full |= tx.execute(unread, &params).await? == limit as u64;
    let more = [
        ("captured", "delivery, attempt", "at", before(ages.captured)),
        ("deed", "subject, at, deed", "at", before(ages.deliveries.max(ages.rejected))),
        ("event_key", "source, external_id", "expires_at", now),
        ("marker", "business_key, event_type", "expires_at", now),
    ];
    for (table, key, time, before) in more {
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} \
             WHERE {time} < $1 ORDER BY {time} LIMIT $2 {{skip_locked}})"
        );
        is_full |= tx.execute(&sql, &[before.into(), limit.into()]).await? == limit as u64;
    }
    tx.execute("DELETE FROM login_link WHERE expires_at < $1", &[now.into()]).await?;
    tx.execute("DELETE FROM session WHERE expires_at < $1", &[now.into()]).await?;
    changes.write(tx).await?;
    Ok(is_full)
}

/// The counter of purged deliveries of a state; the ledger goes on counting them.
fn purged_counter(state: State) -> &'static str {
    match state {
        State::Waiting => "purged.waiting",
        State::Held => "purged.held",
        State::Sent => "purged.sent",
        State::Delivered => "purged.delivered",
        State::Bounced => "purged.bounced",
        State::Failed => "purged.failed",
        State::Skipped => "purged.skipped",
        State::Expired => "purged.expired",
        State::Cancelled => "purged.cancelled",
    }
}
