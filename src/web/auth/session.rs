//! A signed-in person: who it is, and that a change really comes from our own pages.
//!
//! A console page asks for [`Signed`] like for any other part of a request. Every form that changes
//! something carries a hidden field `csrf` with [`Signed::csrf`]; a script sends the same text as
//! the header `X-CSRF-Token`. Pages that fetch themselves again and again send `X-Loa-Poll: 1`, so
//! that a screen nobody sits at does not keep its session alive.

use std::time::Duration;

use axum::RequestExt as _;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Multipart, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use jiff::SignedDuration;
use ring::hmac;
use subtle::ConstantTimeEq;
use url::Url;

use super::login;
use super::secret::{digest_of, hex};
use crate::config::Config;
use crate::model::access::Role;
use crate::store::Session;
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// A session ends when nobody used it for this long.
const IDLE: Duration = Duration::from_hours(12);
/// A session ends after this long in any case.
pub(super) const LASTS: Duration = Duration::from_hours(7 * 24);
/// How far behind the note of a session's last use may be.
const SEEN_STEP: SignedDuration = SignedDuration::from_mins(1);
/// The field of a form, and the header, that carry the token.
const FIELD: &str = "csrf";
const HEADER: &str = "x-csrf-token";
/// The header of a page that fetches itself by its own clock.
const POLL: &str = "x-loa-poll";

/// Who is signed in; a part of every request to the console.
#[derive(Clone, Debug)]
pub(in crate::web) struct Signed {
    /// The user's name.
    pub(in crate::web) user: String,
    /// What they may do.
    pub(in crate::web) role: Role,
    /// What every form that changes something must carry in its field `csrf`.
    pub(in crate::web) csrf: String,
}

impl Signed {
    /// Refuses whoever has a lesser role.
    pub(in crate::web) fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let (needed, own) = (role.as_str(), self.role.as_str());
        let detail = format!("this needs the role {needed}; yours is {own}");
        Err(Problem::new(StatusCode::FORBIDDEN, "not allowed", detail))
    }
}

impl<S: Sync> FromRequestParts<S> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a route outside of `require_session` lacks it.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// Lets signed-in people through, and their changes only from our own pages.
pub(in crate::web) async fn require_session(
    State(surroundings): State<Surroundings>,
    mut request: Request,
    next: Next,
) -> Response {
    let signed = match signed_in(&surroundings, request.headers()).await {
        Ok(Some(signed)) => signed,
        Ok(None) => return login::signed_out(request.headers()),
        Err(problem) => return problem.into_response(),
    };
    if changes_something(request.method()) {
        let public_url = surroundings.config.http.public_url.as_ref();
        if !is_from_our_pages(request.headers(), public_url) {
            return foreign("this request does not come from a page of this Loa").into_response();
        }
        request = match with_token(request, &signed.csrf).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    request.extensions_mut().insert(signed);
    next.run(request).await
}

/// Lets only operators and admins change something.
pub(in crate::web) async fn require_operator(request: Request, next: Next) -> Response {
    let may = match request.extensions().get::<Signed>() {
        Some(signed) if changes_something(request.method()) => signed.require(Role::Operator),
        Some(_) => Ok(()),
        None => Err(Problem::internal()),
    };
    match may {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Who the cookie says is signed in; notes that they are here.
pub(super) async fn signed_in(
    surroundings: &Surroundings,
    headers: &HeaderMap,
) -> Result<Option<Signed>, Problem> {
    let Some(secret) = cookie(surroundings, headers) else { return Ok(None) };
    let session = digest_of(&secret);
    let found = surroundings.store.find_session(session, IDLE).await?;
    let Some(Session { user, role, seen_at }) = found else { return Ok(None) };
    let is_behind = surroundings.clock.now().duration_since(seen_at) >= SEEN_STEP;
    if is_behind && !headers.contains_key(POLL) {
        surroundings.store.touch_session(session).await?;
    }
    Ok(Some(Signed { user, role, csrf: csrf(&secret) }))
}

/// The secret of the session that the browser sends.
pub(super) fn cookie(surroundings: &Surroundings, headers: &HeaderMap) -> Option<String> {
    let jar = CookieJar::from_headers(headers);
    jar.get(cookie_name(&surroundings.config)).map(|cookie| cookie.value().to_owned())
}

/// The `Set-Cookie` header of a session's secret; without one it ends the session in the browser.
pub(super) fn set_cookie(config: &Config, secret: Option<&str>) -> String {
    let (value, lasts) = secret.map_or(("", 0), |secret| (secret, LASTS.as_secs()));
    let (name, secure) = (cookie_name(config), if is_https(config) { "; Secure" } else { "" });
    format!("{name}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}")
}

/// Over TLS the name keeps other hosts of the same domain from setting the cookie.
fn cookie_name(config: &Config) -> &'static str {
    if is_https(config) { "__Host-loa_session" } else { "loa_session" }
}

/// Whether people reach this Loa over TLS.
pub(in crate::web) fn is_https(config: &Config) -> bool {
    config.http.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
}

/// The token of a session's forms: whoever cannot read our pages cannot make it.
fn csrf(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex(hmac::sign(&key, b"loa csrf 1").as_ref())
}

fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a browser says that a request comes from a page of this Loa.
///
/// Browsers send `Sec-Fetch-Site` over TLS and on localhost only; elsewhere `Origin` has to do.
pub(super) fn is_from_our_pages(headers: &HeaderMap, public_url: Option<&Url>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin").and_then(|origin| Url::parse(origin).ok()) else {
        return false;
    };
    let is_public = public_url.is_some_and(|url| url.origin() == origin.origin());
    let host = origin.host_str().map(|host| match origin.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    });
    is_public || (host.is_some() && host.as_deref() == text("host"))
}

