//! The attributes of an event, whichever way they are written, before anything is made of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::catalogue::Catalogue;
use crate::model::event::{Arrival, Properties, Rejection};

use super::json::{read, undecodable};

/// What an arrival says of itself; places are where each thing stands in it.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) event_type: Option<String>,
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) time: Option<String>,
    pub(super) not_before: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) only: Option<String>,
    pub(super) data: Value,
    /// Where the data stands: `/data`, as people call it even where it is the whole body, or where
    /// the type's mapping has it.
    pub(super) data_place: String,
    /// How attributes are written here: `/` for JSON members, `header ce-` and so on.
    pub(super) prefix: &'static str,
    /// Whether the publisher has to give an id: CloudEvents say so.
    pub(super) must_have_id: bool,
    /// Whether only the routing key named the type.
    pub(super) is_named_by_routing_key: bool,
}

impl Attributes {
    /// Where an attribute stands, for people.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Reads what `arrival` says of itself.
///
/// # Errors
/// A rejection that names the header, the line and column, or the pointer.
pub(super) fn read_attributes(
    arrival: &Arrival,
    catalogue: &Catalogue,
) -> Result<Attributes, Box<Rejection>> {
    let properties = &arrival.properties;
    let content_type = properties.content_type.as_deref().unwrap_or("application/json");
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    if !is_json(&media_type) {
        let said = media_type.escape_debug();
        let message = format!("`{said}` is not JSON; send application/cloudevents+json or JSON");
        return Err(undecodable("header content-type", message));
    }
    if media_type == "application/cloudevents+json" {
        return structured(read(&arrival.bytes)?);
    }
    if let Some((prefix, header)) = binary_prefix(properties) {
        return binary(arrival, prefix, header);
    }
    let body = read(&arrival.bytes)?;
    if media_type == BATCH && body.is_array() {
        let message = "a batch is taken over HTTP only; publish one event a message";
        return Err(undecodable("body", message));
    }
    match body.get("specversion").is_some() {
        true => structured(body),
        false => plain(body, properties, catalogue),
    }
}

/// The source of an event whose publisher does not say who it is.
const UNKNOWN: &str = "unknown";

/// The media type of several events in one body.
const BATCH: &str = "application/cloudevents-batch+json";

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "text/json" | "application/octet-stream")
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// How binary mode writes its attributes here, if it is used (CloudEvents AMQP and HTTP bindings).
fn binary_prefix(properties: &Properties) -> Option<(&'static str, &'static str)> {
    let prefixes = [
        ("cloudevents:", "header cloudEvents:"),
        ("cloudevents_", "header cloudEvents_"),
        ("ce-", "header ce-"),
    ];
    // Any of the attributes that every event has: one that lacks another is told so.
    let is_used = |prefix: &str| {
        let names = ["specversion", "type", "source", "id"];
        names.iter().any(|name| properties.headers.contains_key(&format!("{prefix}{name}")))
    };
    prefixes.into_iter().find(|(prefix, _)| is_used(prefix))
}

fn binary(
    arrival: &Arrival,
    prefix: &'static str,
    place: &'static str,
) -> Result<Attributes, Box<Rejection>> {
    let headers = &arrival.properties.headers;
    let get = |name: &str| {
        let text = headers.get(&format!("{prefix}{name}"))?;
        // The HTTP binding writes what is no ASCII as percent-encoded UTF-8, AMQP as it is.
        Some(if prefix == "ce-" { percent_decoded(text) } else { text.clone() })
    };
    let data = match arrival.bytes.is_empty() {
        true => Value::Null,
        false => read(&arrival.bytes)?,
    };
    let attributes = Attributes {
        event_type: get("type"),
        source: get("source"),
        id: get("id"),
        time: get("time"),
        not_before: get("notbefore"),
        correlation_id: get("correlationid"),
        traceparent: get("traceparent").or_else(|| headers.get("traceparent").cloned()),
        only: get("only"),
        data,
        data_place: "/data".to_owned(),
        prefix: place,
        must_have_id: true,
        is_named_by_routing_key: false,
    };
    expect_version(get("specversion").as_deref(), &attributes.place("specversion"))?;
    Ok(attributes)
}

/// The text with `%41` read as `A`; what is not encoded so, or no UTF-8 then, stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let encoded =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        let (byte, left) = match encoded.filter(|_| byte == b'%') {
            Some(decoded) => (decoded, &after[2..]),
            None => (byte, after),
        };
        bytes.push(byte);
        rest = left;
    }
    let decoded = String::from_utf8(bytes).ok().filter(|decoded| !decoded.contains('\0'));
    decoded.unwrap_or_else(|| text.to_owned())
}

fn structured(body: Value) -> Result<Attributes, Box<Rejection>> {
    let Value::Object(members) = body else {
        return Err(undecodable("/", "expected one JSON object: a CloudEvents 1.0 event"));
    };
    let (attributes, version) = envelope(members)?;
    expect_version(version.as_deref(), "/specversion")?;
    Ok(attributes)
}

