//! The page behind an unsubscribe link: asks, and withdraws the consent.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use secrecy::ExposeSecret;

use super::Surroundings;
use crate::model::address::Address;
use crate::model::contact::Consent;
use crate::model::token;
use crate::text::Escaping;

/// Asks whether the owner of the address really wants to unsubscribe.
///
/// A mail program that fetches links in advance must not unsubscribe anybody, so this only asks.
pub(super) async fn ask(
    State(surroundings): State<Surroundings>,
    Path(token): Path<String>,
) -> Response {
    match address(&surroundings, &token) {
        Some(address) => {
            page(StatusCode::OK, "Ngừng nhận tin? · Unsubscribe?", &question(&address))
        }
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
            StatusCode::OK,
            "Đã ngừng nhận tin · You are unsubscribed",
            "<p>Chúng tôi sẽ không gửi tin quảng cáo đến địa chỉ này nữa.</p>\
             <p lang=\"en\">We will send no more advertising to this address.</p>",
        ),
        Err(error) => {
            tracing::error!(%error, "a wish to unsubscribe was not recorded: {error}");
            page(
                StatusCode::SERVICE_UNAVAILABLE,
                "Chưa ghi nhận được · Not recorded yet",
                "<p>Xin lỗi, hệ thống chưa ghi nhận được yêu cầu. Vui lòng thử lại sau ít phút.</p>\
                 <p lang=\"en\">Sorry, your wish could not be recorded. Please try again in a few \
                 minutes.</p>",
            )
        }
    }
}

/// What is asked before anything is done; the address is masked, since links get passed on.
fn question(address: &Address) -> String {
    let address = Escaping::Html.escape(&address.masked());
    format!(
        "<p>Bấm nút dưới đây để không nhận tin quảng cáo gửi đến <b>{address}</b> nữa. Thông báo về \
         đơn hàng vẫn được gửi như thường lệ.</p>\
         <p lang=\"en\">Press the button to get no more advertising at this address. News of your \
         orders will still come.</p>\
         <form method=\"post\"><button>Ngừng nhận tin · Unsubscribe</button></form>"
    )
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
    page(
        StatusCode::NOT_FOUND,
        "Liên kết không dùng được · This link does not work",
        "<p>Vui lòng mở lại liên kết từ email mới nhất, hoặc trả lời email đó để yêu cầu ngừng nhận \
         tin.</p>\
         <p lang=\"en\">Please open the link in our latest email again, or answer that email and ask \
         to be unsubscribed.</p>",
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = Html(format!(
        "<!doctype html><html lang=\"vi\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/assets/console.css\">\
         <main class=\"narrow\"><h1>{title}</h1>{body}</main></html>"
    ));
    (status, html).into_response()
}
