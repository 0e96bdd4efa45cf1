//! The first rooms of the console: the ledger, deliveries, one delivery's story, rejected events.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Surroundings;
use super::api::deliveries::{FilterQuery, find};
use super::problem::Problem;
use crate::model::address::Address;
use crate::model::delivery::{Delivery, State as DeliveryState};
use crate::model::ledger::Ledger;
use crate::store::{DeliveryFilter, Dimension};

/// The most rows of a list.
const LIMIT: u32 = 200;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    ledger: Ledger,
    states: Vec<(&'static str, i64)>,
    overdue: u64,
    reasons: Vec<(Vec<String>, u64)>,
    providers: Vec<ProviderRow>,
}

struct ProviderRow {
    name: String,
    kind: String,
    breaker: &'static str,
    hold: String,
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries {
    count: u64,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    row: Row,
    event: String,
    step: String,
    provider: String,
    address: String,
    due: String,
    expires: String,
    attempts: Vec<AttemptRow>,
    has_message: bool,
    is_email: bool,
    subject: String,
    text: String,
}

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedPage {
    rows: Vec<RejectedRow>,
}

struct Row {
    id: String,
    at: String,
    who: String,
    channel: &'static str,
    state: &'static str,
    reason: &'static str,
    detail: String,
    kind: String,
    key: String,
}

struct AttemptRow {
    number: u32,
    at: String,
    provider: String,
    class: &'static str,
    answer: String,
}

struct RejectedRow {
    at: String,
    reason: &'static str,
    text: String,
    kind: String,
    bytes: usize,
    body: String,
}

impl Row {
    fn of(delivery: &Delivery, surroundings: &Surroundings) -> Self {
        let name = delivery.recipient.name.clone();
        Self {
            id: delivery.id.to_string(),
            at: face(delivery.created_at, surroundings),
            who: name.unwrap_or_else(|| delivery.recipient_key.clone()),
            channel: delivery.channel.as_str(),
            state: delivery.state.as_str(),
            reason: delivery.reason.as_str(),
            detail: delivery.detail.clone().unwrap_or_default(),
            kind: delivery.event_type.to_string(),
            key: delivery.business_key.clone().unwrap_or_default(),
        }
    }
}

/// A moment in the zone that the settings name.
fn face(moment: Timestamp, surroundings: &Surroundings) -> String {
    let zone = surroundings.config.defaults.time_zone.clone();
    moment.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page does not render: {error}");
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "internal error", "this page does not render").into_response()
        }
    }
}

/// The ledger, what is in each state and why, and the providers.
pub(super) async fn overview(
    State(surroundings): State<Surroundings>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let ledger = store.ledger().await?;
    let by = vec![Dimension::State, Dimension::Reason, Dimension::Provider];
    let reasons = store.count_deliveries_by(DeliveryFilter::default(), by).await?;
    let holds = store.provider_holds().await?;
    let provider = |station: &std::sync::Arc<crate::pipeline::Station>| {
        let hold = holds.iter().find(|hold| hold.provider == *station.desk.name());
        ProviderRow {
            name: station.desk.name().to_string(),
            kind: station.desk.settings().kind.clone(),
            breaker: station.desk.breaker_state().as_str(),
            hold: hold.map(|hold| hold.reason.clone()).unwrap_or_default(),
        }
    };
    let count = |state: &DeliveryState| {
        let word = state.as_str();
        (word, ledger.deliveries.states.get(word).copied().unwrap_or(0))
    };
    Ok(page(&Overview {
        states: DeliveryState::ALL.iter().map(count).collect(),
        overdue: store.backlog().await?.overdue,
        reasons,
        providers: surroundings.pipeline.desks().stations().map(provider).collect(),
        ledger,
    }))
}

/// What the search box asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    q: Option<String>,
}

