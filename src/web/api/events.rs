//! Events: taken in, listed, shown.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::query::{said, time, word};
use super::{PageQuery, known, next};
use crate::intake::split_batch;
use crate::model::event::{Arrival, Properties, Rejection, Transport};
use crate::pipeline::{Answer, OnReject};
use crate::store::EventFilter;
use crate::web::Surroundings;
use crate::web::problem::{self, Problem};

/// How events are to be taken in.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct PublishQuery {
    /// `keep`: what cannot be planned is kept as a rejected event.
    on_reject: Option<String>,
    /// `true`: plans and renders, and keeps nothing.
    #[serde(default)]
    dry_run: bool,
    /// The type of a body that is plain JSON.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The source of a body that is plain JSON.
    source: Option<String>,
    /// The id of a body that is plain JSON.
    id: Option<String>,
}

/// Takes in one event or an array; answers 202 only after they are committed.
pub(in crate::web) async fn publish(
    State(surroundings): State<Surroundings>,
    Query(query): Query<PublishQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let on_reject = match query.on_reject.as_deref() {
        None | Some("answer") => OnReject::Answer,
        Some("keep") => OnReject::Keep,
        Some(_) => return Err(Problem::bad_request("?on_reject", "expected `keep` or `answer`")),
    };
    let (bodies, is_array) = match split_batch(&body) {
        Some(Ok(bodies)) => (bodies, true),
        Some(Err(rejection)) => return Err(problem::rejected(&[(0, *rejection)])),
        None => (vec![body], false),
    };
    if bodies.is_empty() {
        let text = "expected at least one event in the array";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no event", text);
        return Err(problem.with(json!({ "pointer": "" })));
    }
    let properties = properties(&headers, &query);
    let at = surroundings.clock.now();
    let arrivals: Vec<Arrival> = bodies
        .into_iter()
        .map(|bytes| {
            let properties = properties.clone();
            Arrival { bytes, properties, transport: Transport::Http, at }
        })
        .collect();
    if query.dry_run {
        return Ok(
            Json(json!({ "results": dry_run(&surroundings, arrivals).await? })).into_response()
        );
    }
    let answers = surroundings.pipeline.acceptor().accept(arrivals, on_reject).await?;
    if on_reject == OnReject::Answer {
        let refused = rejections(&answers);
        if !refused.is_empty() {
            return Err(match is_array {
                true => problem::rejected_of_array(&refused),
                false => problem::rejected(&refused),
            });
        }
    }
    let results: Vec<Value> = answers.iter().map(answer_json).collect();
    let body = match (is_array, results.first()) {
        (false, Some(only)) => only.clone(),
        _ => json!({ "results": results }),
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

async fn dry_run(
    surroundings: &Surroundings,
    arrivals: Vec<Arrival>,
) -> Result<Vec<Value>, Problem> {
    let mut results = Vec::new();
    for arrival in arrivals {
        results.push(match surroundings.pipeline.acceptor().rehearse(arrival).await? {
            Ok(rehearsal) => json!(rehearsal),
            Err(rejection) => json!({ "result": "rejected", "reason": rejection.reason,
                "pointer": rejection.place, "message": rejection.message }),
        });
    }
    Ok(results)
}

/// What HTTP says about a body, as every transport says it.
fn properties(headers: &HeaderMap, query: &PublishQuery) -> Properties {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wanted = |name: &&str| name.starts_with("ce-") || *name == "traceparent";
    let names = headers.keys().map(axum::http::HeaderName::as_str).filter(wanted);
    let kept = names.filter_map(|name| Some((name.to_owned(), text(name)?.to_owned())));
    Properties {
        content_type: text("content-type").map(str::to_owned),
        kind: query.kind.clone(),
        app_id: query.source.clone(),
        message_id: query.id.clone(),
        correlation_id: text("x-correlation-id").map(str::to_owned),
        headers: kept.collect(),
        ..Properties::default()
    }
}

fn rejections(answers: &[Answer]) -> Vec<(usize, Rejection)> {
    let rejection = |(index, answer): (usize, &Answer)| match answer {
        Answer::Rejected { rejection, .. } => Some((index, rejection.clone())),
        Answer::Planned { .. } | Answer::Repeat { .. } => None,
    };
    answers.iter().enumerate().filter_map(rejection).collect()
}

/// One answer as JSON.
pub(in crate::web) fn answer_json(answer: &Answer) -> Value {
    match answer {
        Answer::Planned { event, key, deliveries, planning } => json!({
            "result": if *planning { "planning" } else { "planned" },
            "loa_id": event, "source": key.source, "id": key.id, "deliveries": deliveries,
        }),
        Answer::Repeat { event, key } => json!({
            "result": "repeat", "loa_id": event, "source": key.source, "id": key.id,
        }),
        Answer::Rejected { id, rejection } => json!({
            "result": "rejected", "rejected": id, "reason": rejection.reason,
            "pointer": rejection.place, "message": rejection.message,
        }),
    }
}

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ListQuery {
    /// The publisher's id.
    id: Option<String>,
    /// An order or complaint number.
    business_key: Option<String>,
    /// An event type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The id of the partner it is about.
    partner: Option<String>,
    /// `planned`, or `planning` while a big audience is planned.
    state: Option<String>,
    /// `true`: only those that came again.
    #[serde(default)]
    repeated: bool,
    /// Arrived at this time or later, such as `2026-12-24T09:00:00Z`.
    since: Option<String>,
    /// Arrived before this time.
    until: Option<String>,
}

/// The states of an event, in the order in which it has them.
const STATES: [&str; 2] = ["planning", "planned"];

impl ListQuery {
    /// The filter; texts that are empty filter nothing.
    fn read(self) -> Result<EventFilter, Problem> {
        let state = said(self.state).map(|text| word("state", &text, &STATES, |state| state));
        Ok(EventFilter {
            loa_id: None,
            id: said(self.id),
            business_key: said(self.business_key),
            event_type: said(self.kind),
            partner: said(self.partner),
            state: state.transpose()?.map(str::to_owned),
            repeated: self.repeated,
            since: time("since", self.since)?,
            until: time("until", self.until)?,
        })
    }
}

/// Events, the newest first.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
    Query(query): Query<ListQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page.limit();
    let filter = query.read()?;
    let events = surroundings.store.events(filter.clone(), page.cursor()?, limit).await?;
    if events.is_empty() {
        known::is_in_events(&surroundings, filter.event_type).await?;
    }
    let is_full = events.len() == limit as usize;
    let next = events.last().and_then(|last| next(is_full, last.received_at, last.loa_id.0));
    Ok(Json(json!({ "events": events, "next": next })))
}

/// One event, by Loa's id or the publisher's, with its deliveries.
pub(in crate::web) async fn show(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let find = async |filter: EventFilter| {
        let events = surroundings.store.events(filter, None, 1).await?;
        events.into_iter().next().ok_or_else(|| Problem::not_found("event"))
    };
    let loa_id = match id.parse() {
        Ok(loa_id) => loa_id,
        Err(_) => find(EventFilter { id: Some(id), ..EventFilter::default() }).await?.loa_id,
    };
    let event = find(EventFilter { loa_id: Some(loa_id), ..EventFilter::default() }).await?;
    let wanted = crate::store::DeliveryFilter { event: Some(event.loa_id), ..Default::default() };
    let deliveries = surroundings.store.deliveries(wanted, None, super::MAX_LIMIT).await?;
    let deliveries: Vec<Value> = deliveries.iter().map(super::deliveries::delivery_json).collect();
    Ok(Json(json!({ "event": event, "deliveries": deliveries })))
}
