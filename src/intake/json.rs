//! Reads JSON within bounds, and says where it stops being JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::model::event::{RejectReason, Rejection};

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;

/// Whole numbers from here on (2^64) have more digits than are kept.
const MAX_WHOLE: f64 = 18_446_744_073_709_551_616.0;

/// Reads one JSON value.
///
/// # Errors
/// A rejection that names the byte, the line and column, or the depth.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Box<Rejection>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!(
            "byte {} of the body is not UTF-8; write the event as UTF-8 JSON",
            error.valid_up_to()
        );
        undecodable("body", message)
    })?;
    check_depth(bytes)?;
    // Some platforms put a byte order mark in front of everything.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Strict(value) = serde_json::from_str(text).map_err(|error| {
        let place = format!("body line {} column {}", error.line(), error.column());
        let what = if error.is_data() { "not understood" } else { "not JSON" };
        undecodable(&place, format!("{what}: {error}"))
    })?;
    Ok(value)
}

/// A JSON value that means one thing only, whoever reads it.
///
/// Of two members of one name readers keep the first or the last; of a long number they keep the
/// digits they can; a NUL character ends a text or cannot be stored.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // What fits no integer comes here rounded.
        if value.abs() >= MAX_WHOLE && value.fract() == 0.0 {
            return Err(E::custom("a number loses digits beyond 19; write it as a text"));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        match text.contains('\0') {
            false => Ok(Value::String(text)),
            true => Err(E::custom("a text holds the character U+0000, which cannot be kept")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = from.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            if name.contains('\0') {
                return Err(A::Error::custom("a name holds the character U+0000"));
            }
            if members.contains_key(&name) {
                let name: String = name.chars().take(60).collect();
                return Err(A::Error::custom(format_args!("member `{name}` is there twice")));
            }
            let Strict(value) = from.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

/// Refuses deep nesting before anything is built of it.
fn check_depth(bytes: &[u8]) -> Result<(), Box<Rejection>> {
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut escaped = false;
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels at byte {position}");
            return Err(undecodable("body", message));
        }
    }
    Ok(())
}

/// A rejection of bytes that are no event.
pub(super) fn undecodable(place: &str, message: impl Into<String>) -> Box<Rejection> {
    Box::new(Rejection {
        reason: RejectReason::Undecodable,
        place: Some(without_controls(place)),
        message: without_controls(&message.into()),
        event_type: None,
        key: None,
    })
}

/// What publishers wrote may stand in it, NUL among it, which no store can keep.
fn without_controls(text: &str) -> String {
    let visible =
        |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().map(visible).collect()
}
