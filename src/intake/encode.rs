//! Writes events as CloudEvents, for the command line and for Loa's own alarms.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::model::event::EventKey;

/// An event to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outgoing {
    /// Its type.
    pub event_type: String,
    /// Source and id.
    pub key: Option<EventKey>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// Nothing is due before this.
    pub not_before: Option<Timestamp>,
    /// Only this address may get a message of it.
    pub only: Option<String>,
    /// What the publisher wants to see on status events.
    pub correlation_id: Option<String>,
    /// Its data.
    pub data: Value,
}

/// The media type of what [`structured`] writes.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The event as one JSON object (CloudEvents 1.0, structured mode).
pub fn structured(event: &Outgoing) -> String {
    let mut members = Map::new();
    let mut put = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            members.insert(name.to_owned(), Value::String(text));
        }
    };
    put("specversion", Some("1.0".to_owned()));
    put("type", Some(event.event_type.clone()));
    put("source", event.key.as_ref().map(|key| key.source.clone()));
    put("id", event.key.as_ref().map(|key| key.id.clone()));
    put("time", event.time.map(|time| time.to_string()));
    put("notbefore", event.not_before.map(|time| time.to_string()));
    put("only", event.only.clone());
    put("correlationid", event.correlation_id.clone());
    put("datacontenttype", Some("application/json".to_owned()));
    members.insert("data".to_owned(), event.data.clone());
    Value::Object(members).to_string()
}
