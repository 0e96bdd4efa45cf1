//! Turns what RabbitMQ delivers into an arrival, and an arrival's properties into RabbitMQ's.

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use serde_json::Value;

use crate::model::event::{Arrival, Properties, Transport};

/// How one text property is set.
type Set = fn(BasicProperties, ShortString) -> BasicProperties;

/// The arrival of a delivery.
pub(super) fn arrival(delivery: Delivery, now: Timestamp) -> Arrival {
    let Delivery { exchange, routing_key, properties, data, .. } = delivery;
    Arrival {
        bytes: Bytes::from(data),
        properties: read(&properties, &exchange, &routing_key),
        transport: Transport::Amqp,
        at: now,
    }
}

fn read(from: &BasicProperties, exchange: &ShortString, routing_key: &ShortString) -> Properties {
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| clean(text.as_str()));
    let headers = from.headers().iter().flat_map(FieldTable::inner);
    Properties {
        content_type: text(from.content_type()),
        kind: text(from.kind()),
        message_id: text(from.message_id()),
        app_id: text(from.app_id()),
        correlation_id: text(from.correlation_id()),
        timestamp: from.timestamp().and_then(moment),
        exchange: Some(clean(exchange.as_str())),
        routing_key: Some(clean(routing_key.as_str())),
        headers: headers
            .map(|(name, value)| (clean(name.as_str()).to_lowercase(), header(value)))
            .collect(),
    }
}

/// The text without NUL characters, which a store cannot keep.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// AMQP says seconds; some clients write milliseconds, which no time of seconds can be.
fn moment(number: u64) -> Option<Timestamp> {
    let number = i64::try_from(number).ok()?;
    Timestamp::from_second(number).or_else(|_| Timestamp::from_millisecond(number)).ok()
}

/// A header's value as text: scalars as they are written, tables and lists as JSON.
fn header(value: &AMQPValue) -> String {
    match json(value) {
        Value::String(text) => text,
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(*value),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => Value::from(format!("{}e-{}", value.value, value.scale)),
        AMQPValue::ShortString(text) => Value::from(clean(text.as_str())),
        AMQPValue::LongString(text) => Value::from(clean(&text.to_string())),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::Timestamp(number) => {
            moment(*number).map_or(Value::from(*number), |at| Value::from(at.to_string()))
        }
        AMQPValue::FieldTable(table) => {
            let members = table.inner().iter();
            members.map(|(name, value)| (clean(name.as_str()), json(value))).collect()
        }
        AMQPValue::ByteArray(bytes) => {
            Value::from(clean(&String::from_utf8_lossy(bytes.as_slice())))
        }
        AMQPValue::Void => Value::Null,
    }
}

/// The same properties for publishing; always persistent.
///
/// # Errors
/// The name of a property that is longer than AMQP's 255 bytes.
pub(super) fn write(from: &Properties) -> Result<BasicProperties, String> {
    let mut to = BasicProperties::default().with_delivery_mode(2);
    let texts: [(&str, &Option<String>, Set); 5] = [
        ("content_type", &from.content_type, BasicProperties::with_content_type),
        ("type", &from.kind, BasicProperties::with_type),
        ("message_id", &from.message_id, BasicProperties::with_message_id),
        ("app_id", &from.app_id, BasicProperties::with_app_id),
        ("correlation_id", &from.correlation_id, BasicProperties::with_correlation_id),
    ];
    for (name, text, set) in texts {
        if let Some(text) = text {
            to = set(to, short(name, text)?);
        }
    }
    if let Some(at) = from.timestamp {
        to = to.with_timestamp(u64::try_from(at.as_second()).unwrap_or(0));
    }
    if !from.headers.is_empty() {
        let mut table = FieldTable::default();
        for (name, text) in &from.headers {
            let text = AMQPValue::LongString(LongString::from(text.as_str()));
            table.insert(short("header name", name)?, text);
        }
        to = to.with_headers(table);
    }
    Ok(to)
}

/// A short text of AMQP.
///
/// # Errors
/// A sentence that names `what` is too long.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text)
        .map_err(|_| format!("the {what} has {} bytes; AMQP takes 255 at most", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_sort_become_text_by_lower_case_name() {
        let mut inner = FieldTable::default();
        inner.insert("count".into(), AMQPValue::LongLongInt(2));
        let mut table = FieldTable::default();
        table.insert("cloudEvents:Type".into(), AMQPValue::LongString("order.delayed".into()));
        table.insert("urgent".into(), AMQPValue::Boolean(true));
        table.insert("at".into(), AMQPValue::Timestamp(1_800_000_000));
        table.insert("x-death".into(), AMQPValue::FieldTable(inner));
        table.insert("nul".into(), AMQPValue::LongString("a\0b".into()));
        let properties = BasicProperties::default().with_headers(table);

        let headers = read(&properties, &"shop".into(), &"order.delayed".into()).headers;

        assert_eq!(headers["cloudevents:type"], "order.delayed");
        assert_eq!(headers["urgent"], "true");
        assert_eq!(headers["at"], "2027-01-15T08:00:00Z");
        assert_eq!(headers["x-death"], r#"{"count":2}"#);
        assert_eq!(headers["nul"], "a\u{fffd}b");
    }

    #[test]
    fn a_time_in_milliseconds_is_the_same_time() {
        assert_eq!(moment(1_800_000_000_000), moment(1_800_000_000));
        assert_eq!(moment(u64::MAX), None);
    }

    #[test]
    fn a_text_that_amqp_cannot_take_is_named() {
        let properties = Properties { message_id: Some("x".repeat(256)), ..Properties::default() };

        let fault = write(&properties).unwrap_err();

        assert_eq!(fault, "the message_id has 256 bytes; AMQP takes 255 at most");
    }

    #[test]
    fn what_is_written_reads_back() {
        let properties = Properties {
            content_type: Some("application/json".into()),
            kind: Some("order.delayed".into()),
            message_id: Some("m1".into()),
            app_id: Some("erp".into()),
            correlation_id: Some("c1".into()),
            timestamp: Timestamp::from_second(1_800_000_000).ok(),
            exchange: Some("shop".into()),
            routing_key: Some("order.delayed".into()),
            headers: [("ce-id".to_owned(), "7".to_owned())].into(),
        };

        let written = write(&properties).unwrap();

        assert_eq!(read(&written, &"shop".into(), &"order.delayed".into()), properties);
    }
}
