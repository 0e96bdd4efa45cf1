//! One small engine with two variants, so that each statement stands once.
//!
//! Statements are written with `$1`, `$2` … and a few tokens that the dialects write differently:
//! `{skip_locked}`, and `{any $1}` for "one of the list in `$1`" (`dialect.rs` lists them). Times are microseconds since
//! 1970 as `BIGINT`, booleans 0 and 1, JSON is text, ids are UUIDs.

mod dialect;
pub(super) mod postgres;
pub(super) mod sqlite;
mod value;

use jiff::Timestamp;

use crate::store::StoreError;

pub use value::{Row, Value};

/// One transaction, or a read of one snapshot.
pub enum Tx<'c> {
    /// On SQLite.
    Sqlite(sqlite::SqliteTx<'c>),
    /// On PostgreSQL.
    Postgres(postgres::PostgresTx<'c>),
}

impl Tx<'_> {
    /// The rows of a statement.
    ///
    /// # Errors
    /// When the statement fails; the transaction must then be given up.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(tx) => tx.query(sql, params),
            Self::Postgres(tx) => tx.query(sql, params).await,
        }
    }

    /// The first row of a statement, if there is one.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn query_one(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows a statement changed.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => tx.execute(sql, params),
            Self::Postgres(tx) => tx.execute(sql, params).await,
        }
    }

    /// Runs a statement once for each list of parameters, and returns the rows of each run.
    ///
    /// PostgreSQL gets them all at once, without waiting for each answer.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn query_many(
        &mut self,
        sql: &str,
        params: &[Vec<Value>],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        match self {
            Self::Sqlite(tx) => params.iter().map(|params| tx.query(sql, params)).collect(),
            Self::Postgres(tx) => tx.query_many(sql, params).await,
        }
    }

    /// Runs a statement once for each list of parameters, and returns how many rows each changed.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn execute_many(
        &mut self,
        sql: &str,
        params: &[Vec<Value>],
    ) -> Result<Vec<u64>, StoreError> {
        match self {
            Self::Sqlite(tx) => params.iter().map(|params| tx.execute(sql, params)).collect(),
            Self::Postgres(tx) => tx.execute_many(sql, params).await,
        }
    }

    /// Inserts rows by a statement that ends its columns with `VALUES ($1, $2, …)`, each parameter
    /// once and in order.
    ///
    /// PostgreSQL gets one statement with an array a column, which costs a third of one a row.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn insert_all(&mut self, sql: &str, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => rows.iter().try_for_each(|row| tx.execute(sql, row).map(|_| ())),
            Self::Postgres(tx) => tx.insert_all(sql, rows).await,
        }
    }

    /// The time in the store; the same for the whole transaction.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Sqlite(tx) => tx.now(),
            Self::Postgres(tx) => tx.now(),
        }
    }

    /// Whether this is PostgreSQL, for the few statements that are written twice.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}
