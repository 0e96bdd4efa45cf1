//! Style sheet, scripts and icon: files of our own, compiled in; nothing is loaded from elsewhere.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::web::Surroundings;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/loa.svg");
/// htmx 4.0.1 as its authors publish it; its licence stands beside it.
const HTMX: &str = include_str!("../assets/htmx.min.js");

/// What the pages load; open to everybody, since the page for signing in needs it too.
pub(in crate::web) fn files() -> Router<Surroundings> {
    let style = async |headers: HeaderMap| file(&headers, "text/css; charset=utf-8", STYLE);
    let script = async |headers: HeaderMap| file(&headers, JAVASCRIPT, SCRIPT);
    let htmx = async |headers: HeaderMap| file(&headers, JAVASCRIPT, HTMX);
    let icon = async |headers: HeaderMap| file(&headers, "image/svg+xml", ICON);
    Router::new()
        .route("/assets/console.css", get(style))
        .route("/assets/console.js", get(script))
        .route("/assets/htmx.js", get(htmx))
        .route("/assets/loa.svg", get(icon))
        // Browsers ask for this one by themselves, also where no page of ours was loaded.
        .route("/favicon.ico", get(icon))
}

/// One file, or that the browser's copy is still the same: a new release shows at once.
fn file(headers: &HeaderMap, media_type: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{}\"", sha256(text));
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let about = [(header::CACHE_CONTROL, "no-cache".to_owned()), (header::ETAG, tag)];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, about).into_response(),
        false => (about, [(header::CONTENT_TYPE, media_type)], text).into_response(),
    }
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn htmx_is_the_published_file() {
        assert_eq!(
            sha256(HTMX),
            "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"
        );
    }

    #[test]
    fn a_file_is_sent_once_and_again_only_when_it_changed() {
        let first = file(&HeaderMap::new(), "text/css", STYLE);
        let tag = first.headers()[header::ETAG].clone();

        let same = file(&HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]), "x", STYLE);
        let changed = file(&HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]), "x", SCRIPT);

        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(changed.status(), StatusCode::OK);
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
