//! What went wrong, as a page.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
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
    let status = response.status();
    match response.extensions().get::<Problem>() {
        Some(problem) => fault_page(view, status, problem.detail().to_owned()),
        // What the library below words itself, such as a form that lacks a field.
        None if status.is_client_error() && is_plain_text(&response) => {
            let detail = status.canonical_reason().unwrap_or_default();
            fault_page(view, status, detail.to_owned())
        }
        None => response,
    }
}

/// The answer for paths that lead nowhere: a page for people, a problem for programs.
pub(in crate::web) async fn no_such_page(
    State(surroundings): State<Surroundings>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let view = View::of(&parts, &surroundings);
    let accepted = parts.headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let problem = Problem::not_found("page");
    match accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        true => fault_page(view, StatusCode::NOT_FOUND, problem.detail().to_owned()),
        false => problem.into_response(),
    }
}

fn is_plain_text(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

fn fault_page(view: View, status: StatusCode, detail: String) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => view.t("fault.not_found"),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => view.t("fault.bad_request"),
        StatusCode::FORBIDDEN => view.t("fault.forbidden"),
        StatusCode::SERVICE_UNAVAILABLE => view.t("fault.unavailable"),
        _ => view.t("fault.other"),
    };
    (status, page(&FaultPage { view, title, detail })).into_response()
}
