//! What went wrong, as a page.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::page;
use super::view::View;
use crate::web::Surroundings;
use crate::web::problem::Problem;

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    view: View,
    title: &'static str,
    detail: String,
}

/// Shows people a page where programs would get problem details.
pub(in crate::web) async fn faults_as_pages(
    State(surroundings): State<Surroundings>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let view = View::of(&parts, &surroundings);
    let response = next.run(Request::from_parts(parts, body)).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let status = response.status();
    let title = match status {
        StatusCode::NOT_FOUND => view.t("fault.not_found"),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => view.t("fault.bad_request"),
        StatusCode::FORBIDDEN => view.t("fault.forbidden"),
        StatusCode::SERVICE_UNAVAILABLE => view.t("fault.unavailable"),
        _ => view.t("fault.other"),
    };
    let detail = problem.detail().to_owned();
    (status, page(&FaultPage { view, title, detail })).into_response()
}
