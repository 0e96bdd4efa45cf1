//! Finds deliveries: for lists, counts and the story of one.

mod codes;
mod names;
mod source;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::model::address::Channel;
use crate::model::deed::Deed;
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::id::{DeliveryId, EventId};
use crate::model::outcome::{Answer, Attempt, VerdictClass};
use crate::store::deeds::deeds_of;
use crate::store::engine::{Row, Tx, Value};
use crate::store::holds::say_holds;
use crate::store::rows::{DELIVERY, EventFacts, FACTS, read_delivery, read_facts, read_json};
use crate::store::sandbox::say_captured;
use crate::store::waiting::count_tries_under_way;
use crate::store::{Store, StoreError};
use codes::spelled_out;
use names::find_by_name;
#[cfg(test)]
pub(super) use names::list_by_name;
use source::Source;
pub(super) use source::lists;

/// Which deliveries are wanted; every field that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this event, by Loa's own id.
    pub event: Option<EventId>,
    /// Of events with this id of their publisher.
    pub event_id: Option<String>,
    /// The order or complaint number.
    pub business_key: Option<String>,
    /// The partner's id.
    pub partner: Option<String>,
    /// The contact's id, or the recipient's own.
    pub contact: Option<String>,
    /// Part of the recipient's or the partner's name, with or without accents.
    pub name: Option<String>,
    /// The address, as it is normalised.
    pub address: Option<String>,
    /// The event type.
    pub event_type: Option<String>,
    /// The step.
    pub step: Option<String>,
    /// The channel.
    pub channel: Option<Channel>,
    /// The provider.
    pub provider: Option<String>,
    /// One of these states; none means any.
    pub states: Vec<State>,
    /// The reason.
    pub reason: Option<Reason>,
    /// The provider's code, or one word of it: `550` and `5.1.1` find `550 5.1.1`.
    pub code: Option<String>,
    /// Planned at this time or later.
    pub since: Option<Timestamp>,
    /// Planned before this time.
    pub until: Option<Timestamp>,
}

/// What deliveries are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The state.
    State,
    /// The reason.
    Reason,
    /// The provider.
    Provider,
    /// The channel.
    Channel,
    /// The event type.
    Type,
    /// The provider's code.
    Code,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 6] =
        [Self::State, Self::Reason, Self::Provider, Self::Channel, Self::Type, Self::Code];

    /// The dimension's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Reason => "reason",
            Self::Provider => "provider",
            Self::Channel => "channel",
            Self::Type => "type",
            Self::Code => "code",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.as_str() == word)
    }

    fn column(self) -> &'static str {
        match self {
            Self::State => "delivery.state",
            Self::Reason => "delivery.reason",
            Self::Provider => "COALESCE(delivery.provider, '')",
            Self::Channel => "delivery.channel",
            Self::Type => "delivery.event_type",
            Self::Code => "COALESCE(delivery.last_code, '')",
        }
    }
}

/// Where a page of a list begins: behind this row of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When that row was made.
    pub at: Timestamp,
    /// Its id.
    pub id: uuid::Uuid,
}

/// One delivery with everything that is known of it.
#[derive(Clone, Debug)]
pub struct DeliveryStory {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: EventFacts,
    /// Every try, oldest first.
    pub attempts: Vec<Attempt>,
    /// What a sandbox captured, by attempt.
    pub captured: Vec<(u32, Json)>,
    /// What was done to it by hand, or by Loa for a fault, the oldest first.
    pub deeds: Vec<Deed>,
}

