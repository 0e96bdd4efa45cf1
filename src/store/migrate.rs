//! Brings the schema up to date: ordered, checksummed, under a lock.
//!
//! Old code must run on the new schema for one release, so a migration only adds; an index may go,
//! a trigger may be written anew. The one exception, `0009_waiting`, came before the first release.

use ring::digest::{SHA256, digest};

use crate::store::engine::{Tx, Value};
use crate::store::{Store, StoreError};

/// One step of the schema, as each database reads it.
struct Migration {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migrations {
    ($($number:literal $file:literal),* $(,)?) => {
        &[$(Migration {
            number: $number,
            name: $file,
            sqlite: include_str!(concat!("migrations/sqlite/", $file, ".sql")),
            postgres: include_str!(concat!("migrations/postgres/", $file, ".sql")),
        }),*]
    };
}

const MIGRATIONS: &[Migration] = migrations![1 "0001_ledger", 2 "0002_directory", 3 "0003_access", 4 "0004_search", 5 "0005_fewer_indexes", 6 "0006_window", 7 "0007_expiring_markers", 8 "0008_outbox_bundles", 9 "0009_waiting", 10 "0010_deeds", 11 "0011_plain_triggers"];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (
    number   BIGINT PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL,
    at       BIGINT NOT NULL
)";

impl Store {
    /// Applies what is missing, and returns the names of what it applied.
    ///
    /// # Errors
    /// When the schema is newer than this program, or an applied migration was another text.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        self.write_at_length(|tx| Box::pin(migrate(tx, MIGRATIONS))).await
    }

    /// Brings the schema of an empty store to where it was with migration `number`.
    #[cfg(test)]
    pub(in crate::store) async fn migrate_to(&self, number: usize) -> Result<(), StoreError> {
        let wanted = MIGRATIONS.get(..number).unwrap_or(MIGRATIONS);
        self.write_at_length(move |tx| Box::pin(migrate(tx, wanted))).await.map(drop)
    }

    /// Where it is, for people, without a password.
    pub fn describe(&self) -> String {
        self.place.to_string()
    }
}

async fn migrate(
    tx: &mut Tx<'_>,
    wanted: &'static [Migration],
) -> Result<Vec<&'static str>, StoreError> {
    if tx.is_postgres() {
        // Two processes that start at once apply the schema one after the other.
        tx.query("SELECT pg_advisory_xact_lock(7108835)::text", &[]).await?;
    }
    if !has_table(tx).await? {
        tx.execute(TABLE, &[]).await?;
    }
    let applied =
        tx.query("SELECT number, name, checksum FROM migration ORDER BY number", &[]).await?;
    for (index, row) in applied.iter().enumerate() {
        let (number, name) = (row.int(0)?, row.text(1)?);
        let Some(migration) = MIGRATIONS.get(index).filter(|known| known.number == number) else {
            return Err(StoreError::Wrong(format!(
                "the schema holds migration {name}, which this version of Loa does not know; \
                 start the newer version"
            )));
        };
        if checksum(script(migration, tx)) != row.text(2)? {
            return Err(StoreError::Wrong(format!(
                "migration {name} was applied with another text; restore the schema from a backup"
            )));
        }
    }
    let mut done = Vec::new();
    for migration in wanted.iter().skip(applied.len()) {
        let text = script(migration, tx);
        match tx {
            Tx::Sqlite(tx) => tx.run_script(text)?,
            Tx::Postgres(tx) => tx.run_script(text).await?,
        }
        let params: [Value; 4] = [
            migration.number.into(),
            migration.name.into(),
            checksum(text).into(),
            tx.now().into(),
        ];
        let insert = "INSERT INTO migration (number, name, checksum, at) VALUES ($1, $2, $3, $4)";
        tx.execute(insert, &params).await?;
        done.push(migration.name);
    }
    Ok(done)
}

/// Whether the schema is there. PostgreSQL refuses to create even a table that exists to whoever
/// may create none, and who only runs Loa need not.
async fn has_table(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    if !tx.is_postgres() {
        return Ok(false);
    }
    let found = tx.query("SELECT coalesce(to_regclass('migration')::text, '')", &[]).await?;
    Ok(found.first().map(|row| row.text(0)).transpose()?.is_some_and(|name| !name.is_empty()))
}

fn script(migration: &Migration, tx: &Tx<'_>) -> &'static str {
    if tx.is_postgres() { migration.postgres } else { migration.sqlite }
}

fn checksum(text: &str) -> String {
    use std::fmt::Write as _;
    let mut written = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        // Writing to a text cannot fail.
        write!(written, "{byte:02x}").ok();
    }
    written
}
