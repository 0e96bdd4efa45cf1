//! Finds events and rejected events.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::model::event::{RejectReason, RejectedEvent};
use crate::model::id::EventId;
use crate::store::engine::{Row, Value};
use crate::store::rejected::{REJECTED, read_rejected};
use crate::store::rows::read_json;
use crate::store::search::Cursor;
use crate::store::{Store, StoreError};

/// An event as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    /// Loa's own id.
    pub loa_id: EventId,
    /// The publisher's source.
    pub source: String,
    /// The publisher's id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened.
    pub time: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The order or complaint number.
    pub business_key: Option<String>,
    /// The partner it is about.
    pub partner: Option<String>,
    /// `planned`, or `planning` while a big audience is planned.
    pub state: String,
    /// How many deliveries were planned.
    pub deliveries: u64,
    /// How often it came again.
    pub repeats: u64,
    /// The data; only when one event is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Loa's own id.
    pub loa_id: Option<EventId>,
    /// The publisher's id.
    pub id: Option<String>,
    /// The order or complaint number.
    pub business_key: Option<String>,
    /// The type.
    pub event_type: Option<String>,
    /// The partner it is about.
    pub partner: Option<String>,
    /// `planned` or `planning`.
    pub state: Option<String>,
    /// Only those that came again.
    pub repeated: bool,
    /// Arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Arrived before this time.
    pub until: Option<Timestamp>,
}

/// Which rejected events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedFilter {
    /// The sort of fault.
    pub reason: Option<RejectReason>,
    /// The type, as far as it could be read.
    pub event_type: Option<String>,
    /// The publisher's id, as far as it could be read.
    pub id: Option<String>,
}

const EVENT: &str = "id, source, external_id, event_type, time, received_at, business_key, \
                     partner, state, deliveries, repeats, data";

impl Store {
    /// The newest events first, at most `limit` behind `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn events(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let with_data = filter.loa_id.is_some();
                let mut clauses = vec!["1 = 1".to_owned()];
                let mut params: Vec<Value> = Vec::new();
                let equals = [
                    ("id", filter.loa_id.map(|id| Value::from(id.0))),
                    ("external_id", filter.id.map(Value::from)),
                    ("business_key", filter.business_key.map(Value::from)),
                    ("event_type", filter.event_type.map(Value::from)),
                    ("partner", filter.partner.map(Value::from)),
                    ("state", filter.state.map(Value::from)),
                ];
                let equals = equals.map(|(column, value)| (format!("{column} ="), value));
                let times = [
                    ("received_at >=".to_owned(), filter.since.map(Value::from)),
                    ("received_at <".to_owned(), filter.until.map(Value::from)),
                ];
                for (condition, value) in equals.into_iter().chain(times) {
                    if let Some(value) = value {
                        params.push(value);
                        clauses.push(format!("{condition} ${}", params.len()));
                    }
                }
                if filter.repeated {
                    clauses.push("repeats > 0".to_owned());
                }
                if let Some(after) = after {
                    params.extend([after.at.into(), after.id.into()]);
                    let (at, id) = (params.len() - 1, params.len());
                    clauses.push(format!(
                        "(received_at < ${at} OR (received_at = ${at} AND id < ${id}))"
                    ));
                }
                params.push(limit.into());
                let sql = format!(
                    "SELECT {EVENT} FROM event WHERE {} \
                     ORDER BY received_at DESC, id DESC LIMIT ${}",
                    clauses.join(" AND "),
                    params.len()
                );
                let rows = tx.query(&sql, &params).await?;
                rows.iter().map(|row| read_event(row, with_data)).collect()
            })
        })
        .await
    }

    /// The newest rejected events first, at most `limit` behind `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn rejected_events(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<RejectedEvent>, StoreError> {
        self.find_rejected_events(RejectedFilter::default(), after, limit).await
    }

    /// As [`Store::rejected_events`], but only those that fit.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find_rejected_events(
        &self,
        filter: RejectedFilter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<RejectedEvent>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let (at, id) = match after {
                    Some(after) => (after.at, after.id),
                    None => (Timestamp::MAX, uuid::Uuid::max()),
                };
                let mut params: Vec<Value> = vec![at.into(), id.into(), limit.into()];
                let mut clauses = String::new();
                let equals = [
                    ("reason", filter.reason.map(|reason| reason.as_str().into())),
                    ("event_type", filter.event_type.map(Value::from)),
                    ("external_id", filter.id.map(Value::from)),
                ];
                for (column, value) in equals {
                    if let Some(value) = value {
                        params.push(value);
                        clauses.push_str(&format!(" AND {column} = ${}", params.len()));
                    }
                }
                let sql = format!(
                    "SELECT {REJECTED} FROM rejected \
                     WHERE (at < $1 OR (at = $1 AND id < $2)){clauses} \
                     ORDER BY at DESC, id DESC LIMIT $3"
                );
                let rows = tx.query(&sql, &params).await?;
                rows.iter().map(read_rejected).collect()
            })
        })
        .await
    }
}

fn read_event(row: &Row, with_data: bool) -> Result<EventRow, StoreError> {
    let data = if with_data { Some(read_json(&row.text(11)?)?) } else { None };
    Ok(EventRow {
        loa_id: EventId(row.uuid(0)?),
        source: row.text(1)?,
        id: row.text(2)?,
        event_type: row.text(3)?,
        time: row.time(4)?,
        received_at: row.time(5)?,
        business_key: row.opt_text(6)?,
        partner: row.opt_text(7)?,
        state: row.text(8)?,
        deliveries: row.count(9)?,
        repeats: row.count(10)?,
        data,
    })
}
