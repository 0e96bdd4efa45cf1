//! Makes an event of an arrival.

use std::sync::Arc;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};

use crate::model::bounds::MAX_NAME;
use crate::model::catalogue::{Catalogue, EventType};
use crate::model::data::Data;
use crate::model::event::{Arrival, Digest, Event, EventKey, RejectReason, Rejection};
use crate::model::id::{EventId, EventTypeName};

use super::attributes::{Attributes, as_text, read_attributes};
use super::json::undecodable;
use super::schema::Schemas;

/// Reads arrivals by a catalogue.
#[derive(Debug)]
pub struct Decoder {
    catalogue: Arc<Catalogue>,
    schemas: Schemas,
    max_bytes: u64,
}

impl Decoder {
    /// A decoder that refuses events above `max_bytes`.
    ///
    /// # Errors
    /// The type and fault of a schema that does not compile.
    pub fn new(catalogue: Arc<Catalogue>, max_bytes: u64) -> Result<Self, String> {
        let schemas = Schemas::compile(&catalogue)?;
        Ok(Self { catalogue, schemas, max_bytes })
    }

    /// Makes an event of `arrival`.
    ///
    /// # Errors
    /// A rejection that names the place and what was expected there.
    pub fn decode(&self, arrival: &Arrival, now: Timestamp) -> Result<Event, Box<Rejection>> {
        if arrival.bytes.len() as u64 > self.max_bytes {
            let (size, most) = (arrival.bytes.len(), self.max_bytes);
            return Err(Box::new(Rejection {
                reason: RejectReason::TooLarge,
                ..*undecodable("body", format!("{size} bytes; the limit is {most} bytes"))
            }));
        }
        let mut attributes = read_attributes(arrival, &self.catalogue)?;
        let made = self.make(&mut attributes, arrival, now);
        made.map_err(|rejection| told_by(&attributes, rejection))
    }

