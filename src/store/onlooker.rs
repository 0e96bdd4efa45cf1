//! Looks at a store that other processes write, without getting into their way.

use std::path::PathBuf;

use crate::clock::Clock;
use crate::model::id::{DeliveryId, RunId};
use crate::store::engine::postgres::Postgres;
use crate::store::engine::sqlite;
use crate::store::{Place, StoreError};

/// A reader beside the processes that own the store; on SQLite it takes no lock of theirs.
pub struct Onlooker(Way);

enum Way {
    Sqlite(PathBuf),
    Postgres(Postgres),
}

/// Connections to PostgreSQL that an onlooker keeps.
const CONNECTIONS: usize = 2;

impl Onlooker {
    /// Looks at `place`, which exists.
    ///
    /// # Errors
    /// [`StoreError::Wrong`] if the URL is none.
    pub fn new(place: &Place, clock: Clock) -> Result<Self, StoreError> {
        Ok(Self(match place {
            Place::Sqlite(path) => Way::Sqlite(path.clone()),
            Place::Postgres { url, .. } => Way::Postgres(Postgres::open(url, CONNECTIONS, clock)?),
        }))
    }

    /// The deliveries that are claimed at this moment, each with the run that claimed it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn claimed(&self) -> Result<Vec<(DeliveryId, RunId)>, StoreError> {
        const CLAIMED: &str = "SELECT delivery, lease_run FROM claimed";
        let rows = match &self.0 {
            Way::Sqlite(path) => {
                let path = path.clone();
                let look = tokio::task::spawn_blocking(move || sqlite::look(&path, CLAIMED));
                look.await.map_err(|error| StoreError::cut_off("a look", error))??
            }
            Way::Postgres(postgres) => postgres.read(|tx| Box::pin(tx.query(CLAIMED, &[]))).await?,
        };
        rows.iter().map(|row| Ok((DeliveryId(row.uuid(0)?), RunId(row.uuid(1)?)))).collect()
    }
}
