//! Lets one store serve thousands of short histories, for tests that play them.

use crate::model::id::RunId;
use crate::store::faults::Faults;
use crate::store::{Store, StoreError};

impl Store {
    /// The store as the next process finds it when this one has died.
    pub(crate) fn of_next_run(&self) -> Self {
        let run = RunId::new(self.clock.now());
        Self { run, faults: Faults::default(), ..self.clone() }
    }

    /// Forgets everything, on SQLite.
    pub(crate) async fn forget_everything(&self) -> Result<(), StoreError> {
        let forget = self.write(|tx| {
            Box::pin(async move {
                tx.execute("PRAGMA defer_foreign_keys = ON", &[]).await?;
                let named = "SELECT name FROM sqlite_master WHERE type = 'table' \
                             AND name <> 'migration' AND name NOT LIKE 'sqlite_%'";
                for table in tx.query(named, &[]).await? {
                    tx.execute(&format!("DELETE FROM {}", table.text(0)?), &[]).await?;
                }
                Ok(())
            })
        });
        forget.await
    }
}