    fn make(
        &self,
        attributes: &mut Attributes,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<Event, Box<Rejection>> {
        let event_type = self.known_type(attributes)?;
        if let Some(misfit) = self.schemas.check(&event_type.name, &attributes.data) {
            let place = format!("{}{}", attributes.data_place, misfit.pointer);
            return Err(Box::new(Rejection {
                reason: RejectReason::Schema,
                ..*undecodable(&place, misfit.message)
            }));
        }
        let (key, key_is_derived) = key(attributes, event_type, arrival)?;
        let at = |pointer: &Option<String>| {
            let Some(pointer) = pointer else { return Ok(None) };
            let text = attributes.data.pointer(pointer).and_then(as_text);
            let place = || format!("{}{pointer}", attributes.data_place);
            text.map(|text| bounded(place, text)).transpose()
        };
        let correlation_id =
            attributes.correlation_id.as_ref().or(arrival.properties.correlation_id.as_ref());
        let correlation_id = correlation_id
            .map(|text| bounded(|| attributes.place("correlationid"), text.clone()))
            .transpose()?;
        let business_key = at(&event_type.business_key)?;
        let partner = at(&event_type.partner)?.map(Into::into);
        let data = Data::new(std::mem::take(&mut attributes.data));
        Ok(Event {
            id: EventId::new(now),
            key,
            key_is_derived,
            event_type: event_type.name.clone(),
            time: time(attributes, "time", attributes.time.as_deref())?.unwrap_or(arrival.at),
            received_at: arrival.at,
            not_before: time(attributes, "notbefore", attributes.not_before.as_deref())?,
            business_key,
            partner,
            correlation_id,
            traceparent: attributes.traceparent.take().filter(|text| can_be_kept(text)),
            only: attributes.only.take(),
            digest: digest_of(event_type, &data),
            data,
            transport: arrival.transport,
        })
    }

    fn known_type(&self, attributes: &Attributes) -> Result<&EventType, Box<Rejection>> {
        let place = match attributes.is_named_by_routing_key {
            true => "routing key".to_owned(),
            false => attributes.place("type"),
        };
        let Some(name) = attributes.event_type.as_deref().filter(|name| !name.is_empty()) else {
            let message = "missing; name a type of the catalogue, here or as `type` beside `data` in the body";
            return Err(undecodable(&place, message));
        };
        self.catalogue.find(name).ok_or_else(|| {
            let shown = name.chars().filter(|letter| !letter.is_control());
            let name: String = shown.take(100).collect();
            let message =
                format!("`{name}` is no type of the catalogue; see `loa event-types list`");
            let reason = RejectReason::UnknownType;
            Box::new(Rejection { reason, ..*undecodable(&place, message) })
        })
    }
}

/// The event's key: the publisher's, one built by the type's pointers, or one of its bytes.
fn key(
    attributes: &Attributes,
    event_type: &EventType,
    arrival: &Arrival,
) -> Result<(EventKey, bool), Box<Rejection>> {
    let Some(source) = attributes.source.clone().filter(|source| !source.is_empty()) else {
        let place = attributes.place("source");
        return Err(undecodable(&place, "missing; say which system the event comes from"));
    };
    let given = attributes.id.clone().filter(|id| !id.is_empty());
    let built = || {
        let parts = event_type.id_from.iter();
        let parts: Option<Vec<String>> =
            parts.map(|pointer| attributes.data.pointer(pointer).and_then(as_text)).collect();
        let parts = parts.filter(|parts| !parts.is_empty())?;
        Some(format!("{}:{}", event_type.name, parts.join("/")))
    };
    let (id, is_derived) = match given.or_else(built) {
        Some(id) => (id, false),
        None if attributes.must_have_id => {
            let place = attributes.place("id");
            return Err(undecodable(&place, "missing; give each event of a source its own id"));
        }
        // Of the type too: one body may mean several things, by the routing key it came with.
        None => (format!("sha256:{}", hex(&event_type.name, &arrival.bytes)), true),
    };
    let source = bounded(|| attributes.place("source"), source)?;
    let id = bounded(|| attributes.place("id"), id)?;
    Ok((EventKey { source, id }, is_derived))
}

/// Refuses a text that a store cannot index, or not keep at all: headers may hold what JSON here
/// may not.
fn bounded(place: impl FnOnce() -> String, text: String) -> Result<String, Box<Rejection>> {
    if text.contains('\0') {
        let message = "holds the character U+0000, which cannot be kept";
        return Err(undecodable(&place(), message));
    }
    match text.len() > MAX_NAME {
        false => Ok(text),
        true => Err(undecodable(&place(), format!("longer than {MAX_NAME} bytes"))),
    }
}

/// Whether a store can keep a text beside what it is about.
fn can_be_kept(text: &str) -> bool {
    text.len() <= MAX_NAME && !text.contains('\0')
}

/// Adds type and key to a rejection, as far as they could be read and can be kept.
fn told_by(attributes: &Attributes, mut rejection: Box<Rejection>) -> Box<Rejection> {
    let short = |text: &Option<String>| text.clone().filter(|text| can_be_kept(text));
    let key = short(&attributes.source).zip(short(&attributes.id));
    rejection.event_type = short(&attributes.event_type);
    rejection.key = key.map(|(source, id)| EventKey { source, id });
    rejection
}

fn time(
    attributes: &Attributes,
    name: &str,
    text: Option<&str>,
) -> Result<Option<Timestamp>, Box<Rejection>> {
    let Some(text) = text else { return Ok(None) };
    // Whole microseconds, as stores keep them.
    let moment = text
        .parse::<Timestamp>()
        .ok()
        .and_then(|moment| Timestamp::from_microsecond(moment.as_microsecond()).ok());
    moment.map(Some).ok_or_else(|| {
        let message = "not a time; expected RFC 3339 such as 2026-12-24T09:00:00+07:00";
        undecodable(&attributes.place(name), message)
    })
}

/// Digest of type and data, whatever the order of members.
fn digest_of(event_type: &EventType, data: &Data) -> Digest {
    let mut digest = Context::new(&SHA256);
    digest.update(event_type.name.as_str().as_bytes());
    digest.update(b"\n");
    digest.update(data.text().as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    Digest(bytes)
}

fn hex(event_type: &EventTypeName, bytes: &[u8]) -> String {
    let mut digest = Context::new(&SHA256);
    digest.update(event_type.as_str().as_bytes());
    digest.update(b"\n");
    digest.update(bytes);
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    let digest = digest.finish();
    digest.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
