//! One delivery: why it stands where it stands, what was tried, and what was said.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;

use super::message::{Said, said};
use super::moment::Moment;
use super::page;
use super::repair::{Button, buttons};
use super::rows::{Row, who};
use super::view::View;
use crate::model::address::Address;
use crate::model::deed::{Deed, DeedKind};
use crate::model::delivery::{Delivery, State as DeliveryState};
use crate::model::outcome::{Attempt, VerdictClass};
use crate::store::DeliveryStory;
use crate::web::Surroundings;
use crate::web::api::deliveries::find;
use crate::web::problem::Problem;

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    view: View,
    row: Row,
    buttons: Vec<Button>,
    why: String,
    address: String,
    contact: String,
    event_key: String,
    expires: Moment,
    lane: &'static str,
    locale: String,
    message_id: String,
    entries: Vec<Entry>,
    said: Option<Said>,
}

/// One line of the timeline.
struct Entry {
    at: Moment,
    /// The class that colours its mark.
    tone: &'static str,
    text: String,
    /// The provider's own words, or ours about it.
    answer: String,
    code: String,
    took: String,
}

/// The delivery's story.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let story = find(&surroundings, &id).await?;
    let delivery = &story.delivery;
    let text = |text: Option<String>| text.unwrap_or_default();
    Ok(page(&DeliveryPage {
        row: Row::of(delivery, &view),
        buttons: buttons(&view, delivery.state),
        why: why(&view, delivery),
        address: text(delivery.address.as_ref().map(Address::masked)),
        contact: text(delivery.contact.as_ref().map(ToString::to_string)),
        event_key: story.event.key.to_string(),
        expires: view.moment(delivery.expires_at),
        lane: view.word("lane", delivery.lane.as_str()),
        locale: delivery.locale.clone(),
        message_id: text(delivery.provider_message_id.clone()),
        entries: timeline(&view, &story),
        said: said(&surroundings, &view, &story).await?,
        view,
    }))
}

/// Why the recipient did or did not get it, in a sentence that names them.
fn why(view: &View, delivery: &Delivery) -> String {
    let place = delivery.address.as_ref().map(Address::masked);
    let provider = delivery.provider.as_ref().map(ToString::to_string);
    let dash = || "–".to_owned();
    let text = match delivery.is_captured {
        true => view.t("why.captured"),
        false => view.word("why", delivery.reason.as_str()),
    };
    text.replace("{who}", &who(delivery, view))
        .replace("{channel}", view.word("channel", delivery.channel.as_str()))
        .replace("{address}", &place.unwrap_or_else(dash))
        .replace("{provider}", &provider.unwrap_or_else(dash))
}

/// What happened in order, and what is to come.
fn timeline(view: &View, story: &DeliveryStory) -> Vec<Entry> {
    let delivery = &story.delivery;
    let entry = |at: Timestamp, tone, text: &str| Entry {
        at: view.moment(at),
        tone,
        text: text.to_owned(),
        answer: String::new(),
        code: String::new(),
        took: String::new(),
    };
    let mut entries = vec![
        entry(story.event.time, "past", view.t("timeline.happened")),
        entry(delivery.created_at, "past", view.t("timeline.planned")),
    ];
    let tries = story.attempts.iter().map(|attempt| (attempt.started_at, tried(view, attempt)));
    let deeds = story.deeds.iter().map(|deed| (deed.at, done(view, deed)));
    let mut past: Vec<_> = tries.chain(deeds).collect();
    past.sort_by_key(|(at, _)| *at);
    entries.extend(past.into_iter().map(|(_, entry)| entry));
    let last = story.attempts.last().map(|attempt| attempt.finished_at);
    let state = view.badge_of(delivery).text;
    let reason = view.word("reason", delivery.reason.as_str());
    let changed_at = last.unwrap_or(delivery.created_at).max(delivery.updated_at);
    // What the last answer said already is not said twice.
    let told = story.attempts.last().map(|attempt| attempt.answer.text.as_str());
    let detail = delivery.detail.clone().filter(|detail| Some(detail.as_str()) != told);
    let now = Entry {
        answer: detail.unwrap_or_default(),
        ..entry(changed_at, delivery.state.as_str(), &format!("{state}: {reason}"))
    };
    entries.push(now);
    if delivery.state == DeliveryState::Waiting {
        entries.push(entry(delivery.due_at, "future", view.t("timeline.due")));
    }
    if !delivery.state.is_final() {
        entries.push(entry(delivery.expires_at, "future", view.t("timeline.expires")));
    }
    entries
}

fn tried(view: &View, attempt: &Attempt) -> Entry {
    let tone = match attempt.class {
        VerdictClass::Accepted => "sent",
        VerdictClass::Later | VerdictClass::Unknown => "held",
        VerdictClass::Refused | VerdictClass::BadAddress | VerdictClass::Misconfigured => "failed",
    };
    let took = attempt.finished_at.duration_since(attempt.started_at).as_millis();
    let text = view
        .t("timeline.attempt")
        .replace("{number}", &attempt.number.to_string())
        .replace("{provider}", attempt.provider.as_str())
        .replace("{class}", view.word("class", attempt.class.as_str()));
    Entry {
        at: view.moment(attempt.started_at),
        tone,
        text,
        answer: attempt.answer.text.clone(),
        code: attempt.answer.code.clone().unwrap_or_default(),
        took: format!("{took} ms"),
    }
}

/// What somebody did to it, or Loa for a fault.
fn done(view: &View, deed: &Deed) -> Entry {
    let text = view
        .t("timeline.deed")
        .replace("{deed}", view.word("deed", deed.deed.as_str()))
        .replace("{by}", view.author(&deed.by));
    Entry {
        at: view.moment(deed.at),
        tone: if deed.deed == DeedKind::Held { "held" } else { "past" },
        text,
        answer: deed.note.clone().unwrap_or_default(),
        code: String::new(),
        took: String::new(),
    }
}

/// The email as its receiver sees it, in a page of its own that can do nothing.
pub(super) async fn email(
    State(surroundings): State<Surroundings>,
    view: View,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let story = find(&surroundings, &id).await?;
    let html = said(&surroundings, &view, &story).await?.and_then(Said::into_html);
    let Some(html) = html else { return Err(Problem::not_found("message")) };
    let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; \
                  frame-ancestors 'self'";
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response())
}
