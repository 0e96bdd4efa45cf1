//! The edge: what a request must be like before anything reads it.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::problem::Problem;

/// Refuses what proxies and we might read in two ways, and what grows when it is unpacked.
pub(super) async fn refuse_odd_requests(request: Request, next: Next) -> Response {
    let problem = oddity(request.version(), request.headers());
    match problem.or_else(|| unkeepable(request.uri())) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn oddity(version: Version, headers: &HeaderMap) -> Option<Problem> {
    let count = |name| headers.get_all(name).iter().count();
    let hosts = count(header::HOST);
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Some(Problem::bad_request("Host", "send one Host header"));
    }
    let lengths = count(header::CONTENT_LENGTH);
    if lengths > 1 || (lengths == 1 && headers.contains_key(header::TRANSFER_ENCODING)) {
        return Some(Problem::bad_request("Content-Length", "say once how long the body is"));
    }
    let is_plain = headers.get_all(header::CONTENT_ENCODING).iter().all(|kind| kind == "identity");
    (!is_plain).then(|| {
        let detail = "send the body as it is, without Content-Encoding";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed", detail)
    })
}

/// Refuses an address with the byte 0 in it, which no text of a PostgreSQL can hold.
fn unkeepable(uri: &Uri) -> Option<Problem> {
    let detail = "no text may hold the byte 0 (%00)";
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    if let Some((key, _)) = pairs.find(|(key, value)| key.contains('\0') || value.contains('\0')) {
        return Some(Problem::bad_request(&format!("?{}", key.replace('\0', "")), detail));
    }
    uri.path().contains("%00").then(|| Problem::bad_request("path", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_the_byte_0_in_it_is_refused() {
        let refused = |uri: &'static str| unkeepable(&Uri::from_static(uri)).is_some();

        assert!(refused("/v1/events?source=a%00b"));
        assert!(refused("/v1/events?a%00=b"));
        assert!(refused("/v1/contacts/a%00b"));
        assert!(!refused("/v1/contacts/a%2500b?source=a%2500b&note=%20"));
    }

    fn refused(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        oddity(Version::HTTP_11, &headers).is_some()
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let host = ("host", "loa.test");

        assert!(!refused(&[host]));
        assert!(!refused(&[host, ("content-length", "2"), ("content-encoding", "identity")]));
        assert!(refused(&[]));
        assert!(refused(&[host, ("host", "evil.test")]));
        assert!(refused(&[host, ("content-length", "2"), ("content-length", "2")]));
        assert!(refused(&[host, ("content-length", "2"), ("transfer-encoding", "chunked")]));
    }

    #[test]
    fn a_compressed_body_is_refused_before_it_is_unpacked() {
        for kind in ["gzip", "br", "identity, gzip"] {
            assert!(refused(&[("host", "loa.test"), ("content-encoding", kind)]), "{kind}");
        }
    }
}
