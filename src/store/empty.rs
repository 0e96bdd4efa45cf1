//! Whether a store holds anything at all: what plays on a store must not play on somebody's.

use crate::store::engine::Tx;
use crate::store::{Store, StoreError};

/// Tables that hold nothing but what every start of Loa leaves there.
const LEFT_BY_EVERY_START: [&str; 2] = ["migration", "process"];

impl Store {
    /// Whether there is no row of anybody's, in tables of Loa or others; without a schema too.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|tx| Box::pin(is_empty(tx))).await
    }
}

async fn is_empty(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let tables = match tx.is_postgres() {
        true => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        false => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    for row in tx.query(tables, &[]).await? {
        let table = row.text(0)?;
        if LEFT_BY_EVERY_START.contains(&table.as_str()) {
            continue;
        }
        // A name from the database's own list, quoted as a name.
        let first = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.replace('"', "\"\""));
        if tx.query_one(&first, &[]).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
