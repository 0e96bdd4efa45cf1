//! Handing a rejected event in again, as it is or mended; or forgetting it.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use serde::Deserialize;

use super::rejected::{Checked, legible, rejection_page};
use super::view::View;
use crate::intake::mended;
use crate::model::event::{Arrival, RejectedEvent, Rejection, Transport};
use crate::pipeline::{Answer, OnReject};
use crate::web::Surroundings;
use crate::web::api::rejected::find;
use crate::web::problem::Problem;

/// The body as it was edited; none if it is no text.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Edited {
    body: Option<String>,
}

impl Edited {
    /// The bytes to hand in: those that came, unless the text was changed.
    fn bytes(&self, event: &RejectedEvent) -> Bytes {
        let came = &event.arrival.bytes;
        // Browsers send line breaks as two letters.
        let body = self.body.as_ref().map(|body| body.replace("\r\n", "\n"));
        match body {
            Some(body) if Some(unbroken(&body)) != legible(came).map(|text| unbroken(&text)) => {
                mended(came, Bytes::from(body))
            }
            Some(_) | None => came.clone(),
        }
    }
}

/// A text without what a form may add at its ends.
fn unbroken(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

/// Says what handing it in would lead to, and does nothing.
pub(super) async fn check(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
    Form(edited): Form<Edited>,
) -> Result<Response, Problem> {
    let event = find(&surroundings, &id).await?;
    let arrival = again(&event, edited.bytes(&event), &view);
    let checked = match surroundings.pipeline.acceptor().rehearse(arrival).await? {
        Ok(rehearsal) => Checked::Planned(rehearsal),
        Err(rejection) => told(&rejection),
    };
    Ok(rejection_page(view, &event, edited.body, Some(checked)))
}

/// Hands it in; what is planned is no rejected event any more.
pub(super) async fn replay(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
    Form(edited): Form<Edited>,
) -> Result<Response, Problem> {
    let rejected = find(&surroundings, &id).await?;
    let arrival = again(&rejected, edited.bytes(&rejected), &view);
    let acceptor = surroundings.pipeline.acceptor();
    let answers = acceptor.accept(vec![arrival], OnReject::Answer).await?;
    let planned = match answers.into_iter().next() {
        Some(Answer::Planned { event, .. } | Answer::Repeat { event, .. }) => event,
        Some(Answer::Rejected { rejection, .. }) => {
            let checked = Some(told(&rejection));
            return Ok(rejection_page(view, &rejected, edited.body, checked));
        }
        None => return Err(Problem::not_found("event")),
    };
    surroundings.store.forget_replayed(rejected.id, planned, &view.user).await?;
    Ok(Redirect::to(&format!("/events/{planned}?done=replayed")).into_response())
}

/// Forgets it.
pub(super) async fn discard(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    let event = find(&surroundings, &id).await?;
    surroundings.store.discard_rejected(event.id, &view.user).await?;
    Ok(Redirect::to("/rejected?done=discarded"))
}

fn again(event: &RejectedEvent, bytes: Bytes, view: &View) -> Arrival {
    let properties = event.arrival.properties.clone();
    Arrival { bytes, properties, transport: Transport::Replay, at: view.now }
}

fn told(rejection: &Rejection) -> Checked {
    Checked::Rejected {
        place: rejection.place.clone().unwrap_or_default(),
        message: rejection.message.clone(),
    }
}
