//! Whether what PostgreSQL has committed outlives its machine.

use tracing::warn;

use crate::store::{Engine, Store, StoreError};

impl Store {
    /// Warns if what is acknowledged may be gone after a failover; a store that does not answer is
    /// not asked again.
    pub async fn warn_of_replicas(&self) {
        match self.failover_risk().await {
            Ok(Some(risk)) => warn!("{risk}"),
            Ok(None) => {}
            Err(error) => warn!(%error, "could not ask the store for its replicas: {error}"),
        }
    }

    /// What a failover would lose, in a sentence, as far as the database can tell now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(in crate::store) async fn failover_risk(&self) -> Result<Option<String>, StoreError> {
        if matches!(&*self.engine, Engine::Sqlite(_)) {
            return Ok(None);
        }
        self.read(|tx| {
            Box::pin(async move {
                // Any user may see how many there are and this setting, if not more of them.
                let sql = "SELECT COUNT(*), current_setting('synchronous_standby_names') \
                           FROM pg_stat_replication";
                let Some(row) = tx.query_one(sql, &[]).await? else { return Ok(None) };
                Ok(risk(row.count(0)?, &row.text(1)?))
            })
        })
        .await
    }
}

fn risk(replicas: u64, synchronous: &str) -> Option<String> {
    if replicas == 0 || !synchronous.trim().is_empty() {
        return None;
    }
    Some(format!(
        "PostgreSQL waits for none of its replicas ({replicas} now): after a failover to one of them, \
         events that were acknowledged may be gone and messages may be sent twice; set \
         synchronous_standby_names there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_that_nobody_waits_for_are_a_risk() {
        assert!(risk(2, "").unwrap().contains("(2 now)"));
        assert_eq!(risk(0, ""), None);
        assert_eq!(risk(2, "ANY 1 (*)"), None);
    }
}
