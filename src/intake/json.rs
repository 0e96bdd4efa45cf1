//! Reads JSON within bounds, and says where it stops being JSON.

use serde_json::Value;

use crate::model::event::{RejectReason, Rejection};

/// The deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;

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
    serde_json::from_str(text).map_err(|error| {
        let place = format!("body line {} column {}", error.line(), error.column());
        undecodable(&place, format!("not JSON: {error}"))
    })
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
        place: Some(place.to_owned()),
        message: message.into(),
        event_type: None,
        key: None,
    })
}

/// `value` with the members of every object in order, so that equal data has equal text.
pub(super) fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}
