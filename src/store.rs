//! The truth: every event, delivery and attempt, in SQLite or PostgreSQL.
//!
//! Each method of [`Store`] is one whole transaction; none is open while a gateway is spoken to.
//! The statements stand once, over a small [`engine`] with two variants.

mod acceptance;
#[cfg(test)]
mod anew;
mod api_keys;
mod audit;
mod bundle;
mod changes;
mod claim;
mod conditions;
mod contents;
#[cfg(test)]
mod contract;
mod copies;
mod counters;
mod deeds;
pub mod directory;
pub mod engine;
mod error;
mod events;
#[cfg(test)]
pub(crate) mod faults;
mod finish;
mod gate;
mod holds;
mod inbox;
mod keys;
mod migrate;
mod onlooker;
mod outage;
mod outbox;
mod overtake;
mod pages;
mod rejected;
mod repair;
mod replicas;
mod room;
mod rows;
mod sandbox;
mod search;
mod sessions;
mod upkeep;
mod users;
mod waiting;
pub mod waits;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::model::id::RunId;
use engine::Tx;
use engine::postgres::Postgres;
use engine::sqlite::Sqlite;

pub use acceptance::{Acceptance, Accepted, NewDelivery, NewPage, PlannedEvent};
pub use api_keys::ApiKey;
pub use audit::Discrepancy;
pub use claim::Claimed;
pub use copies::{PARTNERS, Spread};
pub use counters::{Agenda, Backlog, Counters};
pub use error::StoreError;
pub use events::{EventFilter, EventRow, RejectedFilter};
pub use finish::{Finish, Finished};
pub use holds::ProviderHold;
pub use onlooker::Onlooker;
pub use outbox::{Bundle, Taken};
pub use pages::Page;
pub use rejected::RejectedLine;
pub use repair::{Repair, Repaired, TakenOver};
pub use rows::EventFacts;
pub use sandbox::{Captured, Mailbox};
pub use search::{Cursor, DeliveryFilter, DeliveryStory, Dimension};
pub use sessions::{Digest, Session};
pub use upkeep::{Ages, backup};
pub use users::User;

/// Where the store is, and what it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database.
    pub place: Place,
    /// Whether transitions leave status events to publish.
    pub outbox: bool,
    /// How long the keys of events are kept, by which repeats are known.
    pub keys_last: Duration,
    /// How long keys are kept that were derived from the bytes of events without an id.
    pub derived_keys_last: Duration,
}

/// The database.
#[derive(Clone, Debug)]
pub enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres {
        /// A `postgres://` URL.
        url: SecretString,
        /// How many connections are kept at most.
        connections: usize,
    },
}

impl Place {
    /// Where it is, for people, without a password.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("SQLite in {}", path.display()),
            Self::Postgres { url, .. } => engine::postgres::describe(url),
        }
    }
}

/// The store; clones share it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    clock: Clock,
    run: RunId,
    outbox: bool,
    /// Rings when a transaction that tells something is about to be committed.
    telling: Arc<Notify>,
    keys_last: Duration,
    derived_keys_last: Duration,
    #[cfg(test)]
    faults: faults::Faults,
    /// Where it is, for people.
    place: Arc<str>,
    room: Arc<room::Room>,
    outage: Arc<outage::Outage>,
}

enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Postgres),
}

impl Store {
    /// Opens the store and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Wrong`] with what to do, or [`StoreError::Unreachable`].
    pub async fn open(settings: Settings, clock: Clock, run: RunId) -> Result<Self, StoreError> {
        let store = Self::open_as_it_is(settings, clock, run)?;
        store.migrate().await?;
        Ok(store)
    }

    /// Opens the store without touching its schema.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_as_it_is(settings: Settings, clock: Clock, run: RunId) -> Result<Self, StoreError> {
        let place = settings.place.describe().into();
        let engine = match settings.place {
            Place::Sqlite(path) => Engine::Sqlite(Arc::new(Sqlite::open(&path, clock.clone())?)),
            Place::Postgres { url, connections } => {
                Engine::Postgres(Postgres::open(&url, connections, clock.clone())?)
            }
        };
        let Settings { outbox, keys_last, derived_keys_last, .. } = settings;
        Ok(Self {
            engine: Arc::new(engine),
            clock,
            run,
            outbox,
            telling: Arc::default(),
            keys_last,
            derived_keys_last,
            #[cfg(test)]
            faults: faults::Faults::default(),
            place,
            room: Arc::default(),
            outage: Arc::default(),
        })
    }

    /// What the claims of this process are known by.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// How many transactions are worth having under way at once.
    pub fn writers(&self) -> usize {
        match &*self.engine {
            Engine::Sqlite(_) => 2,
            Engine::Postgres(_) => 4,
        }
    }

    /// Runs `work` as one transaction; it may be run again if it met another one.
    pub(in crate::store) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>
            + Send
            + Sync
            + 'static,
    {
        let done = self.commit(work);
        #[cfg(test)]
        let done = Box::pin(self.faults.around(std::any::type_name::<F>(), done));
        done.await
    }

    async fn commit<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>
            + Send
            + Sync
            + 'static,
    {
        let met = self.met_outages();
        let done = match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.writer.write(work).await,
            Engine::Postgres(postgres) => postgres.write(work).await,
        };
        self.note_room(&done);
        self.note_outage(&done, met);
        done
    }

    /// Runs `work` on a snapshot.
    pub(in crate::store) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let done = self.look(work);
        #[cfg(test)]
        let done = Box::pin(self.faults.around(std::any::type_name::<F>(), done));
        done.await
    }

    async fn look<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work).await,
            Engine::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// As [`Store::read`], for what a person looks for: intake waits for none of it, and after a
    /// time it ends with [`StoreError::TooLong`].
    pub(in crate::store) async fn search<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        let done = self.look_for(work);
        #[cfg(test)]
        let done = Box::pin(self.faults.around(std::any::type_name::<F>(), done));
        done.await
    }

    async fn look_for<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.search(work).await,
            Engine::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// As [`Store::write`], for what may take as long as it needs, such as a new index of a big
    /// table.
    pub(in crate::store) async fn write_at_length<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>>
            + Send
            + Sync
            + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.writer.write(work).await,
            Engine::Postgres(postgres) => postgres.run_at_length(work, false).await,
        }
    }

    /// As [`Store::read`], for what may take as long as it needs, such as a count of all rows.
    pub(in crate::store) async fn read_at_length<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.read_at_length(work).await,
            Engine::Postgres(postgres) => postgres.run_at_length(work, true).await,
        }
    }

    /// What leases are counted in: monotonic time of this run, or the database's time.
    pub(in crate::store) fn lease_clock(&self, tx: &Tx<'_>) -> i64 {
        match &*self.engine {
            Engine::Sqlite(_) => {
                i64::try_from(self.clock.monotonic().as_micros()).unwrap_or(i64::MAX)
            }
            Engine::Postgres(_) => tx.now().as_microsecond(),
        }
    }
}
