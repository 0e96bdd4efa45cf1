//! PostgreSQL: a pool of connections, every wait bounded, conflicts tried again in one place.

mod arrays;
mod joined;
mod line;
mod place;
mod transaction;

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, ManagerConfig, Pool, PoolError, RecyclingMethod, Timeouts,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::NoTls;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::warn;

pub(in crate::store) use self::place::describe;
pub(in crate::store) use self::transaction::PostgresTx;

use self::transaction::Begin;
use super::Tx;
use super::dialect::{Dialect, Statements};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::telemetry::with_causes;

/// The longest wait for a connection, new or from the pool.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest that one transaction may take, however slowly its statements go; but for those that
/// are run at length.
const TRANSACTION: Duration = Duration::from_secs(30);
/// How often a transaction that met another one is tried.
const TRIES: u32 = 8;
/// How long the difference between the database's clock and ours is believed.
const CLOCK_AGE: Duration = Duration::from_secs(10);
/// How many statements a connection keeps prepared; searches may ask in ever other ways.
const PREPARED: usize = 512;
/// From how much on it is said that two clocks differ.
const NOTABLE_JUMP: Duration = Duration::from_secs(2);
/// What each session is told: nothing waits for ever, and what is committed is on disk, whatever
/// the database's own settings say. Every statement has an index to go by: the planner takes a
/// table of what is claimed for small, though it is full of rows that are gone, and would read all
/// of them. Nor is a statement worth compiling because it has to read a table whole all the same,
/// nor parallel workers, unless it is one that is run at length: with ten million deliveries they
/// took ten milliseconds to begin with a page that takes a tenth of one without them.
const SESSION: &str = "-c statement_timeout=10000 -c lock_timeout=5000 \
                       -c idle_in_transaction_session_timeout=10000 -c synchronous_commit=on \
                       -c enable_seqscan=off -c jit=off -c max_parallel_workers_per_gather=0";
/// What each session is told once it is known that its server can write: that it may do so only in
/// a transaction that says so. A statement behind a beginning that failed would be committed by
/// itself otherwise.
const ONLY_READS: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
/// A PostgreSQL database, shared by any number of processes.
pub(in crate::store) struct Postgres {
    pool: Pool,
    statements: Statements,
    clock: Clock,
    database_clock: Mutex<Option<DatabaseClock>>,
}

/// What the database's clock showed at a moment of ours.
#[derive(Clone, Copy)]
struct DatabaseClock {
    shown: Timestamp,
    at: Duration,
}

impl Postgres {
    /// A pool for `url`; connects when first used.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
    pub(in crate::store) fn open(
        url: &SecretString,
        connections: usize,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let mut config =
            tokio_postgres::Config::from_str(url.expose_secret()).map_err(|error| {
                // The text of a parse error never repeats the URL and so no password.
                let text = with_causes(&error);
                StoreError::Wrong(format!("store.url is no PostgreSQL URL: {text}"))
            })?;
        let options = config.get_options().map_or(SESSION.to_owned(), |o| format!("{o} {SESSION}"));
        config
            .options(options)
            .application_name("loa")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(Duration::from_secs(15))
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match config.get_ssl_mode() {
            SslMode::Require => {
                let (tls, _) = MakeRustlsConnect::with_native_certs().map_err(|_| {
                    let text = "no root certificates found; install the package ca-certificates";
                    StoreError::Wrong(text.to_owned())
                })?;
                deadpool_postgres::Manager::from_config(config, tls, recycling)
            }
            _ => deadpool_postgres::Manager::from_config(config, NoTls, recycling),
        };
        let timeouts =
            Timeouts { wait: Some(CONNECT), create: Some(CONNECT), recycle: Some(CONNECT) };
        let pool = Pool::builder(manager)
            .max_size(connections.max(2))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .timeouts(timeouts)
            .post_create(Hook::async_fn(|client, _| Box::pin(only_reads_by_itself(client))))
            .build()
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        let statements = Statements::new(Dialect::Postgres);
        Ok(Self { pool, statements, clock, database_clock: Mutex::default() })
    }

    /// Every statement that was run so far.
    #[cfg(test)]
    pub(in crate::store) fn statements(&self) -> Vec<std::sync::Arc<str>> {
        self.statements.all()
    }

