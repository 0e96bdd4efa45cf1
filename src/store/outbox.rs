//! Status events on their way to the broker: written with what they tell of, deleted once confirmed.

use uuid::Uuid;

use crate::model::status::StatusEvent;
use crate::store::engine::Value;
use crate::store::{Store, StoreError};

impl Store {
    /// The oldest status events that are not published yet; those behind `after`, if it is given.
    ///
    /// Two processes may publish the same one; its id tells a listener that it is the same.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_outbox(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<StatusEvent>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT id, routing_key, correlation_id, at, body FROM outbox \
                           WHERE id > $1 ORDER BY id LIMIT $2";
                let after = after.unwrap_or(Uuid::nil());
                let rows = tx.query(sql, &[after.into(), limit.into()]).await?;
                let read = |row: &crate::store::engine::Row| {
                    Ok(StatusEvent {
                        id: row.uuid(0)?,
                        routing_key: row.text(1)?,
                        correlation_id: row.opt_text(2)?,
                        at: row.time(3)?,
                        body: row.text(4)?,
                    })
                };
                rows.iter().map(read).collect()
            })
        })
        .await
    }

    /// Forgets status events that the broker has confirmed, or that no queue is bound for.
    ///
    /// # Errors
    /// When the store does not answer; they are then published again, with the same ids.
    pub async fn mark_published(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        let ids = Value::uuids(ids);
        self.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                tx.execute("DELETE FROM outbox WHERE id {any_uuid $1}", &[ids]).await?;
                Ok(())
            })
        })
        .await
    }
}
