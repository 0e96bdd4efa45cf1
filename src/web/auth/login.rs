//! Signing in by a one-time link, and out again.
//!
//! Programs that preview links fetch them, so opening one only shows a button; pressing it uses the
//! link up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::secret::{digest_of, new_secret};
use super::session::{LASTS, Signed, cookie, is_from_our_pages, is_https, set_cookie, signed_in};
use crate::config::Config;
use crate::store::{Store, StoreError};
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// How long a login link may be used.
pub(in crate::web) const LINK_LASTS: Duration = Duration::from_mins(15);

/// What a page of this room says.
#[derive(PartialEq, Eq)]
enum Word {
    /// Press the button.
    Press,
    /// Nobody is signed in; here is how.
    SignedOut,
    /// The link is unknown, used or over.
    DeadLink,
    /// The button was pressed on a page of somebody else.
    Foreign,
    /// Too many links were wrong.
    TooMany,
    /// Press the button to sign out.
    Leave { user: String, csrf: String },
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    word: Word,
}

/// Keeps a link of this secret, by which `user` may sign in once; nothing if there is no such user.
pub(in crate::web) async fn add_link(
    store: &Store,
    base: &str,
    user: &str,
    secret: &str,
) -> Result<Option<String>, StoreError> {
    let is_known = store.add_login_link(user.to_owned(), digest_of(secret), LINK_LASTS).await?;
    Ok(is_known.then(|| format!("{base}/login/{secret}")))
}

/// Where people reach this Loa: its public address over TLS, else `host`.
pub(in crate::web) fn base_url(config: &Config, host: &str) -> String {
    match &config.http.public_url {
        Some(url) if is_https(config) => url.as_str().trim_end_matches('/').to_owned(),
        _ => format!("http://{host}"),
    }
}

/// How to sign in.
pub(in crate::web) async fn explain() -> Response {
    page(StatusCode::OK, Word::SignedOut)
}

/// Asks for a press on the button; whoever is signed in already goes on to the console.
pub(in crate::web) async fn ask(
    State(surroundings): State<Surroundings>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if signed_in(&surroundings, &headers).await?.is_some() {
        return Ok(Redirect::to("/").into_response());
    }
    Ok(page(StatusCode::OK, Word::Press))
}

/// Uses up a link, and leaves the cookie of a new session.
pub(in crate::web) async fn sign_in(
    State(surroundings): State<Surroundings>,
    Path(link): Path<String>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Surroundings { config, store, clock, attempts, .. } = &surroundings;
    if !is_from_our_pages(&headers, config.http.public_url.as_ref()) {
        return Ok(page(StatusCode::FORBIDDEN, Word::Foreign));
    }
    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(info)| info.0.ip());
    let from = behind_proxy(from, &headers);
    if let Some(wait) = attempts.wait(from, clock.monotonic()) {
        let seconds = [(header::RETRY_AFTER, (wait.as_secs() + 1).to_string())];
        return Ok((seconds, page(StatusCode::TOO_MANY_REQUESTS, Word::TooMany)).into_response());
    }
    let secret = new_secret()?;
    let Some(user) = store.sign_in(digest_of(&link), digest_of(&secret), LASTS).await? else {
        attempts.failed(from, clock.monotonic());
        tracing::warn!("somebody came with a login link that is unknown, used or over");
        return Ok(page(StatusCode::FORBIDDEN, Word::DeadLink));
    };
    if let Some(before) = cookie(&surroundings, &headers) {
        store.end_session(digest_of(&before)).await?;
    }
    tracing::info!(user, "{user} signed in to the console");
    let cookie = [(header::SET_COOKIE, set_cookie(config, Some(&secret)))];
    Ok((cookie, Redirect::to("/")).into_response())
}

/// Where a request came from: what a proxy on this machine or in this network says last of it, so
/// that one who guesses keeps nobody else out. Who passes the proxy by may lie in it, which spares
/// them the wait, but a link cannot be guessed.
fn behind_proxy(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_near = match peer.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    };
    let said = headers.get_all("x-forwarded-for").iter().next_back();
    let last = said.and_then(|said| said.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    if is_near { last.unwrap_or(peer) } else { peer }
}

/// Asks for a press on the button that ends the session.
pub(in crate::web) async fn ask_to_leave(signed: Signed) -> Response {
    page(StatusCode::OK, Word::Leave { user: signed.user, csrf: signed.csrf })
}

/// Ends the session, here and in the browser.
pub(in crate::web) async fn sign_out(
    State(surroundings): State<Surroundings>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(secret) = cookie(&surroundings, &headers) {
        surroundings.store.end_session(digest_of(&secret)).await?;
    }
    let cookie = [(header::SET_COOKIE, set_cookie(&surroundings.config, None))];
    Ok((cookie, Redirect::to("/login")).into_response())
}

/// The answer to whoever is not signed in; a part of a page that fetched itself goes there whole.
pub(super) fn signed_out(headers: &HeaderMap) -> Response {
    if headers.contains_key("hx-request") {
        let go = [(HeaderName::from_static("hx-redirect"), "/login")];
        return (StatusCode::UNAUTHORIZED, go).into_response();
    }
    page(StatusCode::UNAUTHORIZED, Word::SignedOut)
}

fn page(status: StatusCode, word: Word) -> Response {
    match (LoginPage { word }).render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the login page does not render: {error}");
            Problem::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_by_a_proxy_nearby_is_told_from_others_and_who_comes_straight_is_believed_nothing()
    {
        let from = |peer: &str, said: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", header::HeaderValue::from_static(said));
            behind_proxy(peer.parse().unwrap(), &headers).to_string()
        };

        assert_eq!(from("127.0.0.1", "203.0.113.7"), "203.0.113.7");
        assert_eq!(from("10.0.0.2", "198.51.100.1, 203.0.113.7"), "203.0.113.7");
        assert_eq!(from("198.51.100.9", "203.0.113.7"), "198.51.100.9");
        assert_eq!(from("127.0.0.1", "unknown"), "127.0.0.1");
    }
}
