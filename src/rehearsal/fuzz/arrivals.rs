//! Events and rows of the directory, in every way in which they may be written.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::config::{self, Sources};
use crate::intake::roster::{Format, Kind, Roster, rows};
use crate::intake::{Decoder, split_batch};
use crate::model::event::{Arrival, Event, Properties, Rejection, Transport};

/// The most that a rejection says, in bytes: it is kept, listed and logged.
const MOST_SAID: usize = 8 << 10;
const MAX_BYTES: u64 = 64 << 10;
/// The longest text that a store indexes.
const MAX_NAME: usize = 512;

static DECODER: LazyLock<Option<Decoder>> = LazyLock::new(|| {
    let (config, _) = config::read(&Sources::defaults());
    Decoder::new(config.catalogue.into(), MAX_BYTES).ok()
});

/// The first byte chooses the way; headers stand before an empty line, one a line, name first.
pub(super) fn event(bytes: &[u8]) {
    let Some((way, rest)) = bytes.split_first() else { return };
    let (head, body) = match rest.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (rest.get(..at), rest.get(at + 2..)),
        None => (None, Some(rest)),
    };
    let headers = String::from_utf8_lossy(head.unwrap_or_default()).into_owned();
    let body = Bytes::copy_from_slice(body.unwrap_or_default());
    let mut properties = Properties::default();
    match way % 8 {
        0 => properties.content_type = Some("application/cloudevents+json".to_owned()),
        1 => properties.headers = named(&headers, "cloudEvents:"),
        2 => properties.headers = named(&headers, "cloudevents_"),
        3 => properties.headers = named(&headers, "ce-"),
        4 => plain(&mut properties, &headers),
        5 => return batch(&body),
        6 => return roster(&body),
        _ => {
            properties.content_type = headers.lines().next().map(str::to_owned);
            properties.headers = named(&headers, "");
        }
    }
    decode(body, properties);
}

fn decode(bytes: Bytes, properties: Properties) {
    let Some(decoder) = DECODER.as_ref() else { return };
    let at = Timestamp::UNIX_EPOCH;
    let arrival = Arrival { bytes, properties, transport: Transport::Http, at };
    match decoder.decode(&arrival, at) {
        Ok(event) => fits(&event),
        Err(rejection) => says_why(&rejection),
    }
}

/// What a store takes without complaint.
fn fits(event: &Event) {
    let mut texts = vec![&event.key.source, &event.key.id];
    texts.extend(event.business_key.as_ref());
    texts.extend(event.correlation_id.as_ref());
    texts.extend(event.traceparent.as_ref());
    for text in texts {
        assert!(text.len() <= MAX_NAME && !text.contains('\0'), "{text:?}");
    }
    assert!(!event.data.text().contains("\\u0000"), "{}", event.data.text());
    assert!(serde_json::from_str::<Value>(event.data.text()).is_ok(), "{}", event.data.text());
}

fn says_why(rejection: &Rejection) {
    assert!(!rejection.message.is_empty() && !rejection.to_string().contains('\0'));
    let key = rejection.key.iter().flat_map(|key| [&key.source, &key.id]);
    for text in key.chain(&rejection.event_type) {
        assert!(!text.contains('\0'), "{text:?}");
    }
    assert!(rejection.place.is_some(), "{rejection}");
    assert!(rejection.to_string().len() <= MOST_SAID, "{rejection}");
}

fn named(headers: &str, prefix: &str) -> BTreeMap<String, String> {
    let pairs = headers.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, value)| (format!("{prefix}{name}"), value.to_owned())).collect()
}

fn plain(properties: &mut Properties, headers: &str) {
    let mut lines = headers.lines().map(str::to_owned);
    properties.kind = lines.next();
    properties.message_id = lines.next();
    properties.app_id = lines.next();
    properties.correlation_id = lines.next();
}

fn batch(body: &Bytes) {
    match split_batch(body) {
        None => {}
        Some(Ok(bodies)) => bodies.into_iter().for_each(|body| decode(body, Properties::default())),
        Some(Err(rejection)) => says_why(&rejection),
    }
}

fn roster(body: &[u8]) {
    let roster = Roster { region: "VN".to_owned(), now: Timestamp::UNIX_EPOCH };
    for kind in [Kind::Contact, Kind::Partner] {
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            let Ok(rows) = rows(kind, format, body) else { continue };
            for value in rows.into_iter().filter_map(|row| row.value.ok()) {
                if let Err(misfits) = roster.read(kind, value) {
                    assert!(!misfits.is_empty());
                    assert!(misfits.iter().all(|misfit| !misfit.message.is_empty()));
                }
            }
        }
    }
}
