//! SQLite: one writer thread with group commit, a few read-only connections beside it.

mod readers;
mod writer;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::dialect::{Dialect, Statements};
use super::value::{Row, Value};
use super::{Tx, Write};
use crate::clock::Clock;
use crate::store::StoreError;

use readers::{Purpose, Readers};
pub(in crate::store) use writer::Writer;

/// How many reads of the work itself run at once, each for as long as it needs.
pub(in crate::store) const READERS: usize = 4;
/// What searches share. Each may take as long as a statement on PostgreSQL, and keeps the pages by
/// which two thousand names are gone through: with a million deliveries one for each name.
const SEARCHERS: Purpose =
    Purpose { many: 2, longest: Some(Duration::from_secs(10)), cache_kib: 16 << 10 };
/// What counts of all rows share.
const COUNTERS: Purpose = Purpose { many: 1, longest: None, cache_kib: CACHE_KIB };
/// How much of the file each connection that reads keeps in memory, in KiB.
const CACHE_KIB: u32 = 8 << 10;
/// The first SQLite without the WAL-reset bug (sqlite.org/wal.html, section 11).
const LEAST_VERSION: i32 = 3_051_003;
/// How long a connection waits for another one that is in its way.
const BUSY: Duration = Duration::from_secs(5);
/// From how many pages on SQLite moves its write-ahead log into the file with the next commit: 16
/// MiB. A page that changes often is moved once for many changes, for a longer pause now and then.
const LOG_PAGES: u32 = 4000;
/// A write-ahead log above this many bytes, which a reader kept from being moved, is moved at once.
const LARGE_LOG: u64 = 64 << 20;
/// Statements that each connection keeps prepared.
const PREPARED: usize = 256;

/// A SQLite file, opened by this process alone.
pub(in crate::store) struct Sqlite {
    pub(in crate::store) writer: Writer,
    readers: Arc<Readers>,
    searchers: Arc<Readers>,
    counter: Arc<Readers>,
    #[cfg(test)]
    statements: Arc<Statements>,
    /// Held as long as the store is open, so that no second process opens the file.
    _lock: std::fs::File,
}

impl Sqlite {
    /// Opens or makes the file at `path`, and takes the folder's lock.
    pub(in crate::store) fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        check_version(rusqlite::version_number())?;
        let lock = take_lock(path)?;
        let statements = Arc::new(Statements::new(Dialect::Sqlite));
        let connection = connect(path, OpenFlags::default())?;
        let writer = Writer::start(connection, path, Arc::clone(&statements), clock.clone())?;
        let readers =
            |how| Arc::new(Readers::new(path, how, Arc::clone(&statements), clock.clone()));
        Ok(Self {
            writer,
            readers: readers(Purpose { many: READERS, longest: None, cache_kib: CACHE_KIB }),
            searchers: readers(SEARCHERS),
            counter: readers(COUNTERS),
            #[cfg(test)]
            statements: Arc::clone(&statements),
            _lock: lock,
        })
    }

    /// Every statement that was run so far.
    #[cfg(test)]
    pub(in crate::store) fn statements(&self) -> Vec<Arc<str>> {
        self.statements.all()
    }

    /// Runs `work` on a snapshot.
    pub(in crate::store) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.readers.read(work).await
    }

    /// As [`Sqlite::read`], for what a person looks for: it keeps nothing else waiting, and ends.
    pub(in crate::store) async fn search<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.searchers.read(work).await
    }

    /// As [`Sqlite::read`], one at a time and for as long as it needs.
    pub(in crate::store) async fn read_at_length<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.counter.read(work).await
    }
}

/// Refuses a SQLite that may lose what it has committed.
fn check_version(version: i32) -> Result<(), StoreError> {
    if version >= LEAST_VERSION {
        return Ok(());
    }
    let (major, minor, patch) = (version / 1_000_000, version / 1000 % 1000, version % 1000);
    Err(StoreError::Wrong(format!(
        "SQLite {major}.{minor}.{patch} may lose committed data; build Loa with its bundled SQLite"
    )))
}

/// The rows of a statement on a file that another process owns; no lock of theirs is taken.
pub(in crate::store) fn look(path: &Path, sql: &str) -> Result<Vec<Row>, StoreError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let statements = Statements::new(Dialect::Sqlite);
    let now = Timestamp::UNIX_EPOCH;
    let connection = &mut connection;
    SqliteTx { connection, statements: &statements, now, has_failed: false }.query(sql, &[])
}

/// Runs `work` on a connection that is inside a transaction.
fn run<T, F>(
    connection: &mut Connection,
    statements: &Statements,
    now: Timestamp,
    work: F,
) -> Result<T, StoreError>
where
    F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
{
    let mut tx = Tx::Sqlite(SqliteTx { connection, statements, now, has_failed: false });
    let result = work(&mut tx).now_or_never();
    let result = result.unwrap_or_else(|| {
        let text = "a transaction waited for something other than its database";
        Err(StoreError::Broken(text.to_owned()))
    });
    match tx {
        // Half of a statement may be done, which PostgreSQL would not commit either.
        Tx::Sqlite(tx) if result.is_ok() => tx.refuse_after_an_error().and(result),
        Tx::Sqlite(_) | Tx::Postgres(_) => result,
    }
}

