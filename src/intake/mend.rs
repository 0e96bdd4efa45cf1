//! A rejected event as somebody mended it: the whole of it, or its data alone.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::attributes::is_envelope;
use super::json::read;

/// What is to be read in the place of the body that `came`.
///
/// Whoever mends an event may write its data alone where that can mean nothing else: what came was
/// an envelope that could be read, and what is written now is none.
pub fn mended(came: &[u8], written: Bytes) -> Bytes {
    let Some(mut envelope) = object(came).filter(looks_whole) else { return written };
    let Some(data) = object(&written).filter(|data| !looks_whole(data)) else { return written };
    envelope.insert("data".to_owned(), Value::Object(data));
    Bytes::from(Value::Object(envelope).to_string())
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match read(bytes) {
        Ok(Value::Object(members)) => Some(members),
        Ok(_) | Err(_) => None,
    }
}

fn looks_whole(members: &Map<String, Value>) -> bool {
    members.contains_key("specversion") || is_envelope(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAME: &str = r#"{"data":{"order_id":7},"id":"7","specversion":"1.0","type":"a.b"}"#;

    fn read_instead(came: &str, written: &str) -> String {
        let read = mended(came.as_bytes(), Bytes::from(written.to_owned()));
        String::from_utf8(read.to_vec()).unwrap()
    }

    #[test]
    fn data_alone_takes_the_place_of_the_data_that_came() {
        let whole = read_instead(CAME, r#"{"order_id":"DH7","type":"late"}"#);
        let plain = read_instead(r#"{"data":7,"type":"a.b"}"#, r#"{"order_id":"DH7"}"#);

        let whole: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(whole["data"], serde_json::json!({ "order_id": "DH7", "type": "late" }));
        assert_eq!((&whole["id"], &whole["specversion"]), (&"7".into(), &"1.0".into()));
        assert_eq!(plain, r#"{"data":{"order_id":"DH7"},"type":"a.b"}"#);
    }

    #[test]
    fn what_may_mean_something_else_stays_as_it_is_written() {
        let broken = r#"{"specversion":"#;
        let mapped = r#"{"doc":7,"payload":{}}"#;
        for (came, written) in [
            (CAME, r#"{"specversion":"1.0","id":"8"}"#),
            (CAME, r#"{"type":"a.b","data":{}}"#),
            (CAME, "{oops"),
            (CAME, "[]"),
            (broken, r#"{"order_id":"DH7"}"#),
            (mapped, r#"{"order_id":"DH7"}"#),
        ] {
            assert_eq!(read_instead(came, written), written, "{came}");
        }
    }
}
