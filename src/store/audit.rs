//! Counts the rows themselves and compares them with the counters: what got lost shows.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::store::counters::{Counters, counters};
use crate::store::engine::Tx;
use crate::store::rejected::{counted_type, read_reason};
use crate::store::{Store, StoreError};

/// A counter that does not agree with the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// The event type.
    pub event_type: String,
    /// The counter, such as `delivery.sent`.
    pub name: String,
    /// What was counted live.
    pub counted: i64,
    /// What the rows say, forgotten ones included.
    pub found: i64,
}

impl Store {
    /// Counts the rows themselves; what does not agree with the live figures is listed.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn audit(&self) -> Result<Vec<Discrepancy>, StoreError> {
        self.read_at_length(|tx| Box::pin(audit(tx))).await
    }
}

async fn audit(tx: &mut Tx<'_>) -> Result<Vec<Discrepancy>, StoreError> {
    let counted = counters(tx).await?;
    let mut found = Counters::new();
    find_deliveries(tx, &mut found).await?;
    find_stranded(tx, &mut found).await?;
    find_unnoted(tx, &mut found).await?;
    find_events(tx, &mut found).await?;
    find_rejected(tx, &mut found).await?;
    add_forgotten(&counted, &mut found);
    let in_rows = counted.keys().filter(|(_, name)| stands_for_rows(name));
    let names: BTreeSet<&(String, String)> = found.keys().chain(in_rows).collect();
    let disagrees = |key: &(String, String)| {
        let of = |counters: &Counters| counters.get(key).copied().unwrap_or(0);
        let (counted, found) = (of(&counted), of(&found));
        let (event_type, name) = key.clone();
        (counted != found).then_some(Discrepancy { event_type, name, counted, found })
    };
    Ok(names.into_iter().filter_map(disagrees).collect())
}

/// Whether there is a row for each one that this counter counts; a repeat leaves none.
fn stands_for_rows(name: &str) -> bool {
    name.starts_with("delivery.")
        || matches!(name, "event.planned" | "event.planning" | "event.rejected")
}

async fn find_deliveries(tx: &mut Tx<'_>, found: &mut Counters) -> Result<(), StoreError> {
    let by_state = "SELECT event_type, state, COUNT(*) FROM delivery GROUP BY event_type, state";
    for row in tx.query(by_state, &[]).await? {
        let (event_type, state, count) = (row.text(0)?, row.text(1)?, row.int(2)?);
        *found.entry((event_type.clone(), format!("delivery.{state}"))).or_default() += count;
        *found.entry((event_type, "delivery.planned".to_owned())).or_default() += count;
    }
    Ok(())
}

/// What sets a delivery apart from nearly all others, so that it stands in `notable`.
const NOTABLE: &str = "(delivery.state NOT IN ('waiting', 'sent', 'delivered') \
    OR delivery.reason NOT IN ('scheduled', 'accepted') \
    OR COALESCE(delivery.last_code, '250') NOT IN ('200', '202', '250'))";

/// Deliveries that a search would miss, or find by what they are not; there must be none.
async fn find_unnoted(tx: &mut Tx<'_>, found: &mut Counters) -> Result<(), StoreError> {
    let unnoted = format!(
        "SELECT delivery.event_type, COUNT(*) FROM delivery WHERE {NOTABLE} AND NOT EXISTS \
         (SELECT 1 FROM notable WHERE notable.delivery = delivery.id \
         AND notable.created_at = delivery.created_at AND notable.state = delivery.state \
         AND notable.reason = delivery.reason \
         AND COALESCE(notable.code, '') = COALESCE(delivery.last_code, '')) \
         GROUP BY delivery.event_type"
    );
    let misnoted = format!(
        "SELECT delivery.event_type, COUNT(*) FROM notable JOIN delivery \
         ON delivery.id = notable.delivery WHERE NOT {NOTABLE} GROUP BY delivery.event_type"
    );
    for (name, sql) in [("delivery.unnoted", unnoted), ("delivery.misnoted", misnoted)] {
        for row in tx.query(&sql, &[]).await? {
            found.insert((row.text(0)?, name.to_owned()), row.int(1)?);
        }
    }
    Ok(())
}

/// Deliveries that wait where nobody looks for them; there must be none.
async fn find_stranded(tx: &mut Tx<'_>, found: &mut Counters) -> Result<(), StoreError> {
    let stranded = "SELECT event_type, COUNT(*) FROM delivery WHERE state = 'waiting' \
                    AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.delivery = delivery.id) \
                    AND NOT EXISTS (SELECT 1 FROM claimed WHERE claimed.delivery = delivery.id) \
                    GROUP BY event_type";
    for row in tx.query(stranded, &[]).await? {
        found.insert((row.text(0)?, "delivery.stranded".to_owned()), row.int(1)?);
    }
    // What is being sent must wait, too.
    let astray = "SELECT delivery.event_type, COUNT(*) FROM (SELECT delivery FROM waiting \
                  UNION ALL SELECT delivery FROM claimed) AS open \
                  JOIN delivery ON delivery.id = open.delivery \
                  WHERE delivery.state <> 'waiting' GROUP BY delivery.event_type";
    for row in tx.query(astray, &[]).await? {
        found.insert((row.text(0)?, "delivery.astray".to_owned()), row.int(1)?);
    }
    let doubled =
        "SELECT COUNT(*) FROM waiting JOIN claimed ON claimed.delivery = waiting.delivery";
    let orphaned = "SELECT COUNT(*) FROM (SELECT delivery FROM waiting \
                    UNION ALL SELECT delivery FROM claimed \
                    UNION ALL SELECT delivery FROM notable) AS narrow \
                    WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.id = narrow.delivery)";
    for (name, sql) in [("delivery.doubled", doubled), ("delivery.orphaned", orphaned)] {
        match tx.query_one(sql, &[]).await?.map(|row| row.int(0)).transpose()? {
            None | Some(0) => {}
            Some(count) => {
                found.insert((String::new(), name.to_owned()), count);
            }
        }
    }
    Ok(())
}

async fn find_events(tx: &mut Tx<'_>, found: &mut Counters) -> Result<(), StoreError> {
    let by_state = "SELECT event_type, state, COUNT(*) FROM event GROUP BY event_type, state";
    for row in tx.query(by_state, &[]).await? {
        let key = (row.text(0)?, format!("event.{}", row.text(1)?));
        *found.entry(key).or_default() += row.int(2)?;
    }
    Ok(())
}

async fn find_rejected(tx: &mut Tx<'_>, found: &mut Counters) -> Result<(), StoreError> {
    let by_reason = "SELECT reason, event_type, COUNT(*) FROM rejected GROUP BY reason, event_type";
    for row in tx.query(by_reason, &[]).await? {
        let (reason, event_type) = (read_reason(&row.text(0)?)?, row.opt_text(1)?);
        let event_type = counted_type(reason, event_type.as_deref()).to_owned();
        *found.entry((event_type, "event.rejected".to_owned())).or_default() += row.int(2)?;
    }
    Ok(())
}

/// Adds the rows that were forgotten on purpose: those were counted when they went.
fn add_forgotten(counted: &Counters, found: &mut Counters) {
    for ((event_type, name), value) in counted {
        let of = |name: String| (event_type.clone(), name);
        if let Some(state) = name.strip_prefix("purged.") {
            *found.entry(of(format!("delivery.{state}"))).or_default() += value;
            *found.entry(of("delivery.planned".to_owned())).or_default() += value;
        }
        if let Some(fate) = name.strip_prefix("forgotten.") {
            *found.entry(of(format!("event.{fate}"))).or_default() += value;
        }
    }
}
