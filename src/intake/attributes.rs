//! The attributes of an event, whichever way they are written, before anything is made of them.

use std::collections::BTreeMap;

use serde_json::Value;

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
    /// Where `data` stands in the body: `/data`, or nothing for a body that is data as a whole.
    pub(super) data_place: String,
    /// How attributes are written here: `/` for JSON members, `header ce-` and so on.
    pub(super) prefix: &'static str,
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
        let message =
            format!("`{media_type}` is not JSON; send application/cloudevents+json or JSON");
        return Err(undecodable("header content-type", message));
    }
    if let Some((prefix, header)) = binary_prefix(properties) {
        return binary(arrival, prefix, header);
    }
    let body = read(&arrival.bytes)?;
    let is_structured =
        media_type == "application/cloudevents+json" || body.get("specversion").is_some();
    if is_structured { structured(body) } else { plain(body, properties, catalogue) }
}

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
    prefixes
        .into_iter()
        .find(|(prefix, _)| properties.headers.contains_key(&format!("{prefix}specversion")))
}

fn binary(
    arrival: &Arrival,
    prefix: &'static str,
    place: &'static str,
) -> Result<Attributes, Box<Rejection>> {
    let headers = &arrival.properties.headers;
    let get = |name: &str| headers.get(&format!("{prefix}{name}")).cloned();
    let attributes = Attributes {
        event_type: get("type"),
        source: get("source"),
        id: get("id"),
        time: get("time"),
        not_before: get("notbefore"),
        correlation_id: get("correlationid"),
        traceparent: get("traceparent").or_else(|| headers.get("traceparent").cloned()),
        only: get("only"),
        data: read(&arrival.bytes)?,
        data_place: "/data".to_owned(),
        prefix: place,
    };
    expect_version(get("specversion").as_deref(), &attributes.place("specversion"))?;
    Ok(attributes)
}

fn structured(body: Value) -> Result<Attributes, Box<Rejection>> {
    let Value::Object(mut members) = body else {
        return Err(undecodable("/", "expected one JSON object: a CloudEvents 1.0 event"));
    };
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
    expect_version(texts.get("specversion").map(String::as_str), "/specversion")?;
    Ok(Attributes {
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
    })
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

/// A plain JSON body: everything else stands in the properties, or where the catalogue maps it.
fn plain(
    body: Value,
    properties: &Properties,
    catalogue: &Catalogue,
) -> Result<Attributes, Box<Rejection>> {
    let routing_key = properties.routing_key.as_deref().unwrap_or_default();
    let known = properties.kind.as_deref().filter(|kind| catalogue.find(kind).is_some());
    let mapped = catalogue.find_mapped(routing_key).filter(|_| known.is_none());
    let source = properties.app_id.clone().or_else(|| properties.exchange.clone());
    let mut attributes = Attributes {
        event_type: properties.kind.clone().or_else(|| properties.routing_key.clone()),
        source: Some(source.filter(|s| !s.is_empty()).unwrap_or_else(|| "unknown".to_owned())),
        id: properties.message_id.clone(),
        time: properties.timestamp.map(|time| time.to_string()),
        not_before: properties.headers.get("notbefore").cloned(),
        correlation_id: properties.correlation_id.clone(),
        traceparent: properties.headers.get("traceparent").cloned(),
        only: properties.headers.get("only").cloned(),
        data: Value::Null,
        data_place: "/data".to_owned(),
        prefix: "property ",
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
            Some(data) => data.clone(),
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
