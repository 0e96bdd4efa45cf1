//! What a sandbox captured, as an inbox.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::model::delivery::{Delivery, State};
use crate::store::engine::{Row, Tx, Value};
use crate::store::rows::{DELIVERY, read_delivery, read_json};
use crate::store::search::Cursor;
use crate::store::{Store, StoreError};

/// Somebody for whom a sandbox captured messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The recipient's key.
    pub recipient: String,
    /// The recipient's name, if a delivery holds one.
    pub name: Option<String>,
    /// How many messages there are.
    pub messages: u64,
    /// When the last one came.
    pub last_at: Timestamp,
}

/// One captured message.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it was captured.
    pub at: Timestamp,
    /// The message as its receiver would see it.
    pub message: Json,
    /// What it was the message of.
    pub delivery: Delivery,
}

impl Store {
    /// The recipients with captured messages, who got the newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn mailboxes(&self, limit: u32) -> Result<Vec<Mailbox>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let sql = "SELECT delivery.recipient_key, MAX(delivery.recipient), COUNT(*), \
                           MAX(captured.at) FROM captured \
                           JOIN delivery ON delivery.id = captured.delivery \
                           GROUP BY delivery.recipient_key ORDER BY 4 DESC, 1 LIMIT $1";
                tx.query(sql, &[limit.into()]).await?.iter().map(read_mailbox).collect()
            })
        })
        .await
    }

    /// Captured messages, the newest first, of one recipient or of all; at most `limit` behind
    /// `after`, whose id is the delivery's.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn captured(
        &self,
        recipient: Option<String>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Captured>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let (at, id) = match after {
                    Some(after) => (after.at, after.id),
                    None => (Timestamp::MAX, Uuid::max()),
                };
                let mut params = vec![at.into(), id.into(), limit.into()];
                let whose = match recipient {
                    Some(recipient) => {
                        params.push(recipient.into());
                        "AND delivery.recipient_key = $4"
                    }
                    None => "",
                };
                let sql = format!(
                    "SELECT {DELIVERY}, captured.at, captured.message FROM captured \
                     JOIN delivery ON delivery.id = captured.delivery \
                     WHERE (captured.at < $1 OR (captured.at = $1 AND captured.delivery < $2)) \
                     {whose} ORDER BY captured.at DESC, captured.delivery DESC LIMIT $3"
                );
                tx.query(&sql, &params).await?.iter().map(read_captured).collect()
            })
        })
        .await
    }

    /// The source of a template version that was kept.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_template_version(
        &self,
        version: String,
    ) -> Result<Option<String>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let sql = "SELECT source FROM template_version WHERE version = $1";
                let row = tx.query_one(sql, &[version.into()]).await?;
                row.map(|row| row.text(0)).transpose()
            })
        })
        .await
    }
}

/// Says beside each delivery that was sent whether its message was captured instead.
pub(super) async fn say_captured(
    tx: &mut Tx<'_>,
    deliveries: &mut [Delivery],
) -> Result<(), StoreError> {
    let sent = deliveries.iter().filter(|delivery| delivery.state == State::Sent);
    let sent: Vec<Uuid> = sent.map(|delivery| delivery.id.0).collect();
    if sent.is_empty() {
        return Ok(());
    }
    let sql = "SELECT DISTINCT delivery FROM captured WHERE delivery {any_uuid $1}";
    let rows = tx.query(sql, &[Value::uuids(sent)]).await?;
    let captured = rows.iter().map(|row| row.uuid(0)).collect::<Result<HashSet<_>, _>>()?;
    for delivery in deliveries.iter_mut().filter(|delivery| delivery.state == State::Sent) {
        delivery.is_captured = captured.contains(&delivery.id.0);
    }
    Ok(())
}

fn read_mailbox(row: &Row) -> Result<Mailbox, StoreError> {
    let facts: crate::model::delivery::RecipientFacts = read_json(&row.text(1)?)?;
    Ok(Mailbox {
        recipient: row.text(0)?,
        name: facts.name,
        messages: row.count(2)?,
        last_at: row.time(3)?,
    })
}

fn read_captured(row: &Row) -> Result<Captured, StoreError> {
    let first = DELIVERY.split(',').count();
    let delivery = read_delivery(row)?.delivery;
    let is_captured = delivery.state == State::Sent;
    Ok(Captured {
        delivery: Delivery { is_captured, ..delivery },
        at: row.time(first)?,
        message: read_json(&row.text(first + 1)?)?,
    })
}
