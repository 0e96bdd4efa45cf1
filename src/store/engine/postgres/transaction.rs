//! One transaction on one connection, with as few waits for an answer as may be.

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt;
use futures_util::future::{join, maybe_done, try_join_all};
use jiff::Timestamp;

use super::arrays::Param;
use super::line::{Line, as_sql, rows};
use crate::store::StoreError;
use crate::store::engine::dialect::Statements;
use crate::store::engine::value::{Row, Value};
use crate::store::engine::{Asked, Write, went_on};

/// How a transaction begins.
#[derive(Clone, Copy)]
pub(super) struct Begin {
    pub(super) read_only: bool,
    /// It may take as long as it needs, and may read whole tables.
    pub(super) at_length: bool,
}

impl Begin {
    fn sql(self) -> &'static str {
        match (self.read_only, self.at_length) {
            (false, false) => "START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            (true, false) => "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            (false, true) => {
                "START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; \
                 SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; \
                 SET LOCAL max_parallel_workers_per_gather = 2"
            }
            (true, true) => {
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                 SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; \
                 SET LOCAL max_parallel_workers_per_gather = 2"
            }
        }
    }
}

/// A transaction on one connection; it is rolled back if it is dropped before its end.
///
/// It begins with its first statements, which are sent behind the beginning without waiting for its
/// answer. Were it not to begin, nothing would be written: outside its transactions a session may
/// only read.
pub struct PostgresTx<'c> {
    line: Line<'c>,
    begin: Begin,
    has_begun: bool,
    /// Something in it failed: nothing more is done, and nothing committed.
    has_failed: bool,
    is_over: bool,
    now: Timestamp,
}