/// Deliveries by filter, or by whatever the search box says.
pub(super) async fn deliveries(
    State(surroundings): State<Surroundings>,
    Query(filter): Query<FilterQuery>,
    Query(search): Query<Search>,
) -> Result<Response, Problem> {
    let mut filter = filter.read()?;
    if let Some(text) = search.q.filter(|text| !text.trim().is_empty()) {
        filter = guess(&surroundings, text.trim()).await?;
    }
    let store = &surroundings.store;
    let count = store.count_deliveries(filter.clone()).await?;
    let found = store.deliveries(filter, None, LIMIT).await?;
    let rows = found.iter().map(|delivery| Row::of(delivery, &surroundings)).collect();
    Ok(page(&Deliveries { count, rows }))
}

/// The first reading of a search that finds something: business key, event, address, name.
async fn guess(surroundings: &Surroundings, text: &str) -> Result<DeliveryFilter, Problem> {
    let text = text.to_owned();
    let none = DeliveryFilter::default;
    let readings = [
        DeliveryFilter { business_key: Some(text.clone()), ..none() },
        DeliveryFilter { event_id: Some(text.clone()), ..none() },
        DeliveryFilter { event: text.parse().ok(), ..none() },
        DeliveryFilter { contact: Some(text.clone()), ..none() },
        DeliveryFilter { partner: Some(text.clone()), ..none() },
        DeliveryFilter { address: Some(text.clone()), ..none() },
    ];
    for reading in readings {
        let is_any = reading == none();
        if !is_any && surroundings.store.count_deliveries(reading.clone()).await? > 0 {
            return Ok(reading);
        }
    }
    Ok(DeliveryFilter { name: Some(text), ..none() })
}

/// One delivery's story.
pub(super) async fn delivery(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let story = find(&surroundings, &id).await?;
    let delivery = &story.delivery;
    let message = story.captured.last().map(|(_, message)| message);
    let text = |key: &str| {
        let text = message.and_then(|message| message.get(key)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let attempts = story.attempts.iter().map(|attempt| AttemptRow {
        number: attempt.number,
        at: face(attempt.started_at, &surroundings),
        provider: attempt.provider.to_string(),
        class: attempt.class.as_str(),
        answer: format!(
            "{} {}",
            attempt.answer.code.as_deref().unwrap_or_default(),
            attempt.answer.text
        ),
    });
    Ok(page(&DeliveryPage {
        row: Row::of(delivery, &surroundings),
        event: story.event.key.to_string(),
        step: delivery.step.to_string(),
        provider: delivery.provider.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: delivery.address.as_ref().map(Address::masked).unwrap_or_default(),
        due: face(delivery.due_at, &surroundings),
        expires: face(delivery.expires_at, &surroundings),
        attempts: attempts.collect(),
        has_message: message.is_some(),
        is_email: message.is_some_and(|message| message.get("html").is_some()),
        subject: text("subject"),
        text: text("text"),
    }))
}

/// The captured email as its receiver would see it, in a page of its own that can do nothing.
pub(super) async fn message(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let story = find(&surroundings, &id).await?;
    let html = story.captured.last().and_then(|(_, message)| message.get("html"));
    let Some(html) = html.and_then(Value::as_str) else {
        return Err(Problem::not_found("message"));
    };
    let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; \
                  frame-ancestors 'self'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, Html(html.to_owned())).into_response())
}

/// Rejected events, each with its place and its bytes.
pub(super) async fn rejected(
    State(surroundings): State<Surroundings>,
) -> Result<Response, Problem> {
    let found = surroundings.store.rejected_events(None, LIMIT).await?;
    let row = |event: &crate::model::event::RejectedEvent| RejectedRow {
        at: face(event.arrival.at, &surroundings),
        reason: event.rejection.reason.as_str(),
        text: event.rejection.to_string(),
        kind: event.rejection.event_type.clone().unwrap_or_default(),
        bytes: event.arrival.bytes.len(),
        body: String::from_utf8_lossy(&event.arrival.bytes).chars().take(4000).collect(),
    };
    Ok(page(&RejectedPage { rows: found.iter().map(row).collect() }))
}

/// The console's only style sheet.
pub(super) async fn stylesheet() -> Response {
    let media_type = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (media_type, include_str!("console.css")).into_response()
}
