//! The console: rooms rendered by the server, in the language and the time zone of who looks.
//!
//! Every page works without JavaScript; with it, figures and lists keep themselves fresh.

mod assets;
mod bubble;
mod deliveries;
mod delivery;
mod directory;
mod events;
mod fault;
mod message;
mod moment;
mod overview;
mod preferences;
mod providers;
mod rejected;
mod repair;
mod replay;
mod rows;
mod sandbox;
mod search;
mod texts;
mod view;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use super::Surroundings;
use super::problem::Problem;
pub(super) use assets::files;
pub(super) use fault::{faults_as_pages, no_such_page};

/// Every room; whoever mounts them lets only signed-in people in.
pub(super) fn rooms() -> Router<Surroundings> {
    Router::new()
        .route("/", get(overview::show))
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/repair", get(repair::confirm).post(repair::all))
        .route("/deliveries/{id}", get(delivery::show))
        .route("/deliveries/{id}/message", get(delivery::email))
        .route("/deliveries/{id}/repair", post(repair::one))
        .route("/rejected", get(rejected::list))
        .route("/rejected/{id}", get(rejected::show))
        .route("/rejected/{id}/check", post(replay::check))
        .route("/rejected/{id}/replay", post(replay::replay))
        .route("/rejected/{id}/discard", post(replay::discard))
        .route("/sandbox", get(sandbox::show))
        .route("/providers", get(providers::show))
        .route("/providers/{name}/hold", post(providers::hold))
        .route("/providers/{name}/release", post(providers::release))
        .route("/providers/{name}/test", post(providers::test))
        .route("/directory", get(directory::list))
        .route("/directory/{id}", get(directory::show))
        .route("/search", get(search::find))
}

/// What every signed-in person may choose, whatever else they may not.
pub(super) fn preferences() -> Router<Surroundings> {
    Router::new().route("/preferences", get(preferences::show).post(preferences::keep))
}

/// Renders a page.
fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page does not render: {error}");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "internal error", "this page does not render").into_response()
        }
    }
}