/// Opens a connection and makes sure that it keeps what it commits.
fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = open(path, flags).map_err(|error| unusable(path, error))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // A plan does not depend on parameters; else each new limit would be a reason to plan anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    let is_writer = !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY);
    if is_writer {
        expect_pragma(&connection, "PRAGMA journal_mode = WAL", "wal")?;
        connection.execute_batch(&format!(
            "PRAGMA journal_size_limit = {LARGE_LOG}; PRAGMA wal_autocheckpoint = {LOG_PAGES}; \
             PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;"
        ))?;
        expect_pragma(&connection, "PRAGMA synchronous", "2")?;
    } else {
        connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    }
    Ok(connection)
}

/// Opens the file and reads its head, without which nobody knows whether it is a database.
fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    Ok(connection)
}

/// What is wrong with a file that cannot be opened, and what to do about it.
fn unusable(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.display();
    let is_broken = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    );
    if is_broken {
        return StoreError::Wrong(format!(
            "{path} is no SQLite database, or a damaged one; put a copy that `loa backup` made in its \
             place, or move it away to begin with an empty store"
        ));
    }
    let error = StoreError::from(error);
    match error.is_for_somebody_to_mend() {
        true => StoreError::Wrong(format!("cannot open {path}: {error}")),
        false => error,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
fn expect_pragma(connection: &Connection, sql: &str, expected: &str) -> Result<(), StoreError> {
    let found = connection.query_row(sql, [], |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(value) => value.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
    })?;
    if found == expected {
        return Ok(());
    }
    Err(StoreError::Wrong(format!(
        "{sql} gives `{found}` instead of `{expected}`; put the data folder on a local disk"
    )))
}

fn take_lock(path: &Path) -> Result<std::fs::File, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let cannot = |error: std::io::Error| {
        StoreError::Wrong(format!(
            "cannot write to the data folder {}: {error}; name another with --data-dir",
            folder.display()
        ))
    };
    // Addresses and messages stand in here: nobody but its owner reads it. SQLite gives the files
    // beside the database the mode of the database.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    let mut options = std::fs::File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path).map_err(cannot)?;
    let file = options.open(path.with_extension("lock")).map_err(cannot)?;
    file.try_lock().map_err(|_| {
        StoreError::Wrong(format!(
            "the data folder {} is in use by another Loa; stop it, or name another folder with \
             --data-dir",
            folder.display()
        ))
    })?;
    Ok(file)
}

/// A transaction on one connection.
pub struct SqliteTx<'c> {
    connection: &'c mut Connection,
    statements: &'c Statements,
    now: Timestamp,
    has_failed: bool,
}

impl SqliteTx<'_> {
    pub(super) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.refuse_after_an_error()?;
        let found = self.rows_of(sql, params);
        self.noted(found)
    }

    fn rows_of(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(&self.statements.written(sql))?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let column = |index| row.get_ref(index).map(Value::from_sqlite);
            found.push(Row((0..columns).map(column).collect::<Result<_, _>>()?));
        }
        Ok(found)
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        Ok(self.execute_each(sql, std::iter::once(params))?.into_iter().sum())
    }

    pub(super) fn write_all(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        for write in writes.iter().filter(|write| !write.rows.is_empty()) {
            self.execute_many(write.sql, &write.rows)?;
        }
        Ok(())
    }

    /// Runs a statement for each list of parameters; how many rows each changed.
    pub(super) fn execute_many(
        &mut self,
        sql: &str,
        params: &[Vec<Value>],
    ) -> Result<Vec<u64>, StoreError> {
        self.execute_each(sql, params.iter().map(Vec::as_slice))
    }

    fn execute_each<'p>(
        &mut self,
        sql: &str,
        params: impl Iterator<Item = &'p [Value]>,
    ) -> Result<Vec<u64>, StoreError> {
        self.refuse_after_an_error()?;
        let run = || {
            let mut statement = self.connection.prepare_cached(&self.statements.written(sql))?;
            let run = |params| Ok(statement.execute(rusqlite::params_from_iter(params))? as u64);
            params.map(run).collect()
        };
        let counts = run();
        self.noted(counts)
    }

    /// An error may have ended the transaction; what follows would be committed by itself.
    fn refuse_after_an_error(&self) -> Result<(), StoreError> {
        match self.has_failed {
            true => Err(super::went_on()),
            false => Ok(()),
        }
    }

    /// Notes whether a statement failed, after which nothing may be committed.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.has_failed |= result.is_err();
        result
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Runs statements of a migration.
    pub(in crate::store) fn run_script(&mut self, script: &str) -> Result<(), StoreError> {
        self.refuse_after_an_error()?;
        let done = self.connection.execute_batch(script).map_err(StoreError::from);
        self.noted(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_that_may_lose_what_it_commits_is_refused_and_the_one_built_in_is_not() {
        // sqlite.org/wal.html, section 11: corrected in 3.51.3.
        let refused = check_version(3_051_002).unwrap_err().to_string();

        assert!(refused.starts_with("SQLite 3.51.2 may lose committed data"), "{refused}");
        assert!(check_version(3_051_003).is_ok());
        assert!(check_version(rusqlite::version_number()).is_ok(), "{}", rusqlite::version());
    }
}
