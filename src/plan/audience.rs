//! Reads whom an event is about, as questions to the directory.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::model::address::{Address, AddressError};
use crate::model::audience::{AudienceQuery, InlineRecipient};
use crate::model::bounds::{check_locale, check_name, check_time_zone};
use crate::model::catalogue::{Audience, EventType};
use crate::model::event::{Event, RejectReason, Rejection};
use crate::model::id::{ContactId, PartnerId, SegmentName};

/// Where an event names or describes its recipients.
const RECIPIENTS: &str = "/recipients";

/// The questions that `audience` of `event` asks; `region` is that of national phone numbers.
pub(super) fn queries(
    event: &Event,
    event_type: &EventType,
    audience: &Audience,
    region: &str,
) -> Result<Vec<AudienceQuery>, Box<Rejection>> {
    let query = match audience {
        Audience::Recipients => return recipients(event, region),
        Audience::Partner { duties } => {
            AudienceQuery::Partner { partner: partner(event, event_type)?, duties: duties.clone() }
        }
        Audience::Manager => AudienceQuery::Manager(partner(event, event_type)?),
        Audience::Superior => AudienceQuery::Superior(partner(event, event_type)?),
        Audience::Team(name) => AudienceQuery::Team(name.clone()),
        Audience::Segment(name) => AudienceQuery::Segment(name.clone()),
        Audience::SegmentAt(pointer) => match event.data.pointer(pointer) {
            Some(Value::String(name)) => {
                AudienceQuery::Segment(SegmentName(named(event, name, pointer)?))
            }
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(_) => return Err(unplannable(event, pointer, "expected the name of a segment")),
        },
    };
    Ok(vec![query])
}

fn partner(event: &Event, event_type: &EventType) -> Result<PartnerId, Box<Rejection>> {
    event.partner.clone().ok_or_else(|| {
        let message = "the plan tells people of a partner, and the event names none";
        unplannable(event, event_type.partner.as_deref().unwrap_or_default(), message)
    })
}

/// Reads the event's own list: contacts of the directory, and people described inline.
fn recipients(event: &Event, region: &str) -> Result<Vec<AudienceQuery>, Box<Rejection>> {
    let entries = match event.data.pointer(RECIPIENTS) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(unplannable(event, RECIPIENTS, "expected an array")),
    };
    let mut contacts = Vec::new();
    let mut inline = Vec::new();
    let mut known = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = format!("{RECIPIENTS}/{index}");
        match read_entry(event, entry, &place, region)? {
            Entry::Contact(id) => contacts.push(id),
            Entry::Inline(recipient) => {
                let key = recipient.key().unwrap_or_default();
                let first = known.entry(key).or_insert_with(|| recipient.clone());
                // The same person twice is told once; of two people one would be left out.
                if !first.is_all_of(&recipient) {
                    let member = if recipient.id.is_some() { "/id" } else { "" };
                    let message = "somebody else of this event has the same id or first address";
                    return Err(unplannable(event, &format!("{place}{member}"), message));
                }
                inline.push(recipient);
            }
        }
    }
    let mut queries = Vec::new();
    if !contacts.is_empty() {
        queries.push(AudienceQuery::Contacts(contacts));
    }
    if !inline.is_empty() {
        queries.push(AudienceQuery::Inline(inline));
    }
    Ok(queries)
}

enum Entry {
    Contact(ContactId),
    Inline(InlineRecipient),
}

/// Reads one recipient: a contact's id, a plain address, or an object that describes a person.
fn read_entry(
    event: &Event,
    entry: &Value,
    place: &str,
    region: &str,
) -> Result<Entry, Box<Rejection>> {
    match entry {
        Value::String(text) => read_text(event, text, place, region),
        Value::Object(fields) => match fields.get("contact") {
            Some(Value::String(id)) => {
                let id = named(event, id, &format!("{place}/contact"))?;
                Ok(Entry::Contact(ContactId(id)))
            }
            _ => read_person(event, fields, place, region).map(Entry::Inline),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(unplannable(
            event,
            place,
            "expected a contact's id, an address, or an object with a name and addresses",
        )),
    }
}

fn read_text(
    event: &Event,
    text: &str,
    place: &str,
    region: &str,
) -> Result<Entry, Box<Rejection>> {
    let address = if text.contains('@') {
        Address::email(text)
    } else if text.starts_with('+') {
        Address::phone(text, region)
    } else {
        return Ok(Entry::Contact(ContactId(named(event, text, place)?)));
    };
    let address = address.map_err(|error| unplannable(event, place, &error.to_string()))?;
    Ok(Entry::Inline(InlineRecipient { addresses: vec![address], ..InlineRecipient::default() }))
}

/// Whether a text is what its member needs.
type Check = fn(&str) -> Result<(), &'static str>;
type Reader<'a> = &'a dyn Fn(&str) -> Result<Address, AddressError>;

fn read_person(
    event: &Event,
    fields: &Map<String, Value>,
    place: &str,
    region: &str,
) -> Result<InlineRecipient, Box<Rejection>> {
    let text = |key: &str| {
        let text = fields.get(key).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let readers: [(&str, Reader<'_>); 3] = [
        ("email", &Address::email),
        ("phone", &|text| Address::phone(text, region)),
        ("chat", &Address::chat),
    ];
    let mut addresses = Vec::new();
    for (key, read) in readers {
        if let Some(text) = text(key) {
            let fault = |error: AddressError| {
                unplannable(event, &format!("{place}/{key}"), &error.to_string())
            };
            addresses.push(read(&text).map_err(fault)?);
        }
    }
    let named = |key: &str| {
        let text = text(key);
        text.map(|text| named(event, &text, &format!("{place}/{key}"))).transpose()
    };
    let checked = |key: &str, check: Check| match text(key) {
        Some(text) => match check(&text) {
            Ok(()) => Ok(Some(text)),
            Err(fault) => Err(unplannable(event, &format!("{place}/{key}"), fault)),
        },
        None => Ok(None),
    };
    let recipient = InlineRecipient {
        id: named("id")?,
        name: named("name")?,
        addresses,
        locale: checked("locale", check_locale)?,
        time_zone: checked("time_zone", check_time_zone)?,
    };
    if recipient.id.is_none() && recipient.name.is_none() && recipient.addresses.is_empty() {
        let message = "a recipient needs an id, a name or an address (email, phone, chat)";
        return Err(unplannable(event, place, message));
    }
    Ok(recipient)
}

/// A text that deliveries are looked up by, if it is one that a store can index.
fn named(event: &Event, text: &str, pointer: &str) -> Result<String, Box<Rejection>> {
    check_name(text).map_err(|fault| unplannable(event, pointer, &fault))?;
    Ok(text.to_owned())
}

fn unplannable(event: &Event, pointer: &str, message: &str) -> Box<Rejection> {
    let place = Some(format!("/data{pointer}"));
    super::rejection(event, RejectReason::Unplannable, place, message.to_owned())
}
