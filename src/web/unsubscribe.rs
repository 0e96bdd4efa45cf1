//! The page behind an unsubscribe link: asks, and withdraws the consent.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use secrecy::ExposeSecret;

use super::Surroundings;
use super::problem::Problem;
use crate::model::address::Address;
use crate::model::contact::Consent;
use crate::model::token;

/// Asks whether the owner of the address really wants to unsubscribe.
///
/// A mail program that fetches links in advance must not unsubscribe anybody, so this only asks.
pub(super) async fn ask(
    State(surroundings): State<Surroundings>,
    Path(token): Path<String>,
) -> Response {
    match address(&surroundings, &token) {
        Some(_) => page(
            "Ngừng nhận tin? · Stop our news?",
            "<form method=\"post\"><button>Ngừng nhận tin · Unsubscribe</button></form>",
        ),
        None => unknown_link(),
    }
}

/// Withdraws the consent; by a press on the page, or by a mail program's one click (RFC 8058).
pub(super) async fn withdraw(
    State(surroundings): State<Surroundings>,
    Path(token): Path<String>,
    headers: axum::http::HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let Some(address) = address(&surroundings, &token) else { return unknown_link() };
    let one_click = is_one_click(&headers, &body);
    let consent = Consent {
        address,
        granted: false,
        at: surroundings.clock.now(),
        source: if one_click { "one_click" } else { "unsubscribe_link" }.to_owned(),
    };
    match surroundings.store.record_consent(consent).await {
        Ok(()) => page(
            "Đã ngừng nhận tin · You are unsubscribed",
            "<p>Chúng tôi sẽ không gửi tin quảng cáo đến địa chỉ này nữa.</p>\
             <p>We will send no more news to this address.</p>",
        ),
        Err(error) => Problem::from(error).into_response(),
    }
}

fn is_one_click(headers: &axum::http::HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| {
        kind.starts_with("application/x-www-form-urlencoded")
            || kind.starts_with("multipart/form-data")
    });
    let says_so = String::from_utf8_lossy(body);
    is_form && says_so.contains("List-Unsubscribe") && says_so.contains("One-Click")
}

fn address(surroundings: &Surroundings, token: &str) -> Option<Address> {
    let secret = surroundings.config.unsubscribe_secret.as_ref()?;
    token::verify(token, secret.expose_secret().as_bytes())
}

fn unknown_link() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not found", "this link is not one of ours").into_response()
}

fn page(title: &str, body: &str) -> Response {
    Html(format!(
        "<!doctype html><html lang=\"vi\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/assets/console.css\">\
         <main class=\"narrow\"><h1>{title}</h1>{body}</main></html>"
    ))
    .into_response()
}
