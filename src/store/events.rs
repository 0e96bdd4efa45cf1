//! Finds events and rejected events.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::model::event::RejectReason;
use crate::model::id::EventId;
use crate::store::conditions::Conditions;
use crate::store::engine::{Row, Value};
use crate::store::rejected::{LINE, RejectedLine, read_line};
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
        self.search(move |tx| {
            Box::pin(async move {
                let with_data = filter.loa_id.is_some();
                let (sql, params) = list(&filter, after, limit);
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
    ) -> Result<Vec<RejectedLine>, StoreError> {
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
    ) -> Result<Vec<RejectedLine>, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                let (sql, params) = list_rejected(&filter, after, limit);
                let rows = tx.query(&sql, &params).await?;
                rows.iter().map(read_line).collect()
            })
        })
        .await
    }
}

/// The statement of a list of events, and its parameters.
pub(super) fn list(
    filter: &EventFilter,
    after: Option<Cursor>,
    limit: u32,
) -> (String, Vec<Value>) {
    let mut query = Conditions::default();
    query.compare("id =", filter.loa_id.map(|id| id.0));
    query.compare("external_id =", filter.id.clone());
    query.compare("business_key =", filter.business_key.clone());
    query.compare("event_type =", filter.event_type.clone());
    query.compare("partner =", filter.partner.clone());
    match filter.state.as_deref() {
        // As in the predicate of its index.
        Some("planning") => query.add("state = 'planning'".to_owned()),
        state => query.compare("state =", state),
    }
    query.compare("received_at >=", filter.since);
    query.compare("received_at <", filter.until);
    if filter.repeated {
        query.add("repeats > 0".to_owned());
    }
    query.behind(("received_at", "id"), after);
    let limit = query.param(limit);
    let sql = format!(
        "SELECT {EVENT} FROM event {} ORDER BY received_at DESC, id DESC LIMIT {limit}",
        query.where_clause()
    );
    (sql, query.params)
}

/// The statement of a list of rejected events, and its parameters.
pub(super) fn list_rejected(
    filter: &RejectedFilter,
    after: Option<Cursor>,
    limit: u32,
) -> (String, Vec<Value>) {
    let mut query = Conditions::default();
    query.compare("reason =", filter.reason.map(RejectReason::as_str));
    query.compare("event_type =", filter.event_type.clone());
    query.compare("external_id =", filter.id.clone());
    query.behind(("at", "id"), after);
    let limit = query.param(limit);
    let sql = format!(
        "SELECT {LINE} FROM rejected {} ORDER BY at DESC, id DESC LIMIT {limit}",
        query.where_clause()
    );
    (sql, query.params)
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
