//! Queries of the API with arbitrary values.

use axum::extract::Query;
use axum::http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::api::PageQuery;
use super::api::deliveries::FilterQuery;

/// The bytes as a cursor, which comes back as it was if it is one.
pub(crate) fn cursor(bytes: &[u8]) {
    let encoded = percent_encode(bytes, NON_ALPHANUMERIC);
    let Some(page) = query::<PageQuery>(&format!("after={encoded}")) else { return };
    if let Ok(Some(cursor)) = page.cursor() {
        let next = super::api::next(true, cursor.at, cursor.id).unwrap_or_default();
        let again = query::<PageQuery>(&format!("after={next}"));
        let again = again.and_then(|page| page.cursor().ok().flatten());
        assert!(again.is_some_and(|again| again.at == cursor.at && again.id == cursor.id));
    }
}

/// The bytes as a whole query.
pub(crate) fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(filter) = query::<FilterQuery>(&text) {
        // Reading says what is wrong, or makes a filter of parsed values.
        drop(filter.read("VN"));
    }
    if let Some(page) = query::<PageQuery>(&text) {
        drop(page.cursor());
    }
}

fn query<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Some(Query::try_from_uri(&uri).ok()?.0)
}
