//! Errors as RFC 9457 problem details.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::model::event::{RejectReason, Rejection};
use crate::store::StoreError;

/// What a problem is sent as.
const MEDIA_TYPE: &str = "application/problem+json";
/// The longest refusal that is put into our own form, in bytes.
const MOST_SAID: usize = 4096;

/// What went wrong with a request, as its sender may read it.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    more: Value,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), more: json!({}) }
    }

    /// A request that cannot be read: `place` says where.
    pub(super) fn bad_request(place: &str, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, "bad request", detail);
        problem.with(json!({ "pointer": place }))
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", format!("there is no such {what}"))
    }

    /// A fault of ours, told in the log and not to whoever asked.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error",
            "the operator finds the reason in the log",
        )
    }

    /// What is there already, or stands in the way.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// What went wrong, in a sentence.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds members beside the standard ones.
    pub(super) fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            // The store itself tells of it, once for all requests.
            tracing::debug!(%error, "a request got no answer from the store: {error}");
        } else {
            tracing::warn!(%error, "a request got no answer from the store: {error}");
        }
        if matches!(error, StoreError::Full) {
            return Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "no room",
                "the disk is full; nothing was accepted, so send it again later",
            );
        }
        if matches!(error, StoreError::TooLong) {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the search took too long",
                "narrow it down, for example to a state, a type or a time",
            );
        }
        if error.is_temporary() {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer",
                "nothing is known to be accepted; send it again with the same id: a repeat is planned once",
            );
        }
        Self::internal()
    }
}

/// The rejections of an array that is refused as a whole, by index: places begin with the index.
pub(super) fn rejected_of_array(rejections: &[(usize, Rejection)]) -> Problem {
    let problem = rejected(rejections);
    let Some((index, first)) = rejections.first() else { return problem };
    let place = first.place.as_deref().filter(|place| place.starts_with('/')).unwrap_or_default();
    let detail = format!("event {index} of the array: {first}");
    let mut more = problem.more;
    more["pointer"] = json!(format!("/{index}{place}"));
    Problem { detail, more, ..problem }
}

/// The rejections of a request that is refused as a whole, by index.
pub(super) fn rejected(rejections: &[(usize, Rejection)]) -> Problem {
    let first = rejections.first().map(|(_, rejection)| rejection.reason);
    let status = if first == Some(RejectReason::TooLarge) {
        StatusCode::PAYLOAD_TOO_LARGE
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let detail = rejections.first().map(|(_, rejection)| rejection.to_string());
    let list: Vec<Value> = rejections
        .iter()
        .map(|(index, rejection)| {
            json!({ "index": index, "reason": rejection.reason.as_str(),
                    "pointer": rejection.place, "message": rejection.message })
        })
        .collect();
    let pointer = rejections.first().and_then(|(_, rejection)| rejection.place.clone());
    Problem::new(status, "event rejected", detail.unwrap_or_default())
        .with(json!({ "pointer": pointer, "rejections": list }))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Whoever answers people rather than programs makes a page of it.
        let told = self.clone();
        let mut body = json!({
            "type": "about:blank", "title": self.title,
            "status": self.status.as_u16(), "detail": self.detail,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), self.more) {
            body.extend(more);
        }
        let media_type = [(header::CONTENT_TYPE, MEDIA_TYPE)];
        let mut answer = (self.status, media_type, Extension(told), Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

/// Makes a problem of every refusal of the API, also of those that the library below words.
pub(super) async fn in_one_form(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/v1/");
    let answer = next.run(request).await;
    let status = answer.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let is_problem = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes() == MEDIA_TYPE.as_bytes());
    if !is_api || !is_refusal || is_problem {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let said = axum::body::to_bytes(body, MOST_SAID).await.unwrap_or_default();
    let (title, detail) = words(status);
    // The library's words do not name the setting.
    let is_said_better = said.is_empty() || status == StatusCode::PAYLOAD_TOO_LARGE;
    let detail = if is_said_better { detail } else { String::from_utf8_lossy(&said).into() };
    let (form, body) = Problem::new(status, title, detail).into_response().into_parts();
    // Such as `Allow`, which says what would have been right.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(form.headers);
    Response::from_parts(parts, body)
}

/// What a refusal is called, and what is said of it if nobody has said anything yet.
fn words(status: StatusCode) -> (&'static str, String) {
    match status {
        StatusCode::BAD_REQUEST => ("bad request", String::new()),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method not allowed", "the header Allow names what this path takes".to_owned())
        }
        StatusCode::REQUEST_TIMEOUT => {
            ("too slow", "the request took longer than http.timeout allows".to_owned())
        }
        StatusCode::PAYLOAD_TOO_LARGE => (
            "too large",
            "the body is longer than http.max_body allows; send it in parts, or raise the setting"
                .to_owned(),
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported media type", String::new()),
        StatusCode::UNPROCESSABLE_ENTITY => ("not understood", String::new()),
        _ => ("refused", status.canonical_reason().unwrap_or_default().to_owned()),
    }
}