impl Drop for PostgresTx<'_> {
    fn drop(&mut self) {
        if self.has_begun && !self.is_over {
            // Looked at once it is sent; whoever has the connection next comes after it.
            drop(self.line.client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

impl<'c> PostgresTx<'c> {
    pub(super) fn new(
        client: &'c ClientWrapper,
        statements: &'c Statements,
        (begin, now): (Begin, Timestamp),
    ) -> Self {
        let line = Line { client, statements };
        Self { line, begin, has_begun: false, has_failed: false, is_over: false, now }
    }

    /// Ends it; returns once what it wrote is committed.
    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        if self.has_failed {
            return Err(went_on());
        }
        if !self.has_begun || self.is_over {
            return Ok(());
        }
        self.is_over = true;
        let commit = self.line.client.batch_execute("COMMIT");
        if self.begin.read_only {
            // Nothing depends on its answer.
            drop(commit.now_or_never());
            return Ok(());
        }
        Ok(commit.await?)
    }

    /// Does `work` in the transaction; what begins it is sent before.
    async fn within<T>(
        &mut self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.is_over {
            return Err(StoreError::Broken(
                "a transaction went on after its last write".to_owned(),
            ));
        }
        if self.has_failed {
            return Err(went_on());
        }
        let done = if self.has_begun {
            work.await
        } else {
            self.has_begun = true;
            let begin = self.line.client.batch_execute(self.begin.sql());
            let (begun, done) = join(begin, work).await;
            begun.map_err(StoreError::from).and(done)
        };
        self.has_failed = done.is_err();
        done
    }

    pub(in crate::store::engine) async fn query(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let line = self.line;
        self.within(line.query(sql, params)).await
    }

    pub(in crate::store::engine) async fn execute(
        &mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<u64, StoreError> {
        let line = self.line;
        let run = async {
            let statement = line.prepare(sql).await?;
            Ok(line.client.execute(&statement, &as_sql(params)).await?)
        };
        self.within(run).await
    }

    pub(in crate::store::engine) async fn query_many(
        &mut self,
        sql: &str,
        params: &[Vec<Value>],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let line = self.line;
        let run = async {
            let statement = &line.prepare(sql).await?;
            let run = |params| async move { line.query_prepared(statement, params).await };
            try_join_all(params.iter().map(Vec::as_slice).map(run)).await
        };
        self.within(run).await
    }

    pub(in crate::store::engine) async fn insert_new(
        &mut self,
        write: &Write,
        column: &str,
        asked: &[Asked<'_>],
    ) -> Result<(Vec<Row>, Vec<Vec<Row>>), StoreError> {
        if write.rows.is_empty() {
            return Ok((Vec::new(), self.query_all(asked).await?));
        }
        let line = self.line;
        let run = async {
            let sql = format!("{} RETURNING {column}", write.sql);
            let (statement, runs) = &line.prepare_rows(&sql, write).await?;
            let asked = &line.prepare_asked(asked).await?;
            let inserts = runs.iter().map(|params| async move {
                let params: Vec<_> = params.iter().map(Param::as_sql).collect();
                rows(line.client.query(statement, &params).await?)
            });
            // Sent when they are first looked at: what is asked behind what is written.
            let (written, found) =
                join(try_join_all(inserts), try_join_all(line.answers_to(asked))).await;
            Ok((written?.into_iter().flatten().collect(), found?))
        };
        self.within(run).await
    }

    pub(in crate::store::engine) async fn execute_many(
        &mut self,
        sql: &str,
        params: &[Vec<Value>],
    ) -> Result<Vec<u64>, StoreError> {
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let line = self.line;
        let run = async {
            let statement = &line.prepare(sql).await?;
            let runs = params.iter().map(|params| async move {
                line.client.execute(statement, &as_sql(params)).await.map_err(StoreError::from)
            });
            try_join_all(runs).await
        };
        self.within(run).await
    }

    pub(in crate::store::engine) async fn write_all(
        &mut self,
        writes: &[Write],
    ) -> Result<(), StoreError> {
        let line = self.line;
        let run = async {
            let prepared = line.prepare_all(writes).await?;
            try_join_all(prepared.iter().flat_map(|one| line.runs_of(one))).await.map(|_| ())
        };
        self.within(run).await
    }

    /// As [`Self::write_all`], and the commit goes with them. If PostgreSQL refuses one of them, it
    /// takes the commit for the end of a transaction that is rolled back; of one that could not
    /// even be sent it knows nothing, so that a rollback goes in the commit's place.
    pub(in crate::store::engine) async fn write_last(
        &mut self,
        writes: &[Write],
    ) -> Result<(), StoreError> {
        let line = self.line;
        let prepared = self.within(line.prepare_all(writes)).await?;
        // Each is sent when it is first looked at: one after the other, the commit behind them all.
        let mut runs: Vec<_> = prepared
            .iter()
            .flat_map(|one| line.runs_of(one))
            .map(|run| Box::pin(maybe_done(run)))
            .collect();
        let mut is_sent = true;
        for run in &mut runs {
            run.as_mut().now_or_never();
            is_sent &= !matches!(run.as_mut().output_mut(), Some(Err(_)));
        }
        let end = if is_sent { "COMMIT" } else { "ROLLBACK" };
        let mut commit = Box::pin(maybe_done(line.client.batch_execute(end)));
        commit.as_mut().now_or_never();
        self.is_over = true;
        let mut failure = None;
        for mut run in runs {
            run.as_mut().await;
            if let Some(Err(error)) = run.as_mut().take_output() {
                failure.get_or_insert(error);
            }
        }
        commit.as_mut().await;
        match (failure, commit.as_mut().take_output()) {
            (Some(error), _) => Err(error),
            (None, Some(committed)) => Ok(committed?),
            (None, None) => Err(StoreError::Broken("a commit has no end".to_owned())),
        }
    }

    pub(in crate::store::engine) async fn query_all(
        &mut self,
        asked: &[Asked<'_>],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let line = self.line;
        let run = async {
            let prepared = line.prepare_asked(asked).await?;
            try_join_all(line.answers_to(&prepared)).await
        };
        self.within(run).await
    }

    pub(in crate::store::engine) fn now(&self) -> Timestamp {
        self.now
    }

    /// Runs statements of a migration.
    pub(in crate::store) async fn run_script(&mut self, script: &str) -> Result<(), StoreError> {
        let client = self.line.client;
        self.within(async { Ok(client.batch_execute(script).await?) }).await
    }
}
