//! Who may: a bearer token for programs, a session by a one-time link for people.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use ring::hmac;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::Surroundings;
use super::problem::Problem;

/// The cookie of a signed-in person.
const SESSION: &str = "loa_session";

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

/// Lets a person through who came by the login link.
pub(super) async fn require_session(
    State(surroundings): State<Surroundings>,
    jar: CookieJar,
    request: Request,
    next: Next,
) -> Response {
    let session = jar.get(SESSION).map(Cookie::value).unwrap_or_default();
    let expected = sign(&surroundings, b"loa session");
    if bool::from(session.as_bytes().ct_eq(expected.as_bytes())) {
        return next.run(request).await;
    }
    let detail = "open the login link that Loa printed when it started";
    Problem::new(StatusCode::UNAUTHORIZED, "not signed in", detail).into_response()
}

/// Takes the login link and leaves a session cookie.
pub(super) async fn login(
    State(surroundings): State<Surroundings>,
    Path(token): Path<String>,
    jar: CookieJar,
) -> Response {
    if !bool::from(token.as_bytes().ct_eq(login_token(&surroundings).as_bytes())) {
        return Problem::new(StatusCode::FORBIDDEN, "not signed in", "this link is not valid")
            .into_response();
    }
    let is_https = surroundings.config.http.public_url.as_ref();
    let is_https = is_https.is_some_and(|url| url.scheme() == "https");
    let cookie = Cookie::build((SESSION, sign(&surroundings, b"loa session")))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_https);
    (jar.add(cookie), Redirect::to("/")).into_response()
}

/// The token of the login link of this run.
pub(super) fn login_token(surroundings: &Surroundings) -> String {
    sign(surroundings, b"loa login")
}

/// Tokens for one purpose, made of the run's own secret: another run knows none of them.
fn sign(surroundings: &Surroundings, purpose: &[u8]) -> String {
    let key = surroundings.local_token.expose_secret().as_bytes();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
