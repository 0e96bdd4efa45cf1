//! Who may: a bearer token for programs, a session by a one-time link for people.

mod attempts;
pub(super) mod login;
mod secret;
pub(super) mod session;

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::Surroundings;
use super::problem::Problem;
use crate::config::Config;
use crate::model::access::Role;
use crate::store::{Store, StoreError};

pub use attempts::Attempts;
pub(super) use secret::new_secret;
pub use secret::random_secret;

/// The user by which whoever starts Loa signs in.
const LOCAL_USER: &str = "local";

/// The one-time link of `secret`, by which whoever starts Loa signs in to its console as an admin.
///
/// # Errors
/// When the store does not answer.
pub async fn local_link(
    store: &Store,
    config: &Config,
    address: SocketAddr,
    secret: &str,
) -> Result<String, StoreError> {
    store.add_user(LOCAL_USER.to_owned(), Role::Admin, None).await?;
    let base = login::base_url(config, &address.to_string());
    let link = login::add_link(store, &base, LOCAL_USER, secret).await?;
    // Gone between two statements: somebody else removes users right now.
    link.ok_or_else(|| StoreError::Conflict(format!("the user {LOCAL_USER} was just removed")))
}

/// Lets a request through that carries the token as `Authorization: Bearer`.
pub(super) async fn require_token(
    State(surroundings): State<Surroundings>,
    request: Request,
    next: Next,
) -> Response {
    let bearer = bearer(request.headers()).unwrap_or_default();
    let token = surroundings.local_token.expose_secret();
    if bool::from(bearer.as_bytes().ct_eq(token.as_bytes())) {
        return next.run(request).await;
    }
    let detail = "send `Authorization: Bearer TOKEN`; the token stands in server.json of the data \
                  folder";
    let mut answer =
        Problem::new(StatusCode::UNAUTHORIZED, "not signed in", detail).into_response();
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