/// The attributes that stand beside the data, and the version of CloudEvents.
fn envelope(
    mut members: Map<String, Value>,
) -> Result<(Attributes, Option<String>), Box<Rejection>> {
    if members.contains_key("data_base64") {
        let message = "binary data is not understood; write the data as JSON in `data`";
        return Err(undecodable("/data_base64", message));
    }
    let data = members.remove("data").unwrap_or(Value::Null);
    let mut texts = BTreeMap::new();
    for name in [
        "specversion",
        "type",
        "source",
        "id",
        "time",
        "notbefore",
        "correlationid",
        "traceparent",
        "only",
    ] {
        match members.remove(name) {
            Some(Value::String(text)) => {
                texts.insert(name, text);
            }
            None | Some(Value::Null) => {}
            Some(_) => return Err(undecodable(&format!("/{name}"), "expected a text")),
        }
    }
    let version = texts.remove("specversion");
    let attributes = Attributes {
        event_type: texts.remove("type"),
        source: texts.remove("source"),
        id: texts.remove("id"),
        time: texts.remove("time"),
        not_before: texts.remove("notbefore"),
        correlation_id: texts.remove("correlationid"),
        traceparent: texts.remove("traceparent"),
        only: texts.remove("only"),
        data,
        data_place: "/data".to_owned(),
        prefix: "/",
        must_have_id: true,
        is_named_by_routing_key: false,
    };
    Ok((attributes, version))
}

fn expect_version(version: Option<&str>, place: &str) -> Result<(), Box<Rejection>> {
    match version {
        Some("1.0") => Ok(()),
        Some(other) => {
            let message = format!("CloudEvents version `{other}` is not understood; expected 1.0");
            Err(undecodable(place, message))
        }
        None => Err(undecodable(place, "missing; a CloudEvents event says `1.0` here")),
    }
}

/// Whether a body is an envelope: an object with the text `type` beside `data`.
pub(super) fn is_envelope(members: &Map<String, Value>) -> bool {
    members.get("type").is_some_and(Value::is_string) && members.contains_key("data")
}

/// An envelope that is none of CloudEvents: what it leaves out stands in the properties, or is made
/// up.
fn plain_envelope(
    members: Map<String, Value>,
    properties: &Properties,
) -> Result<Attributes, Box<Rejection>> {
    let (mut attributes, _) = envelope(members)?;
    attributes.source = attributes.source.or_else(|| Some(source(properties)));
    attributes.id = attributes.id.or_else(|| properties.message_id.clone());
    attributes.time = attributes.time.or(properties.timestamp.map(|time| time.to_string()));
    attributes.must_have_id = false;
    Ok(attributes)
}

/// Where an event comes from that does not say it itself.
fn source(properties: &Properties) -> String {
    let source = properties.app_id.as_ref().or(properties.exchange.as_ref());
    source.filter(|source| !source.is_empty()).map_or_else(|| UNKNOWN.to_owned(), Clone::clone)
}

/// A plain JSON body: everything else stands in the properties, or where the catalogue maps it.
fn plain(
    body: Value,
    properties: &Properties,
    catalogue: &Catalogue,
) -> Result<Attributes, Box<Rejection>> {
    let routing_key = properties.routing_key.as_deref().unwrap_or_default();
    let known = properties.kind.as_deref().filter(|kind| catalogue.find(kind).is_some());
    let mapped = catalogue.find_mapped(routing_key).filter(|_| known.is_none());
    let is_named = properties.kind.is_some() || catalogue.find(routing_key).is_some();
    if let Value::Object(members) = &body
        && !is_named
        && mapped.is_none()
        && is_envelope(members)
    {
        return plain_envelope(members.clone(), properties);
    }
    let mut attributes = Attributes {
        event_type: properties.kind.clone().or_else(|| properties.routing_key.clone()),
        source: Some(source(properties)),
        id: properties.message_id.clone(),
        time: properties.timestamp.map(|time| time.to_string()),
        not_before: properties.headers.get("notbefore").cloned(),
        correlation_id: properties.correlation_id.clone(),
        traceparent: properties.headers.get("traceparent").cloned(),
        only: properties.headers.get("only").cloned(),
        data: Value::Null,
        data_place: "/data".to_owned(),
        prefix: "property ",
        must_have_id: false,
        is_named_by_routing_key: properties.kind.is_none() && properties.routing_key.is_some(),
    };
    let Some((event_type, mapping)) =
        mapped.and_then(|found| Some((found, found.mapping.as_ref()?)))
    else {
        attributes.data = body;
        return Ok(attributes);
    };
    attributes.event_type = Some(event_type.name.to_string());
    let at = |pointer: &Option<String>| pointer.as_ref().and_then(|at| body.pointer(at));
    attributes.id = at(&mapping.id).and_then(as_text).or(attributes.id);
    attributes.time = at(&mapping.time).and_then(as_text).or(attributes.time);
    attributes.data = match &mapping.data {
        None => body,
        Some(pointer) => match body.pointer(pointer) {
            Some(data) => {
                attributes.data_place.clone_from(pointer);
                data.clone()
            }
            None => {
                return Err(undecodable(pointer, "missing; the type's mapping has its data here"));
            }
        },
    };
    Ok(attributes)
}

/// A text or number as text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