    /// Runs `work` as one transaction, again if it met another one.
    pub(in crate::store) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        for tries in 1.. {
            match self.run(&work, false).await {
                Err(StoreError::Conflict(_)) if tries < TRIES => {
                    let longest = f64::from(1 << tries) * 0.002;
                    let wait = Duration::from_secs_f64(longest * fastrand::f64());
                    tokio::time::sleep(wait).await;
                }
                result => return result,
            }
        }
        Err(StoreError::Broken("a transaction was not run".to_owned()))
    }

    /// Runs `work` on a snapshot.
    pub(in crate::store) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        self.run(work, true).await
    }

    /// Runs `work` as one transaction that may take as long as it needs; nobody else is to wait for
    /// it.
    ///
    /// Its connection is not given back to the pool: if the caller gives up, no other transaction
    /// meets what the database still does for this one.
    pub(in crate::store) async fn run_at_length<T, F>(
        &self,
        work: F,
        read_only: bool,
    ) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        let mut client = deadpool_postgres::Client::take(self.pool.get().await?);
        self.transact(&mut client, work, Begin { read_only, at_length: true }).await
    }

    async fn run<T, F>(&self, work: F, read_only: bool) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        let mut client = self.pool.get().await?;
        let begin = Begin { read_only, at_length: false };
        let transaction = self.transact(&mut client, work, begin);
        let result = tokio::time::timeout(TRANSACTION, transaction).await;
        let result = result.unwrap_or_else(|_| {
            let seconds = TRANSACTION.as_secs();
            Err(StoreError::Unreachable(format!("no answer within {seconds} s")))
        });
        if matches!(result, Err(StoreError::Unreachable(_))) {
            // Whatever this connection still does, nobody may meet it again.
            drop(deadpool_postgres::Client::take(client));
        }
        result
    }

    async fn transact<T, F>(
        &self,
        client: &mut ClientWrapper,
        work: F,
        begin: Begin,
    ) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>,
    {
        if client.statement_cache.size() >= PREPARED {
            client.statement_cache.clear();
        }
        let now = self.now(client).await?;
        let mut tx = Tx::Postgres(PostgresTx::new(client, &self.statements, (begin, now)));
        let value = work(&mut tx).await?;
        if let Tx::Postgres(tx) = tx {
            tx.end().await?;
        }
        Ok(value)
    }

    /// The database's time, asked for now and then and counted on by our monotonic clock; the whole
    /// process goes by it.
    async fn now(&self, client: &ClientWrapper) -> Result<Timestamp, StoreError> {
        if self.clock.is_manual() {
            return Ok(self.clock.now());
        }
        let known = *self.database_clock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known {
            let age = self.clock.monotonic().saturating_sub(known.at);
            if age < CLOCK_AGE {
                return Ok(known.shown.checked_add(age).unwrap_or(Timestamp::MAX));
            }
        }
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let asked = self.clock.monotonic();
        let micros: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
        let shown = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        // It was shown at some moment between the question and the answer.
        let half = self.clock.monotonic().saturating_sub(asked) / 2;
        let seen = DatabaseClock { shown, at: asked + half };
        *self.database_clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        let jump = self.clock.follow(shown, half);
        if jump.unsigned_abs() >= NOTABLE_JUMP {
            let way = if jump.is_positive() { "behind" } else { "ahead of" };
            let by = jump.unsigned_abs().as_secs();
            warn!("this machine's clock is {by} s {way} the database's, which counts from now on");
        }
        Ok(shown.checked_add(half).unwrap_or(Timestamp::MAX))
    }
}

async fn only_reads_by_itself(client: &mut ClientWrapper) -> Result<(), HookError> {
    match tokio::time::timeout(CONNECT, client.batch_execute(ONLY_READS)).await {
        Ok(told) => told.map_err(HookError::Backend),
        Err(_) => Err(HookError::message("a new connection does not answer")),
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                error.into()
            }
            PoolError::Timeout(_) => {
                Self::Unreachable("no connection came free in time".to_owned())
            }
            PoolError::PostCreateHook(HookError::Message(text)) => {
                Self::Unreachable(text.into_owned())
            }
            PoolError::Closed | PoolError::NoRuntimeSpecified => Self::Broken(error.to_string()),
        }
    }
}
