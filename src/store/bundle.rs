//! Status events as they lie in the outbox: those of one transaction as one text.
//!
//! The text is `{"version":1,"events":[…]}`, each event with its id, routing key, correlation id
//! and body. It is written and read without anything in between.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::status::StatusEvent;
use crate::store::StoreError;

/// The most status events of one bundle.
const MOST_EVENTS: usize = 500;
/// A bundle that has grown to this many bytes takes no more.
const FULL: usize = 1 << 20;
/// What this version writes and reads.
const VERSION: u32 = 1;

/// A status event as it is written into a bundle.
#[derive(Serialize)]
struct Entry<'a, Body> {
    id: Uuid,
    routing_key: &'a str,
    correlation_id: Option<&'a str>,
    body: Body,
}

/// A bundle as it is read.
#[derive(Deserialize)]
struct Written<'a> {
    version: u32,
    #[serde(borrow)]
    events: Vec<Read<'a>>,
}

/// An entry as it is read: its texts may hold escapes, its body is left as it stands.
#[derive(Deserialize)]
struct Read<'a> {
    id: Uuid,
    routing_key: String,
    correlation_id: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A bundle that is being written.
pub(super) struct OpenBundle {
    text: Vec<u8>,
    count: usize,
}

impl OpenBundle {
    fn new() -> Self {
        Self { text: format!("{{\"version\":{VERSION},\"events\":[").into_bytes(), count: 0 }
    }

    fn is_full(&self) -> bool {
        self.count >= MOST_EVENTS || self.text.len() >= FULL
    }

    /// Its text, and how many status events are in it.
    pub(super) fn end(mut self) -> (String, usize) {
        self.text.extend_from_slice(b"]}");
        // JSON is written as UTF-8.
        (String::from_utf8(self.text).unwrap_or_default(), self.count)
    }
}

/// The bundles of one transaction: mostly one, several if it tells much.
#[derive(Default)]
pub(super) struct OpenBundles(Vec<OpenBundle>);

impl OpenBundles {
    /// Adds a status event.
    pub(super) fn push(
        &mut self,
        id: Uuid,
        routing_key: &str,
        correlation_id: Option<&str>,
        body: &impl Serialize,
    ) {
        if self.0.last().is_none_or(OpenBundle::is_full) {
            self.0.push(OpenBundle::new());
        }
        let Some(open) = self.0.last_mut() else { return };
        let before = open.text.len();
        if open.count > 0 {
            open.text.push(b',');
        }
        let entry = Entry { id, routing_key, correlation_id, body };
        match serde_json::to_writer(&mut open.text, &entry) {
            Ok(()) => open.count += 1,
            // Only maps with keys that are no texts, and numbers without a value, cannot be
            // written.
            Err(_) => open.text.truncate(before),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub(super) fn into_bundles(self) -> impl Iterator<Item = (String, usize)> {
        self.0.into_iter().map(OpenBundle::end)
    }
}

/// Status events as a bundle; they come out of one, so that they fit.
pub(super) fn write(events: &[StatusEvent]) -> Result<(String, usize), StoreError> {
    let mut open = OpenBundle::new();
    for event in events {
        if open.count > 0 {
            open.text.push(b',');
        }
        let body: &RawValue =
            serde_json::from_slice(&event.body).map_err(|error| unreadable(&error))?;
        let (routing_key, correlation_id) = (&*event.routing_key, event.correlation_id.as_deref());
        let entry = Entry { id: event.id, routing_key, correlation_id, body };
        serde_json::to_writer(&mut open.text, &entry).map_err(|error| unreadable(&error))?;
        open.count += 1;
    }
    Ok(open.end())
}

/// The status events of a bundle; their bodies are parts of `text`.
pub(super) fn read(text: String, at: Timestamp) -> Result<Vec<StatusEvent>, StoreError> {
    let whole = Bytes::from(text);
    let written: Written<'_> =
        serde_json::from_slice(&whole).map_err(|error| unreadable(&error))?;
    if written.version != VERSION {
        return Err(StoreError::Broken(format!(
            "status events wait in version {} of a bundle, which this version of Loa does not know",
            written.version
        )));
    }
    let event = |read: Read<'_>| StatusEvent {
        id: read.id,
        routing_key: read.routing_key,
        correlation_id: read.correlation_id,
        at,
        body: whole.slice_ref(read.body.get().as_bytes()),
    };
    Ok(written.events.into_iter().map(event).collect())
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::Broken(format!("a bundle of status events is not what Loa wrote: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts_of(count: usize, body: &serde_json::Value) -> Vec<(String, usize)> {
        let mut bundles = OpenBundles::default();
        for number in 0..count {
            let id = Uuid::from_u128(number as u128);
            bundles.push(id, "status.email.sent.\"ớ\"", Some("a\nb"), body);
        }
        bundles.into_bundles().collect()
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let body = json!({ "a": ["\u{0}", "ớ", 1.5], "b": null });
        let (text, count) = texts_of(3, &body).remove(0);

        let events = read(text.clone(), Timestamp::UNIX_EPOCH).unwrap();

        assert_eq!((events.len(), count), (3, 3));
        assert_eq!(events[2].id, Uuid::from_u128(2));
        assert_eq!(events[1].routing_key, "status.email.sent.\"ớ\"");
        assert_eq!(events[1].correlation_id.as_deref(), Some("a\nb"));
        assert_eq!(events[0].body, body.to_string());
        assert_eq!(write(&events).unwrap(), (text, count));
    }

    #[test]
    fn a_transaction_that_tells_much_fills_several_bundles() {
        let counts = |bundles: Vec<(String, usize)>| -> Vec<usize> {
            bundles.into_iter().map(|(_, count)| count).collect()
        };

        assert_eq!(
            counts(texts_of(2 * MOST_EVENTS + 1, &json!({}))),
            [MOST_EVENTS, MOST_EVENTS, 1]
        );
        let large = json!("x".repeat(FULL / 4));
        assert_eq!(counts(texts_of(5, &large)), [4, 1]);
        assert!(texts_of(0, &large).is_empty());
    }

    #[test]
    fn a_bundle_of_another_version_is_refused() {
        let text = "{\"version\":2,\"events\":[]}".to_owned();

        let refused = read(text, Timestamp::UNIX_EPOCH).unwrap_err();

        assert!(refused.to_string().contains("version 2"), "{refused}");
    }
}
