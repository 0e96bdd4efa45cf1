//! Takes an array of events apart, each with its own bytes.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::event::{RejectReason, Rejection};

use super::json::undecodable;

/// The most events of one array: each costs far more than its bytes until it is committed.
const MAX_EVENTS: usize = 10_000;

/// The elements of a top-level array, or `None` for a body that is no array.
///
/// # Errors
/// A rejection that names line and column of an array that is no JSON, or says that it is too long.
pub fn split_batch(body: &Bytes) -> Option<Result<Vec<Bytes>, Box<Rejection>>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first != b'[' {
        return None;
    }
    Some(split(body))
}

fn split(body: &Bytes) -> Result<Vec<Bytes>, Box<Rejection>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_seq(Elements).and_then(|read| reader.end().map(|()| read));
    let elements = read.map_err(|error| {
        let place = format!("body line {} column {}", error.line(), error.column());
        undecodable(&place, format!("not a JSON array: {error}"))
    })?;
    let Some(elements) = elements else {
        let message = format!("more than {MAX_EVENTS} events in one array; send them in several");
        let rejection = *undecodable("body", message);
        return Err(Box::new(Rejection { reason: RejectReason::TooLarge, ..rejection }));
    };
    Ok(elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
}

/// Keeps the elements of an array, or nothing if there are too many.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = from.next_element()? {
            if elements.len() == MAX_EVENTS {
                while from.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            elements.push(element);
        }
        Ok(Some(elements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_more_events_than_can_be_held_is_too_large() {
        let array = |count: usize| Bytes::from(format!("[0{}]", ",0".repeat(count - 1)));

        let most = split_batch(&array(MAX_EVENTS)).unwrap();
        let more = split_batch(&array(MAX_EVENTS + 1)).unwrap();
        let broken = split_batch(&Bytes::from(format!("[0{}", ",0".repeat(MAX_EVENTS)))).unwrap();

        assert_eq!(most.unwrap().len(), MAX_EVENTS);
        assert_eq!(more.unwrap_err().reason, RejectReason::TooLarge);
        assert_eq!(broken.unwrap_err().reason, RejectReason::Undecodable);
        assert!(split_batch(&Bytes::from_static(b"[0] x")).unwrap().is_err());
    }

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
