//! Rejected events: seen, replayed with an edited body, discarded.

use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::query::{said, word};
use super::{PageQuery, next};
use crate::intake::mended;
use crate::model::deed::Deed;
use crate::model::event::{Arrival, RejectReason, RejectedEvent, Transport};
use crate::model::id::RejectedId;
use crate::pipeline::{Answer, OnReject};
use crate::store::{RejectedFilter, RejectedLine};
use crate::web::Surroundings;
use crate::web::auth::bearer::Author;
use crate::web::problem::{self, Problem};

/// Which rejected events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ListQuery {
    /// The sort of fault, such as `schema`.
    reason: Option<String>,
    /// An event type, as far as it could be read.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The publisher's id, as far as it could be read.
    id: Option<String>,
}

impl ListQuery {
    /// The filter; texts that are empty filter nothing.
    fn read(self) -> Result<RejectedFilter, Problem> {
        let reason = said(self.reason)
            .map(|text| word("reason", &text, &RejectReason::ALL, RejectReason::as_str));
        Ok(RejectedFilter {
            reason: reason.transpose()?,
            event_type: said(self.kind),
            id: said(self.id),
        })
    }
}

/// Rejected events, the newest first.
pub(in crate::web) async fn list(
    State(surroundings): State<Surroundings>,
    Query(query): Query<ListQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = page.limit();
    let store = &surroundings.store;
    let found = store.find_rejected_events(query.read()?, page.cursor()?, limit).await?;
    let is_full = found.len() == limit as usize;
    let next = found.last().and_then(|last| next(is_full, last.at, last.id.0));
    let rows: Vec<Value> = found.iter().map(summary).collect();
    Ok(Json(json!({ "rejected": rows, "next": next })))
}

/// One rejected event, whole.
pub(in crate::web) async fn show(
    State(surroundings): State<Surroundings>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let event = find(&surroundings, &id).await?;
    let mut whole = summary(&RejectedLine::of(&event));
    whole["properties"] = json!(event.arrival.properties);
    whole["body"] = json!(String::from_utf8_lossy(&event.arrival.bytes));
    Ok(Json(whole))
}

/// Forgets one.
pub(in crate::web) async fn discard(
    State(surroundings): State<Surroundings>,
    Extension(author): Extension<Author>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let event = find(&surroundings, &id).await?;
    surroundings.store.discard_rejected(event.id, &author.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether only to say what a replay would do.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ReplayQuery {
    /// `true`: plans and renders, and keeps nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Hands one in again, with the body of the request if there is one: the whole event, or its data.
pub(in crate::web) async fn replay(
    State(surroundings): State<Surroundings>,
    Extension(author): Extension<Author>,
    (Path(id), Query(query)): (Path<String>, Query<ReplayQuery>),
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let event = find(&surroundings, &id).await?;
    let mut arrival = Arrival {
        transport: Transport::Replay,
        at: surroundings.clock.now(),
        ..event.arrival.clone()
    };
    if !body.is_empty() {
        // What is mended says itself what it is: the content type may have been the fault.
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        arrival.properties.content_type = content_type.map(str::to_owned);
        arrival.bytes = mended(&event.arrival.bytes, body);
    }
    if query.dry_run {
        return match surroundings.pipeline.acceptor().rehearse(arrival).await? {
            Ok(rehearsal) => Ok(Json(json!(rehearsal)).into_response()),
            Err(rejection) => Err(problem::rejected(&[(0, *rejection)])),
        };
    }
    let answers = surroundings.pipeline.acceptor().accept(vec![arrival], OnReject::Answer).await?;
    let Some(answer) = answers.first() else { return Err(Problem::not_found("event")) };
    let planned = match answer {
        Answer::Planned { event, .. } | Answer::Repeat { event, .. } => *event,
        Answer::Rejected { rejection, .. } => {
            return Err(problem::rejected(&[(0, rejection.clone())]));
        }
    };
    surroundings.store.forget_replayed(event.id, planned, &author.0).await?;
    Ok((StatusCode::ACCEPTED, Json(super::events::answer_json(answer))).into_response())
}

/// The rejected event whose id is `text`; of one that was replayed or discarded it says so.
pub(in crate::web) async fn find(
    surroundings: &Surroundings,
    text: &str,
) -> Result<RejectedEvent, Problem> {
    let id: RejectedId = text.parse().map_err(|_| Problem::not_found("rejected event"))?;
    if let Some(event) = surroundings.store.find_rejected(id).await? {
        return Ok(event);
    }
    let deeds = surroundings.store.deeds_of(id.0).await?;
    Err(deeds.last().map_or_else(|| Problem::not_found("rejected event"), gone))
}

/// What became of a rejected event that is none any more.
fn gone(deed: &Deed) -> Problem {
    let Deed { at, deed: what, by, note } = deed;
    let what = what.as_str();
    let detail = match note {
        Some(event) => {
            format!("this rejected event was {what} at {at} by {by}; it is event {event} now")
        }
        None => format!("this rejected event was {what} at {at} by {by}"),
    };
    Problem::new(StatusCode::GONE, "gone", detail)
        .with(json!({ "deed": what, "at": at, "by": by, "event": note }))
}

fn summary(event: &RejectedLine) -> Value {
    let RejectedLine { id, rejection, transport, at, size } = event;
    json!({
        "id": id, "reason": rejection.reason, "pointer": rejection.place,
        "message": rejection.message, "type": rejection.event_type, "event": rejection.key,
        "transport": transport, "at": at, "bytes": size,
    })
}
