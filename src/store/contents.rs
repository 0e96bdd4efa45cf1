//! Whether a store holds anything, asked before anything in it is touched.

use crate::store::engine::Tx;
use crate::store::{Store, StoreError};

/// Tables whose rows say only how the store is used, not what is kept in it.
const OF_THE_HOUSE: [&str; 2] = ["migration", "process"];

impl Store {
    /// Whether there is no row in any table, whoever made it; without a schema there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|tx| Box::pin(is_empty(tx))).await
    }
}

async fn is_empty(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let tables = match tx.is_postgres() {
        true => {
            "SELECT table_name::text FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
        false => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    };
    for row in tx.query(tables, &[]).await? {
        let table = row.text(0)?;
        if OF_THE_HOUSE.contains(&table.as_str()) {
            continue;
        }
        let quoted = table.replace('"', "\"\"");
        let sql = format!("SELECT CAST(1 AS BIGINT) FROM \"{quoted}\" LIMIT 1");
        if tx.query_one(&sql, &[]).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
