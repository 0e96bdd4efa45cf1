//! SQLite: one writer thread with group commit, a few read-only connections beside it.

mod writer;

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::Tx;
use super::dialect::{Dialect, Statements};
use super::value::{Row, Value};
use crate::clock::Clock;
use crate::store::StoreError;

pub(in crate::store) use writer::Writer;

/// How many reads run at once.
pub(in crate::store) const READERS: usize = 4;
/// The first SQLite without the WAL-reset bug (sqlite.org/wal.html, section 11).
const LEAST_VERSION: i32 = 3_051_003;
/// Statements that each connection keeps prepared.
const PREPARED: usize = 256;

/// A SQLite file, opened by this process alone.
pub(in crate::store) struct Sqlite {
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) writer: Writer,
    readers: Mutex<Vec<Connection>>,
    turns: Semaphore,
    statements: Arc<Statements>,
    clock: Clock,
    /// Held as long as the store is open, so that no second process opens the file.
    _lock: std::fs::File,
}

impl Sqlite {
    /// Opens or makes the file at `path`, and takes the folder's lock.
    pub(in crate::store) fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        if rusqlite::version_number() < LEAST_VERSION {
            let version = rusqlite::version();
            return Err(StoreError::Wrong(format!(
                "SQLite {version} may lose committed data; build Loa with its bundled SQLite"
            )));
        }
        let lock = take_lock(path)?;
        let statements = Arc::new(Statements::new(Dialect::Sqlite));
        let connection = connect(path, OpenFlags::default())?;
        let writer = Writer::start(connection, path, Arc::clone(&statements), clock.clone())?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            readers: Mutex::default(),
            turns: Semaphore::new(READERS),
            statements,
            clock,
            _lock: lock,
        })
    }

    /// Every statement that was run so far.
    #[cfg(test)]
    pub(in crate::store) fn statements(&self) -> Vec<Arc<str>> {
        self.statements.all()
    }

    /// Runs `work` on a snapshot, on a thread for blocking work.
    pub(in crate::store) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let closed = |_| StoreError::Broken("the store is closed".to_owned());
        let _turn = self.turns.acquire().await.map_err(closed)?;
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.read_blocking(work));
        read.await.map_err(|error| StoreError::Broken(format!("a read was cut off: {error}")))?
    }

    fn read_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        let free = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match free {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        connection.execute_batch("BEGIN")?;
        let now = self.clock.now();
        let result = run(&mut connection, &self.statements, now, work);
        connection.execute_batch("ROLLBACK")?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

/// The rows of a statement on a file that another process owns; no lock of theirs is taken.
pub(in crate::store) fn look(path: &Path, sql: &str) -> Result<Vec<Row>, StoreError> {
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let statements = Statements::new(Dialect::Sqlite);
    let now = Timestamp::UNIX_EPOCH;
    SqliteTx { connection: &mut connection, statements: &statements, now }.query(sql, &[])
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
    let mut tx = Tx::Sqlite(SqliteTx { connection, statements, now });
    let result = work(&mut tx).now_or_never();
    result.unwrap_or_else(|| {
        let text = "a transaction waited for something other than its database";
        Err(StoreError::Broken(text.to_owned()))
    })
}

/// Opens a connection and makes sure that it keeps what it commits.
fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    let is_writer = !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY);
    if is_writer {
        expect_pragma(&connection, "PRAGMA journal_mode = WAL", "wal")?;
        connection.execute_batch(
            "PRAGMA journal_size_limit = 67108864; \
             PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;",
        )?;
        expect_pragma(&connection, "PRAGMA synchronous", "2")?;
    } else {
        connection.execute_batch("PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;")?;
    }
    Ok(connection)
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
}

impl SqliteTx<'_> {
    pub(super) fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
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
        let mut statement = self.connection.prepare_cached(&self.statements.written(sql))?;
        Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Runs statements of a migration.
    pub(in crate::store) fn run_script(&mut self, script: &str) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch(script)?)
    }
}
