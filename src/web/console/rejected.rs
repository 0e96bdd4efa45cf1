//! Rejected events: what is wrong with each, and its bytes.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::moment::Moment;
use super::page;
use super::view::View;
use crate::model::event::{Properties, RejectReason, RejectedEvent};
use crate::pipeline::Rehearsal;
use crate::store::{RejectedFilter, RejectedLine};
use crate::web::Surroundings;
use crate::web::api::rejected::find;
use crate::web::api::{PageQuery, next};
use crate::web::problem::Problem;

/// How many rows a page has.
const ROWS: u32 = 50;

/// Which rejected events are wanted, as texts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RejectedQuery {
    reason: String,
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedList {
    view: View,
    query: RejectedQuery,
    reasons: Vec<(&'static str, &'static str)>,
    kinds: Vec<String>,
    rows: Vec<RejectedRow>,
    is_set: bool,
    is_first: bool,
    newest: String,
    older: Option<String>,
}

/// A rejected event as a row of a list.
pub(super) struct RejectedRow {
    pub(super) id: String,
    pub(super) at: Moment,
    pub(super) reason: &'static str,
    pub(super) place: String,
    pub(super) message: String,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) transport: &'static str,
    pub(super) bytes: String,
}

impl RejectedRow {
    pub(super) fn of(event: &RejectedLine, view: &View) -> Self {
        let RejectedLine { id, rejection, transport, at, size } = event;
        let bytes = i64::try_from(*size).unwrap_or(i64::MAX);
        Self {
            id: id.to_string(),
            at: view.moment(*at),
            reason: view.word("reject", rejection.reason.as_str()),
            place: rejection.place.clone().unwrap_or_default(),
            message: rejection.message.clone(),
            kind: rejection.event_type.clone().unwrap_or_default(),
            key: rejection.key.as_ref().map(ToString::to_string).unwrap_or_default(),
            transport: view.word("transport", transport.as_str()),
            bytes: view.number(bytes),
        }
    }
}

impl RejectedQuery {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [("reason", self.reason.as_str()), ("type", &self.kind), ("id", &self.id)];
        all.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect()
    }

    fn filter(&self) -> RejectedFilter {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        RejectedFilter {
            reason: RejectReason::from_word(&self.reason),
            event_type: some(&self.kind),
            id: some(&self.id),
        }
    }

    fn link(&self, after: Option<&str>) -> String {
        let mut text = Serializer::new(String::new());
        text.extend_pairs(self.pairs());
        text.extend_pairs(after.map(|after| ("after", after)));
        match text.finish() {
            query if query.is_empty() => "/rejected".to_owned(),
            query => format!("/rejected?{query}"),
        }
    }
}

/// Rejected events, the newest first.
pub(super) async fn list(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(query): Query<RejectedQuery>,
    Query(position): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursor = position.cursor()?;
    let store = &surroundings.store;
    let found = store.find_rejected_events(query.filter(), cursor, ROWS).await?;
    let is_full = found.len() == ROWS as usize;
    let next = found.last().and_then(|last| next(is_full, last.at, last.id.0));
    let reason = |reason: RejectReason| (reason.as_str(), view.word("reject", reason.as_str()));
    let kinds = surroundings.config.catalogue.types.keys();
    Ok(page(&RejectedList {
        reasons: RejectReason::ALL.into_iter().map(reason).collect(),
        kinds: kinds.map(ToString::to_string).collect(),
        rows: found.iter().map(|event| RejectedRow::of(event, &view)).collect(),
        is_set: !query.pairs().is_empty(),
        is_first: cursor.is_none(),
        newest: query.link(None),
        older: next.map(|next| query.link(Some(&next))),
        query,
        view,
    }))
}

#[derive(Template)]
#[template(path = "rejection.html")]
struct RejectionPage {
    view: View,
    row: RejectedRow,
    properties: Vec<(String, String)>,
    /// The body to look at and to edit; none if it is no text.
    body: Option<String>,
    bytes: String,
    checked: Option<Checked>,
}

/// What handing it in again would lead to.
pub(super) enum Checked {
    /// It would be planned.
    Planned(Rehearsal),
    /// It would be rejected again: where, and why.
    Rejected { place: String, message: String },
}

/// One rejected event, whole.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let event = find(&surroundings, &id).await?;
    Ok(rejection_page(view, &event, None, None))
}

/// The page of a rejected event, with an edited body and what a try said of it.
pub(super) fn rejection_page(
    view: View,
    event: &RejectedEvent,
    edited: Option<String>,
    checked: Option<Checked>,
) -> Response {
    let bytes = &event.arrival.bytes;
    page(&RejectionPage {
        row: RejectedRow::of(&RejectedLine::of(event), &view),
        properties: properties(&event.arrival.properties),
        body: edited.or_else(|| legible(bytes)),
        bytes: String::from_utf8_lossy(bytes).chars().take(4000).collect(),
        checked,
        view,
    })
}

/// The bytes as text: JSON in lines, other text as it is, none for what is no text.
pub(super) fn legible(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let json: Result<&serde_json::value::RawValue, _> = serde_json::from_str(text);
    Some(match json {
        // Numbers stay as they were written: a long one must not change by being looked at.
        Ok(json) => in_lines(json.get()),
        Err(_) => text.to_owned(),
    })
}

/// JSON with a line for each member; nothing but white space outside of strings changes.
fn in_lines(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut letters = json.chars().peekable();
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(letter) = letters.next() {
        if in_string {
            text.push(letter);
            in_string = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' => {
                text.push(letter);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if letters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    text.extend(letters.next());
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(letter);
            }
            ',' => {
                text.push(letter);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            letter if letter.is_ascii_whitespace() => {}
            letter => {
                in_string = letter == '"';
                text.push(letter);
            }
        }
    }
    text
}

/// What the transport said, as names and texts.
fn properties(properties: &Properties) -> Vec<(String, String)> {
    let Properties {
        content_type,
        kind,
        message_id,
        app_id,
        correlation_id,
        timestamp,
        exchange,
        routing_key,
        headers,
    } = properties;
    let timestamp = timestamp.map(|timestamp| timestamp.to_string());
    let named = [
        ("content_type", content_type),
        ("type", kind),
        ("message_id", message_id),
        ("app_id", app_id),
        ("correlation_id", correlation_id),
        ("timestamp", &timestamp),
        ("exchange", exchange),
        ("routing_key", routing_key),
    ];
    let named = named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?)));
    let headers = headers.iter().map(|(name, text)| (format!("header {name}"), text.clone()));
    named.chain(headers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_in_lines_and_says_the_same() {
        let json =
            r#"{"a":[1,{"b":"x, {y}: \"z\" \\"}],"long":12345678901234567890.10,"e":{ },"f":[]}"#;

        let shown = legible(json.as_bytes()).unwrap();

        assert!(shown.contains("\n  \"long\": 12345678901234567890.10,\n"), "{shown}");
        assert!(shown.contains("\"e\": {},"), "{shown}");
        assert!(shown.contains(r#""b": "x, {y}: \"z\" \\""#), "{shown}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(json));
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is_and_what_is_no_text_not_at_all() {
        assert_eq!(legible(b"{not json").as_deref(), Some("{not json"));
        assert_eq!(legible(&[0xff, 0xfe]), None);
    }
}
