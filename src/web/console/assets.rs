//! Style sheet, scripts and icon: files of our own, compiled in; nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::web::Surroundings;

const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/loa.svg");
/// htmx 4.0.1 as its authors publish it; its licence stands beside it.
const HTMX: &str = include_str!("../assets/htmx.min.js");

/// What the pages load; open to everybody, since the page for signing in needs it too.
pub(in crate::web) fn files() -> Router<Surroundings> {
    Router::new()
        .route("/assets/console.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/assets/console.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/htmx.js", get(async || file("text/javascript; charset=utf-8", HTMX)))
        .route("/assets/loa.svg", get(async || file("image/svg+xml", ICON)))
}

/// One file; asked for again only after an hour, or with a new release's page.
fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htmx_is_the_published_file() {
        let digest = ring::digest::digest(&ring::digest::SHA256, HTMX.as_bytes());

        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();

        assert_eq!(hex, "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130");
    }

    #[test]
    fn pages_hold_no_script_and_no_style_of_their_own() {
        for entry in std::fs::read_dir("src/web/pages").unwrap() {
            let path = entry.unwrap().path();
            let page = std::fs::read_to_string(&path).unwrap();

            for tag in page.split('<').skip(1) {
                let tag = tag.split('>').next().unwrap();
                let name = path.display();
                assert!(!tag.starts_with("style"), "{name}: a style sheet inside the page");
                assert!(!tag.contains(" style="), "{name}: a style attribute in <{tag}>");
                assert!(!tag.contains(" on"), "{name}: a script in <{tag}>");
                assert!(!tag.starts_with("script") || tag.contains("src="), "{name}: a script");
            }
        }
    }
}
