//! Takes an array of events apart, each with its own bytes.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::event::{RejectReason, Rejection};

use super::json::undecodable;

/// The most events of one array: they are planned and committed together.
const MAX_EVENTS: usize = 10_000;

/// The elements of a top-level array, or `None` for a body that is no array.
///
/// # Errors
/// A rejection that names line and column of an array that is no JSON, or one of an array with more
/// elements than are taken at once.
pub fn split_batch(body: &Bytes) -> Option<Result<Vec<Bytes>, Box<Rejection>>> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first != b'[' {
        return None;
    }
    Some(split(body))
}

fn split(body: &Bytes) -> Result<Vec<Bytes>, Box<Rejection>> {
    let Elements(elements) = serde_json::from_slice(body).map_err(|error| {
        let place = format!("body line {} column {}", error.line(), error.column());
        undecodable(&place, format!("not a JSON array: {error}"))
    })?;
    if elements.len() > MAX_EVENTS {
        let message = format!("the array has more than {MAX_EVENTS} events; send it in parts");
        return Err(Box::new(Rejection {
            reason: RejectReason::TooLarge,
            ..*undecodable("body", message)
        }));
    }
    Ok(elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect())
}

/// The elements of an array, of a long one only the first, and one more than are taken.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor).map(Self)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<&RawValue>()? {
            if elements.len() <= MAX_EVENTS {
                elements.push(element);
            }
        }
        Ok(elements)
    }
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
    fn a_long_array_is_refused_and_nothing_kept_of_what_is_too_much() {
        let body = |count: usize| Bytes::from(format!("[{}0]", "0,".repeat(count - 1)));

        let most = split_batch(&body(MAX_EVENTS)).unwrap().unwrap();
        let refused = split_batch(&body(1_000_000)).unwrap().unwrap_err();

        assert_eq!(most.len(), MAX_EVENTS);
        assert_eq!(refused.reason, RejectReason::TooLarge);
        assert!(refused.message.contains("send it in parts"), "{}", refused.message);
    }

    #[test]
    fn an_object_is_no_batch() {
        assert!(split_batch(&Bytes::from_static(b"{}")).is_none());
    }
}
