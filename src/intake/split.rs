//! Takes an array of events apart, each with its own bytes.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::model::event::Rejection;

use super::json::undecodable;

/// The elements of a top-level array, or `None` for a body that is no array.
///
/// # Errors
/// A rejection that names line and column of an array that is no JSON.
pub fn split_batch(body: &Bytes) -> Option<Result<Vec<Bytes>, Box<Rejection>>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first != b'[' {
        return None;
    }
    Some(split(body))
}

fn split(body: &Bytes) -> Result<Vec<Bytes>, Box<Rejection>> {
    let elements: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        let place = format!("body line {} column {}", error.line(), error.column());
        undecodable(&place, format!("not a JSON array: {error}"))
    })?;
    Ok(elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_taken_apart_and_keeps_the_bytes_of_each_element() {
        let body = Bytes::from_static(b" [ {\"a\": 1} , {\"b\":[2]} ]");

        let parts = split_batch(&body).unwrap().unwrap();

        assert_eq!(parts, [&b"{\"a\": 1}"[..], &b"{\"b\":[2]}"[..]]);
    }

    #[test]
    fn an_object_is_no_batch() {
        assert!(split_batch(&Bytes::from_static(b"{}")).is_none());
    }
}
