//! Every way of writing an event, and every fault with its place.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::intake::encode::{Outgoing, structured};
use crate::model::catalogue::{Category, Lane, Mapping, OnUnknown, RetryPolicy};
use crate::model::event::{Properties, Transport};

fn decoder() -> Decoder {
    let event_type = EventType {
        name: "order.delayed".into(),
        description: String::new(),
        category: Category::Transactional,
        lane: Lane::Normal,
        schema: json!({
            "type": "object",
            "required": ["order_id"],
            "properties": { "order_id": { "type": "string" }, "days": { "type": "integer" } }
        }),
        business_key: Some("/order_id".into()),
        partner: Some("/partner_id".into()),
        id_from: vec!["/order_id".into(), "/days".into()],
        mapping: Some(Mapping {
            routing_key: "erp.late".into(),
            id: Some("/doc".into()),
            time: Some("/at".into()),
            data: Some("/payload".into()),
        }),
        effect: None,
        steps: Vec::new(),
        expiry: Duration::from_hours(1),
        retry: RetryPolicy {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(1),
            max_attempts: 1,
        },
        on_unknown: OnUnknown::Retry,
    };
    let types = BTreeMap::from([(event_type.name.clone(), event_type)]);
    Decoder::new(Arc::new(Catalogue { types }), 10_000).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn arrival(bytes: impl Into<Vec<u8>>, properties: Properties) -> Arrival {
    let bytes = Bytes::from(bytes.into());
    Arrival { bytes, properties, transport: Transport::Amqp, at: now() }
}

fn decode(bytes: impl Into<Vec<u8>>, properties: Properties) -> Result<Event, Box<Rejection>> {
    decoder().decode(&arrival(bytes, properties), now())
}

fn fault(bytes: impl Into<Vec<u8>>, properties: Properties) -> (RejectReason, String) {
    let rejection = decode(bytes, properties).unwrap_err();
    (rejection.reason, rejection.place.unwrap())
}

fn cloud_event() -> Value {
    json!({
        "specversion": "1.0", "type": "order.delayed", "source": "shop", "id": "7",
        "time": "2026-11-23T05:00:00Z", "data": { "order_id": "DH1" }
    })
}

fn with(name: &str, value: Value) -> String {
    let mut event = cloud_event();
    event[name] = value;
    event.to_string()
}

#[test]
fn structured_mode_is_read_without_any_property() {
    let event = decode(cloud_event().to_string(), Properties::default()).unwrap();

    assert_eq!(event.key, EventKey { source: "shop".into(), id: "7".into() });
    assert_eq!(event.business_key.as_deref(), Some("DH1"));
    assert_eq!(event.time.to_string(), "2026-11-23T05:00:00Z");
}

#[test]
fn binary_mode_reads_its_headers() {
    for prefix in ["cloudevents:", "cloudevents_", "ce-"] {
        let header = |(name, value): (&str, &str)| (format!("{prefix}{name}"), value.to_owned());
        let headers =
            [("specversion", "1.0"), ("type", "order.delayed"), ("source", "shop"), ("id", "8")];
        let headers = headers.into_iter().map(header).collect();

        let event =
            decode(r#"{"order_id":"DH2"}"#, Properties { headers, ..Properties::default() });

        assert_eq!(event.unwrap().key.id, "8", "{prefix}");
    }
}

#[test]
fn plain_json_takes_type_source_and_id_from_properties() {
    let properties = Properties {
        routing_key: Some("order.delayed".into()),
        app_id: Some("erp".into()),
        message_id: Some("m1".into()),
        ..Properties::default()
    };

    let event = decode(r#"{"order_id":"DH3"}"#, properties).unwrap();

    assert_eq!(event.key, EventKey { source: "erp".into(), id: "m1".into() });
}

#[test]
fn an_envelope_needs_no_more_than_type_and_data() {
    let properties = |routing_key: Option<&str>, app_id: Option<&str>| Properties {
        routing_key: routing_key.map(str::to_owned),
        app_id: app_id.map(str::to_owned),
        ..Properties::default()
    };
    let full = r#"{"type": "order.delayed", "source": "shop", "id": "9",
        "time": "2026-11-23T06:00:00Z", "data": {"order_id": "DH6"}}"#;
    let bare = r#"{"type": "order.delayed", "data": {"order_id": "DH6"}}"#;
    let wrong = r#"{"type": "order.delayed", "data": {"order_id": 6}}"#;

    let full = decode(full, properties(None, None)).unwrap();
    let read = decode(bare, properties(None, None)).unwrap();
    let named = decode(bare, properties(Some("orders"), Some("erp"))).unwrap();

    assert_eq!(full.key, EventKey { source: "shop".into(), id: "9".into() });
    assert_eq!(full.time.to_string(), "2026-11-23T06:00:00Z");
    assert_eq!((read.key.source.as_str(), read.key_is_derived), ("unknown", true));
    assert_eq!(read.business_key.as_deref(), Some("DH6"));
    assert_eq!(named.key.source, "erp");
    assert_eq!(fault(wrong, properties(None, None)).1, "/data/order_id");
}

#[test]
fn data_with_members_of_an_envelope_stays_data_where_the_type_is_said_elsewhere() {
    let body = r#"{"type": "order.delayed", "data": {}, "order_id": "DH7"}"#;
    let properties =
        Properties { routing_key: Some("order.delayed".into()), ..Properties::default() };

    let event = decode(body, properties).unwrap();

    assert_eq!(event.business_key.as_deref(), Some("DH7"));
}

#[test]
fn a_foreign_message_is_mapped_by_its_routing_key() {
    let properties = Properties {
        routing_key: Some("erp.late".into()),
        exchange: Some("erp".into()),
        ..Properties::default()
    };
    let body = r#"{"doc": 42, "at": "2026-11-23T06:00:00Z", "payload": {"order_id": "DH4"}}"#;

    let event = decode(body, properties).unwrap();

    assert_eq!(event.event_type.as_str(), "order.delayed");
    assert_eq!((event.key.source.as_str(), event.key.id.as_str()), ("erp", "42"));
    assert_eq!(event.time.to_string(), "2026-11-23T06:00:00Z");
}

#[test]
fn an_id_is_built_by_pointers_or_derived_from_the_bytes() {
    let properties =
        || Properties { routing_key: Some("order.delayed".into()), ..Properties::default() };

    let built = decode(r#"{"order_id":"DH5","days":2}"#, properties()).unwrap();
    let derived = decode(r#"{"order_id":"DH5"}"#, properties()).unwrap();

    assert_eq!((built.key.id.as_str(), built.key_is_derived), ("order.delayed:DH5/2", false));
    assert!(derived.key_is_derived && derived.key.id.starts_with("sha256:"));
}

#[test]
fn a_derived_id_tells_types_of_one_source_apart() {
    let bytes = br#"{"order_id":"DH5"}"#;

    assert_ne!(hex(&"order.delayed".into(), bytes), hex(&"order.shipped".into(), bytes));
}

#[test]
fn the_order_of_members_does_not_change_the_digest() {
    let one = with("data", json!({"order_id": "DH1", "days": 1}));
    let other = one.replace(r#""days":1,"order_id":"DH1""#, r#""order_id":"DH1","days":1"#);

    let digest = |text: String| decode(text, Properties::default()).unwrap().digest;

    assert_eq!(digest(one), digest(other));
}

#[test]
fn every_fault_names_its_place() {
    let none = Properties::default;
    let undecodable = |place: &str| (RejectReason::Undecodable, place.to_owned());
    let deep = "[".repeat(100);
    let content_type = Properties { content_type: Some("text/csv".into()), ..none() };

    let binary = |name: &str| {
        let headers = [(format!("ce-{name}"), "1.0".to_owned())].into();
        fault("{}", Properties { headers, ..none() })
    };
    let batch =
        Properties { content_type: Some("application/cloudevents-batch+json".into()), ..none() };

    assert_eq!(binary("id"), undecodable("header ce-specversion"));
    assert_eq!(binary("specversion"), undecodable("header ce-type"));
    assert_eq!(fault("[]", batch), undecodable("body"));
    let cloud_events =
        || Properties { content_type: Some("application/cloudevents+json".into()), ..none() };
    let plain = r#"{"type":"order.delayed","data":{}}"#;
    assert_eq!(fault(plain, cloud_events()), undecodable("/specversion"));
    assert_eq!(fault(r#"{"data":{}}"#, none()), undecodable("property type"));
    assert_eq!(fault("{\"a\":1,\n\"a\":2}", none()), undecodable("body line 2 column 3"));
    assert_eq!(
        fault(r#"{"a":18446744073709551616}"#, none()),
        undecodable("body line 1 column 25")
    );
    assert_eq!(fault(r#"{"a":"\u0000"}"#, none()), undecodable("body line 1 column 13"));
    assert_eq!(fault(with("id", json!("x".repeat(513))), none()), undecodable("/id"));
    let long_key = json!({"order_id": "x".repeat(513)});
    assert_eq!(fault(with("data", long_key), none()), undecodable("/data/order_id"));
    assert_eq!(fault("{\n  \"a\": }", none()), undecodable("body line 2 column 8"));
    assert_eq!(fault(vec![b'"', 0xff, b'"'], none()), undecodable("body"));
    assert_eq!(fault(deep, none()), undecodable("body"));
    assert_eq!(fault("{}", content_type), undecodable("header content-type"));
    assert_eq!(fault(with("specversion", json!("0.3")), none()), undecodable("/specversion"));
    assert_eq!(fault(with("id", Value::Null), none()), undecodable("/id"));
    assert_eq!(fault(with("source", Value::Null), none()), undecodable("/source"));
    assert_eq!(fault(with("time", json!("yesterday")), none()), undecodable("/time"));
    assert_eq!(fault(with("type", json!(5)), none()), undecodable("/type"));
    let unknown = fault(with("type", json!("order.eaten")), none());
    assert_eq!(unknown, (RejectReason::UnknownType, "/type".to_owned()));
    let schema = fault(with("data", json!({"order_id": 5})), none());
    assert_eq!(schema, (RejectReason::Schema, "/data/order_id".to_owned()));
    let large = fault("x".repeat(10_001), none());
    assert_eq!(large, (RejectReason::TooLarge, "body".to_owned()));
}

#[test]
fn a_misfit_of_mapped_data_is_told_where_the_body_has_it() {
    let properties = Properties { routing_key: Some("erp.late".into()), ..Properties::default() };

    let (_, place) = fault(r#"{"payload":{"order_id":5}}"#, properties);

    assert_eq!(place, "/payload/order_id");
}

#[test]
fn the_content_type_of_structured_mode_beats_headers_of_binary_mode() {
    let headers = [("ce-id".to_owned(), "other".to_owned())].into();
    let content_type = Some("application/cloudevents+json; charset=utf-8".to_owned());
    let properties = Properties { content_type, headers, ..Properties::default() };

    let event = decode(cloud_event().to_string(), properties).unwrap();

    assert_eq!(event.key.id, "7");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = format!("\u{feff}{}", cloud_event());

    assert!(decode(text, Properties::default()).is_ok());
}

#[test]
fn what_is_said_of_a_misfit_holds_no_value_and_nothing_too_long() {
    let secret = "canary-person@example.test";
    let data = json!({"order_id": [secret]});
    let long = "t".repeat(10_000 / 2);

    let misfit = decode(with("data", data), Properties::default()).unwrap_err();
    let unknown = decode(with("type", json!(long)), Properties::default()).unwrap_err();

    assert!(!misfit.message.contains(secret), "{}", misfit.message);
    assert!(misfit.message.contains("string"), "{}", misfit.message);
    assert!(unknown.message.len() < 300 && unknown.event_type.is_none());
}

#[test]
fn a_header_with_a_character_that_no_store_keeps_rejects_its_event() {
    let headers = |id: &str, kind: &str| {
        let pairs = [("specversion", "1.0"), ("type", kind), ("source", "shop"), ("id", id)];
        let pairs = pairs.map(|(name, value)| (format!("ce-{name}"), value.to_owned()));
        Properties { headers: pairs.into(), ..Properties::default() }
    };
    let data = with("data", json!({}));

    for properties in [headers("a%00b", "order.delayed"), headers("a\0b", "order\0delayed")] {
        let rejection = decode(data.clone(), properties).unwrap_err();

        let kept = [rejection.key.map(|key| key.id), rejection.event_type, rejection.place];
        assert!(kept.iter().flatten().all(|text| !text.contains('\0')), "{kept:?}");
        assert!(!rejection.message.contains('\0'), "{}", rejection.message);
    }
}

#[test]
fn a_rejection_tells_type_and_key_as_far_as_they_could_be_read() {
    let text = with("data", json!({}));

    let rejection = decode(text, Properties::default()).unwrap_err();

    assert_eq!(rejection.event_type.as_deref(), Some("order.delayed"));
    assert_eq!(rejection.key, Some(EventKey { source: "shop".into(), id: "7".into() }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(bytes, Properties::default()));
    }

    #[test]
    fn no_json_makes_the_decoder_panic(
        text in r#"[\[\]{}":,0-9a-z\\ .eE+-]{0,60}"#,
        kind in "[a-z.]{0,14}",
    ) {
        let properties = Properties { kind: Some(kind), ..Properties::default() };
        drop(decode(text, properties));
    }

    #[test]
    fn what_is_written_in_any_mode_reads_back(
        id in "\\PC{1,20}",
        source in "\\PC{1,20}",
        order in "\\PC{1,20}",
        seconds in 0_i64..4_000_000_000,
        mode in 0..5_usize,
    ) {
        let outgoing = Outgoing {
            event_type: "order.delayed".into(),
            key: Some(EventKey { source, id }),
            time: Timestamp::from_second(seconds).ok(),
            not_before: Timestamp::from_second(seconds + 60).ok(),
            only: Some("only@example.test".into()),
            correlation_id: Some("c1".into()),
            data: json!({ "order_id": order }),
        };
        let (bytes, properties) = match mode {
            0 => (structured(&outgoing), Properties::default()),
            1 => (outgoing.data.to_string(), binary(&outgoing, "cloudevents:", str::to_owned)),
            2 => (outgoing.data.to_string(), binary(&outgoing, "cloudevents_", str::to_owned)),
            3 => (outgoing.data.to_string(), binary(&outgoing, "ce-", percent_encoded)),
            _ => (outgoing.data.to_string(), plain(&outgoing)),
        };

        let event = decode(bytes, properties).unwrap();

        prop_assert_eq!(Some(event.key), outgoing.key);
        prop_assert_eq!(Some(event.time), outgoing.time);
        prop_assert_eq!(event.not_before, outgoing.not_before);
        prop_assert_eq!(event.only, outgoing.only);
        prop_assert_eq!(event.correlation_id, outgoing.correlation_id);
        prop_assert_eq!(&*event.data, &outgoing.data);
    }
}

/// The attributes of binary mode, each written by `write`.
fn binary(event: &Outgoing, prefix: &str, write: fn(&str) -> String) -> Properties {
    let key = event.key.clone().unwrap();
    let time = |time: Option<Timestamp>| time.unwrap().to_string();
    let attributes = [
        ("specversion", "1.0".to_owned()),
        ("type", event.event_type.clone()),
        ("source", key.source),
        ("id", key.id),
        ("time", time(event.time)),
        ("notbefore", time(event.not_before)),
        ("only", event.only.clone().unwrap()),
        ("correlationid", event.correlation_id.clone().unwrap()),
    ];
    let headers = attributes.map(|(name, text)| (format!("{prefix}{name}"), write(&text)));
    let content_type = Some("application/json".to_owned());
    Properties { content_type, headers: headers.into(), ..Properties::default() }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn plain(event: &Outgoing) -> Properties {
    let key = event.key.clone().unwrap();
    Properties {
        kind: Some(event.event_type.clone()),
        app_id: Some(key.source),
        message_id: Some(key.id),
        timestamp: event.time,
        correlation_id: event.correlation_id.clone(),
        headers: [
            ("notbefore".to_owned(), event.not_before.unwrap().to_string()),
            ("only".to_owned(), event.only.clone().unwrap()),
        ]
        .into(),
        ..Properties::default()
    }
}
