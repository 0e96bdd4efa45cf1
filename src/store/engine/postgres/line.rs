//! A connection, and how statements go over it.

use std::borrow::Cow;
use std::pin::Pin;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

use super::arrays::{Param, insert_of_arrays, update_of_arrays};
use super::joined::joined;
use crate::store::StoreError;
use crate::store::engine::dialect::Statements;
use crate::store::engine::value::{Row, Value};
use crate::store::engine::{Asked, Form, Write};

/// So many rows may go as one statement. Of more, each statement is worth its message, and one for
/// all would take the memory of all at once.
const FEW: usize = 32;

/// A connection and the statements that were prepared on it.
#[derive(Clone, Copy)]
pub(super) struct Line<'c> {
    pub(super) client: &'c ClientWrapper,
    pub(super) statements: &'c Statements,
}

/// The text of a statement with the parameters of each of its runs.
type Written<'w> = (Cow<'w, str>, Vec<Vec<Param<'w>>>);

/// Turns a statement of one row into one of many.
type OfArrays = fn(&str, &[&str]) -> Option<String>;

/// A statement with the parameters of each of its runs.
pub(super) type Prepared<'w> = (Statement, Vec<Vec<Param<'w>>>);

impl<'c> Line<'c> {
    pub(super) async fn query(self, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepare(sql).await?;
        self.query_prepared(&statement, params).await
    }

    pub(super) async fn query_prepared(
        self,
        statement: &Statement,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        rows(self.client.query(statement, &as_sql(params)).await?)
    }

    pub(super) async fn prepare(self, sql: &str) -> Result<Statement, StoreError> {
        Ok(self.client.prepare_cached(&self.statements.written(sql)).await?)
    }

    pub(super) async fn prepare_asked<'a>(
        self,
        asked: &'a [Asked<'_>],
    ) -> Result<Vec<(Statement, &'a [Value])>, StoreError> {
        let mut prepared = Vec::with_capacity(asked.len());
        for (sql, params) in asked {
            prepared.push((self.prepare(sql).await?, params.as_slice()));
        }
        Ok(prepared)
    }

    /// The rows of each statement; each is sent when it is first looked at.
    pub(super) fn answers_to<'a>(
        self,
        asked: &'a [(Statement, &'a [Value])],
    ) -> impl Iterator<Item = impl Future<Output = Result<Vec<Row>, StoreError>> + use<'a, 'c>>
    {
        asked.iter().map(move |(statement, params)| self.query_prepared(statement, params))
    }

    /// What is to be run of `writes`: one statement, if they are few rows and no write touches those
    /// of another.
    pub(super) async fn prepare_all(
        self,
        writes: &[Write],
    ) -> Result<Vec<Prepared<'_>>, StoreError> {
        let mut written = Vec::with_capacity(writes.len());
        for write in writes.iter().filter(|one| !one.rows.is_empty()) {
            written.push((self.write_rows(write.sql, write).await?, write.is_apart));
        }
        let rows: usize = writes.iter().map(|write| write.rows.len()).sum();
        let are_apart =
            rows <= FEW && written.iter().all(|((_, runs), is_apart)| *is_apart && runs.len() == 1);
        let written: Vec<_> = written.into_iter().map(|(one, _)| one).collect();
        if are_apart && written.len() > 1 {
            let texts: Vec<&str> = written.iter().map(|(sql, _)| &**sql).collect();
            let statement = self.prepare(&joined(&texts)).await?;
            let params = written.into_iter().flat_map(|(_, runs)| runs).flatten().collect();
            return Ok(vec![(statement, vec![params])]);
        }
        let mut prepared = Vec::with_capacity(written.len());
        for (sql, runs) in written {
            prepared.push((self.prepare(&sql).await?, runs));
        }
        Ok(prepared)
    }

    pub(super) async fn prepare_rows<'w>(
        self,
        sql: &'w str,
        write: &'w Write,
    ) -> Result<Prepared<'w>, StoreError> {
        let (sql, runs) = self.write_rows(sql, write).await?;
        Ok((self.prepare(&sql).await?, runs))
    }

    /// The statement of one row and the parameters of each of `write`, or one for all rows where
    /// there is one.
    async fn write_rows<'w>(
        self,
        sql: &'w str,
        write: &'w Write,
    ) -> Result<Written<'w>, StoreError> {
        let of_arrays = match write.form {
            Form::Insert if write.rows.len() > 1 => Some(insert_of_arrays as OfArrays),
            Form::Update if write.rows.len() > 1 => Some(update_of_arrays as OfArrays),
            Form::Insert | Form::Update | Form::Other => None,
        };
        let all = match of_arrays {
            Some(of_arrays) => {
                let one = self.prepare(sql).await?;
                let kinds: Vec<&str> = one.params().iter().map(Type::name).collect();
                of_arrays(sql, &kinds).map(|all| (all, kinds.len()))
            }
            None => None,
        };
        let Some((all, columns)) = all else {
            let runs = write.rows.iter().map(|row| row.iter().map(Param::One).collect());
            return Ok((sql.into(), runs.collect()));
        };
        let column = |column: usize| {
            Param::Column(write.rows.iter().filter_map(|row| row.get(column)).collect())
        };
        Ok((all.into(), vec![(0..columns).map(column).collect()]))
    }

    /// The runs of a statement; each is sent when it is first looked at.
    pub(super) fn runs_of<'r>(
        self,
        (statement, runs): &'r Prepared<'_>,
    ) -> impl Iterator<Item = Run<'r>> + use<'r, 'c>
    where
        'c: 'r,
    {
        runs.iter().map(move |params| -> Run<'r> {
            Box::pin(async move {
                let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(Param::as_sql).collect();
                Ok(self.client.execute(statement, &params).await?)
            })
        })
    }
}

/// One run of a statement: how many rows it changed.
pub(super) type Run<'r> = Pin<Box<dyn Future<Output = Result<u64, StoreError>> + Send + 'r>>;

pub(super) fn as_sql(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

pub(super) fn rows(rows: Vec<tokio_postgres::Row>) -> Result<Vec<Row>, StoreError> {
    let read = |row: &tokio_postgres::Row| {
        let columns = 0..row.len();
        columns.map(|column| Value::from_postgres(row, column)).collect::<Result<_, _>>().map(Row)
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