impl Store {
    /// The newest deliveries first, at most `limit` behind `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let mut found = Vec::new();
                for filter in spelled_out(tx, &filter).await? {
                    for row in first_rows(tx, &filter, (after, limit)).await? {
                        found.push(read_delivery(&row)?.delivery);
                    }
                }
                found.sort_by_key(|one: &Delivery| std::cmp::Reverse((one.created_at, one.id)));
                found.truncate(limit as usize);
                count_tries_under_way(tx, &mut found).await?;
                say_holds(tx, &mut found).await?;
                say_captured(tx, &mut found).await?;
                Ok(found)
            })
        })
        .await
    }

    /// How many deliveries fit.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn count_deliveries(&self, filter: DeliveryFilter) -> Result<u64, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let mut total = 0;
                for filter in spelled_out(tx, &filter).await? {
                    for source in Source::of(&filter) {
                        let (from, mut query) = source.conditions(&filter);
                        query.named_by_index(&filter);
                        let sql = format!("SELECT COUNT(*) {from} {}", query.where_clause());
                        total += super::counters::count(tx, &sql, &query.params).await?;
                    }
                }
                Ok(total)
            })
        })
        .await
    }

    /// How many deliveries fit, by one or more dimensions, the most frequent first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn count_deliveries_by(
        &self,
        filter: DeliveryFilter,
        by: Vec<Dimension>,
    ) -> Result<Vec<(Vec<String>, u64)>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let columns: Vec<&str> = by.iter().map(|by| by.column()).collect();
                let columns = columns.join(", ");
                let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
                // Counting all of them by what they are is reading all of them.
                tx.read_whole_tables(filter == DeliveryFilter::default()).await?;
                for filter in spelled_out(tx, &filter).await? {
                    for source in Source::of(&filter) {
                        let (from, mut query) = source.conditions(&filter);
                        query.named_by_index(&filter);
                        let sql = format!(
                            "SELECT COUNT(*), {columns} {from} {} GROUP BY {columns}",
                            query.where_clause()
                        );
                        for row in tx.query(&sql, &query.params).await? {
                            let words = (1..=by.len()).map(|column| row.text(column));
                            let words = words.collect::<Result<_, StoreError>>()?;
                            *counts.entry(words).or_default() += row.count(0)?;
                        }
                    }
                }
                let mut counts: Vec<_> = counts.into_iter().collect();
                // Stable: of those that are as frequent, the first by their words.
                counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                Ok(counts)
            })
        })
        .await
    }

    /// Everything that is known of one delivery.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_delivery(&self, id: DeliveryId) -> Result<Option<DeliveryStory>, StoreError> {
        self.read(move |tx| Box::pin(find_delivery(tx, id))).await
    }
}

/// The first `limit` rows behind `after` that fit, in no order and with others behind them.
async fn first_rows(
    tx: &mut Tx<'_>,
    filter: &DeliveryFilter,
    (after, limit): (Option<Cursor>, u32),
) -> Result<Vec<Row>, StoreError> {
    if filter.name.is_some() {
        return find_by_name(tx, filter, (after, limit)).await;
    }
    let mut found = Vec::new();
    for (sql, params) in lists(filter, after, limit) {
        found.extend(tx.query(&sql, &params).await?);
    }
    Ok(found)
}

async fn find_delivery(
    tx: &mut Tx<'_>,
    id: DeliveryId,
) -> Result<Option<DeliveryStory>, StoreError> {
    let id_param = [Value::from(id.0)];
    let sql = format!("SELECT {DELIVERY} FROM delivery WHERE id = $1");
    let Some(row) = tx.query_one(&sql, &id_param).await? else { return Ok(None) };
    let mut delivery = read_delivery(&row)?.delivery;
    count_tries_under_way(tx, std::slice::from_mut(&mut delivery)).await?;
    say_holds(tx, std::slice::from_mut(&mut delivery)).await?;
    say_captured(tx, std::slice::from_mut(&mut delivery)).await?;
    let sql = format!("SELECT {FACTS} FROM event WHERE id = $1");
    let Some(row) = tx.query_one(&sql, &[delivery.event.0.into()]).await? else {
        return Err(StoreError::Broken(format!("delivery {id} has lost its event")));
    };
    let event = read_facts(&row)?;
    let sql = "SELECT number, started_at, finished_at, provider, class, code, answer, \
               template_version FROM attempt WHERE delivery = $1 ORDER BY started_at, number";
    let attempts = tx.query(sql, &id_param).await?;
    let attempts = attempts.iter().map(|row| read_attempt(id, row)).collect::<Result<_, _>>()?;
    let sql = "SELECT attempt, message FROM captured WHERE delivery = $1 ORDER BY attempt";
    let captured = tx.query(sql, &id_param).await?;
    let captured = captured.iter().map(|row| {
        let number = u32::try_from(row.int(0)?).unwrap_or(0);
        Ok((number, read_json(&row.text(1)?)?))
    });
    let captured = captured.collect::<Result<_, StoreError>>()?;
    let deeds = deeds_of(tx, id.0).await?;
    Ok(Some(DeliveryStory { delivery, event, attempts, captured, deeds }))
}

fn read_attempt(delivery: DeliveryId, row: &Row) -> Result<Attempt, StoreError> {
    let class = row.text(4)?;
    Ok(Attempt {
        delivery,
        number: u32::try_from(row.int(0)?).unwrap_or(0),
        started_at: row.time(1)?,
        finished_at: row.time(2)?,
        provider: row.text(3)?.into(),
        class: VerdictClass::from_word(&class)
            .ok_or_else(|| StoreError::Broken(format!("unknown class `{class}`")))?,
        answer: Answer { code: row.opt_text(5)?, text: row.text(6)? },
        template_version: row.opt_text(7)?,
    })
}