/// The request again, if its header or form carries the token.
async fn with_token(request: Request, expected: &str) -> Result<Request, Problem> {
    let fits = |token: &str| bool::from(token.as_bytes().ct_eq(expected.as_bytes()));
    let refused = || foreign("this form is not of your session; load its page again");
    if let Some(token) = request.headers().get(HEADER) {
        let is_right = token.to_str().is_ok_and(fits);
        return if is_right { Ok(request) } else { Err(refused()) };
    }
    let (parts, body) = request.with_limited_body().into_parts();
    let too_long = |_| {
        let detail = "this form is longer than http.max_body allows";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", detail)
    };
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(too_long)?;
    let token = match content_type(&parts.headers) {
        kind if kind.starts_with("application/x-www-form-urlencoded") => field_of_form(&body),
        kind if kind.starts_with("multipart/form-data") => {
            field_of_multipart(&parts, body.clone()).await
        }
        _ => None,
    };
    if token.is_some_and(|token| fits(&token)) {
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    Err(refused())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

fn field_of_form(body: &[u8]) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(body);
    fields.find(|(name, _)| name == FIELD).map(|(_, value)| value.into_owned())
}

async fn field_of_multipart(parts: &Parts, body: Bytes) -> Option<String> {
    let mut request = Request::new(Body::from(body));
    *request.headers_mut() = parts.headers.clone();
    let mut form: Multipart = request.extract().await.ok()?;
    while let Some(field) = form.next_field().await.ok()? {
        if field.name() == Some(FIELD) {
            return field.text().await.ok();
        }
    }
    None
}

fn foreign(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "not from our pages", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_pages_change_something() {
        let public = Url::parse("https://loa.example.com/").unwrap();
        let ours = |pairs| is_from_our_pages(&headers(pairs), Some(&public));

        assert!(ours(&[("sec-fetch-site", "same-origin")]));
        assert!(ours(&[("origin", "https://loa.example.com")]));
        assert!(ours(&[("origin", "http://10.0.0.7:8080"), ("host", "10.0.0.7:8080")]));
        assert!(!ours(&[("sec-fetch-site", "cross-site"), ("origin", "https://loa.example.com")]));
        assert!(!ours(&[("sec-fetch-site", "same-site")]));
        assert!(!ours(&[("origin", "https://evil.example"), ("host", "loa.example.com")]));
        assert!(!ours(&[("origin", "http://10.0.0.7:9090"), ("host", "10.0.0.7:8080")]));
        assert!(!ours(&[("origin", "null"), ("host", "loa.example.com")]));
        assert!(!ours(&[]));
    }

    #[tokio::test]
    async fn a_change_needs_the_token_in_its_header_or_its_form() {
        let request = |pairs: &[_], body: &'static str| {
            let mut request = Request::new(Body::from(body));
            *request.headers_mut() = headers(pairs);
            request
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        let parts = ("content-type", "multipart/form-data; boundary=x");
        let multipart =
            "--x\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\nright\r\n--x--\r\n";

        let kept = with_token(request(&[form], "csrf=right&a=1"), "right").await.unwrap();

        let body = axum::body::to_bytes(kept.into_body(), 100).await.unwrap();
        assert_eq!(body, "csrf=right&a=1", "the page still gets its form");
        assert!(with_token(request(&[(HEADER, "right")], ""), "right").await.is_ok());
        assert!(with_token(request(&[parts], multipart), "right").await.is_ok());
        let wrong = [
            request(&[form], "csrf=wrong"),
            request(&[form], "a=1"),
            request(&[parts], "--x--\r\n"),
            request(&[("content-type", "application/json")], "csrf=right"),
            request(&[form, (HEADER, "wrong")], "csrf=right"),
        ];
        for request in wrong {
            assert!(with_token(request, "right").await.is_err());
        }
    }

    #[test]
    fn a_forms_token_is_of_one_session_and_does_not_tell_its_secret() {
        assert_ne!(csrf("one"), csrf("two"));
        assert_eq!(field_of_form(b"a=1&csrf=abc&b=2").as_deref(), Some("abc"));
        assert_eq!(field_of_form(b"a=1"), None);
    }
}
