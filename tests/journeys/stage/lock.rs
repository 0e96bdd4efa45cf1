//! Keeps a store from taking anything, as a slow disk or a long transaction would.

use std::path::Path;

use loa::lifecycle::Tasks;

use super::database::admin_of;

/// Held until [`Lock::release`].
pub(crate) enum Lock {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client, Tasks),
}

impl Lock {
    pub(crate) fn sqlite(file: &Path) -> Self {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.busy_timeout(super::PATIENCE).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self::Sqlite(connection)
    }

    pub(crate) async fn postgres(url: &str) -> Self {
        let (client, connection) =
            tokio_postgres::connect(&admin_of(url), tokio_postgres::NoTls).await.unwrap();
        let tasks = Tasks::new();
        tasks.spawn(async { drop(connection.await) });
        client.batch_execute("BEGIN; LOCK TABLE delivery IN EXCLUSIVE MODE").await.unwrap();
        Self::Postgres(client, tasks)
    }

    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.execute_batch("ROLLBACK").unwrap(),
            Self::Postgres(client, tasks) => {
                client.batch_execute("ROLLBACK").await.unwrap();
                tasks.hard().cancel();
            }
        }
    }
}
