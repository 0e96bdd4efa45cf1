//! One small engine with two variants, so that each statement stands once.
//!
//! Statements are written with `$1`, `$2` … and a few tokens that the dialects write differently:
//! `{skip_locked}`, and `{any $1}` for "one of the list in `$1`" (`dialect.rs` lists them). Times
//! are microseconds since 1970 as `BIGINT`, booleans 0 and 1, JSON is text, ids are UUIDs.

mod dialect;
pub(super) mod postgres;
pub(super) mod sqlite;
mod value;

use jiff::Timestamp;

use crate::store::StoreError;

pub use value::{Row, Value};

/// A statement that finds rows, with its parameters.
pub type Asked<'a> = (&'a str, Vec<Value>);

/// The question `sql` about a list, if there is anything on it.
pub fn about(sql: &str, list: Value) -> Option<Asked<'_>> {
    let is_empty = matches!(&list, Value::Texts(texts) if texts.is_empty())
        || matches!(&list, Value::Uuids(ids) if ids.is_empty());
    (!is_empty).then(|| (sql, vec![list]))
}

/// A statement that changes rows, with the parameters of each.
pub struct Write {
    sql: &'static str,
    rows: Vec<Vec<Value>>,
    form: Form,
    is_apart: bool,
}

/// What a statement looks like, so that one for a single row can be made one for many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Insert,
    Update,
    Other,
}

impl Write {
    /// An insert that ends its columns with `VALUES ($1, $2, …)`, each parameter once and in order.
    pub fn insert(sql: &'static str, rows: Vec<Vec<Value>>) -> Self {
        Self { sql, rows, form: Form::Insert, is_apart: false }
    }

    /// An update that ends with `WHERE id = $1`, each row another one of the table.
    pub fn update(sql: &'static str, rows: Vec<Vec<Value>>) -> Self {
        Self { sql, rows, form: Form::Update, is_apart: false }
    }

    /// Anything else; run once for each row.
    pub fn each(sql: &'static str, rows: Vec<Vec<Value>>) -> Self {
        Self { sql, rows, form: Form::Other, is_apart: false }
    }

    /// The same, of which it is known that it neither touches nor reads a row that another write
    /// marked so touches.
    ///
    /// If all that are written at once are marked, and are few rows, PostgreSQL gets them as a single
    /// statement, in which none sees what the others write.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { is_apart: true, ..self }
    }
}

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

    /// Runs an insert that leaves out what is there already, and returns of each row that was
    /// written one column, which is the parameter of the number given with its name. With it the
    /// rows of each statement of `asked`, as things are once all is written.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn insert_new(
        &mut self,
        write: &Write,
        (column, number): (&str, usize),
        asked: &[Asked<'_>],
    ) -> Result<(Vec<Row>, Vec<Vec<Row>>), StoreError> {
        match self {
            // To return something SQLite makes a table for each row.
            Self::Sqlite(tx) => {
                let written = tx.execute_many(write.sql, &write.rows)?.into_iter();
                let rows = write.rows.iter().zip(written).filter(|(_, count)| *count > 0);
                let value = |row: &Vec<Value>| row.get(number.checked_sub(1)?).cloned();
                let values = rows.filter_map(|(row, _)| value(row).map(|value| Row(vec![value])));
                Ok((values.collect(), self.query_all(asked).await?))
            }
            Self::Postgres(tx) => tx.insert_new(write, column, asked).await,
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
            Self::Sqlite(tx) => tx.execute_many(sql, params),
            Self::Postgres(tx) => tx.execute_many(sql, params).await,
        }
    }

    /// Runs statements that do not need one another's results, each for its rows.
    ///
    /// PostgreSQL gets them all at once; an insert or update of many rows as one statement with an
    /// array a parameter, which costs a third of one a row.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn write_all(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.write_all(writes),
            Self::Postgres(tx) => tx.write_all(writes).await,
        }
    }

    /// The same, as the last thing that the transaction does: PostgreSQL gets its commit with them,
    /// and the answer says whether that was done.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn write_last(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.write_all(writes),
            Self::Postgres(tx) => tx.write_last(writes).await,
        }
    }

    /// The rows of statements that do not need one another's results.
    ///
    /// PostgreSQL gets them all at once.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn query_all(&mut self, asked: &[Asked<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        match self {
            Self::Sqlite(tx) => asked.iter().map(|(sql, params)| tx.query(sql, params)).collect(),
            Self::Postgres(tx) => tx.query_all(asked).await,
        }
    }

    /// As [`Tx::query_all`] for the questions that there are; one that there is not has no rows.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn query_some<const N: usize>(
        &mut self,
        asked: [Option<Asked<'_>>; N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        let is_asked = asked.each_ref().map(Option::is_some);
        let asked: Vec<Asked<'_>> = asked.into_iter().flatten().collect();
        place(is_asked, self.query_all(&asked).await?)
    }

    /// Lets what follows in the transaction read whole tables, or no longer: small ones whose rows
    /// come and go, where PostgreSQL would walk through all that an index still holds of rows that
    /// are gone.
    ///
    /// A statement that others run too is to be kept out of it: its plan may outlast the
    /// transaction.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn read_whole_tables(&mut self, may: bool) -> Result<(), StoreError> {
        if self.is_postgres() {
            let set = if may { "on" } else { "off" };
            self.execute(&format!("SET LOCAL enable_seqscan = {set}"), &[]).await?;
        }
        Ok(())
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

/// Why nothing more is done in a transaction, and nothing of it committed.
fn went_on() -> StoreError {
    StoreError::Broken("a transaction went on after an error".to_owned())
}

/// What was found by those of some statements that were asked, each in its place; no rows for
/// others.
pub fn place<const N: usize>(
    is_asked: [bool; N],
    found: Vec<Vec<Row>>,
) -> Result<[Vec<Row>; N], StoreError> {
    if found.len() != is_asked.iter().filter(|is_asked| **is_asked).count() {
        return Err(StoreError::Broken("questions and answers differ in number".to_owned()));
    }
    let mut found = found.into_iter();
    Ok(is_asked.map(|is_asked| found.by_ref().take(usize::from(is_asked)).flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_in_the_places_of_their_questions_and_none_is_made_up() {
        let rows = |number: i64| vec![Row(vec![number.into()])];
        let numbers =
            |found: [Vec<Row>; 3]| found.map(|rows| rows.first().map(|row| row.int(0).unwrap()));

        let placed = place([true, false, true], vec![rows(1), rows(2)]).unwrap();

        assert_eq!(numbers(placed), [Some(1), None, Some(2)]);
        assert!(place([true, false, true], vec![rows(1)]).is_err());
        assert!(place([true, false], vec![rows(1), rows(2)]).is_err());
        assert_eq!(place([false, false], Vec::new()).unwrap().map(|rows| rows.len()), [0, 0]);
    }
}
