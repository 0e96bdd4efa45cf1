//! What the sandbox "sent": everybody's inbox.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::message::Said;
use super::moment::Moment;
use super::page;
use super::rows::Row;
use super::view::View;
use crate::store::{Captured, Mailbox};
use crate::web::Surroundings;
use crate::web::api::{PageQuery, next};
use crate::web::problem::Problem;

/// How many recipients are listed.
const MAILBOXES: u32 = 200;
/// How many messages a page has.
const ROWS: u32 = 25;

/// Whose messages are wanted; everybody's if nobody is named.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Whose {
    to: String,
}

#[derive(Template)]
#[template(path = "sandbox.html")]
struct SandboxPage {
    view: View,
    /// Who is looked at; empty for everybody.
    whose: String,
    mailboxes: Vec<MailboxLink>,
    messages: Vec<CapturedRow>,
    is_first: bool,
    newest: String,
    older: Option<String>,
}

struct MailboxLink {
    name: String,
    count: String,
    link: String,
    is_here: bool,
}

struct CapturedRow {
    row: Row,
    at: Moment,
    to: String,
    said: Said,
}

/// Captured messages, the newest first, beside the list of recipients.
pub(super) async fn show(
    State(surroundings): State<Surroundings>,
    view: View,
    Query(Whose { to }): Query<Whose>,
    Query(position): Query<PageQuery>,
) -> Result<Response, Problem> {
    let store = &surroundings.store;
    let cursor = position.cursor()?;
    let mailboxes = store.mailboxes(MAILBOXES).await?;
    let recipient = Some(to.clone()).filter(|to| !to.is_empty());
    let found = store.captured(recipient, cursor, ROWS).await?;
    let is_full = found.len() == ROWS as usize;
    let next = found.last().and_then(|last| next(is_full, last.at, last.delivery.id.0));
    let mailbox = |mailbox: &Mailbox| MailboxLink {
        name: mailbox.name.clone().unwrap_or_else(|| mailbox.recipient.clone()),
        count: view.count(mailbox.messages),
        link: link(&mailbox.recipient, None),
        is_here: mailbox.recipient == to,
    };
    Ok(page(&SandboxPage {
        mailboxes: mailboxes.iter().map(mailbox).collect(),
        messages: found.iter().map(|captured| captured_row(&view, captured)).collect(),
        is_first: cursor.is_none(),
        newest: link(&to, None),
        older: next.map(|next| link(&to, Some(&next))),
        whose: to,
        view,
    }))
}

fn captured_row(view: &View, captured: &Captured) -> CapturedRow {
    let to = captured.message.get("to").and_then(serde_json::Value::as_str);
    CapturedRow {
        row: Row::of(&captured.delivery, view),
        at: view.moment(captured.at),
        to: to.unwrap_or_default().to_owned(),
        said: Said::captured(&captured.message, view),
    }
}

fn link(to: &str, after: Option<&str>) -> String {
    let mut text = Serializer::new(String::new());
    text.extend_pairs(Some(("to", to)).filter(|_| !to.is_empty()));
    text.extend_pairs(after.map(|after| ("after", after)));
    match text.finish() {
        query if query.is_empty() => "/sandbox".to_owned(),
        query => format!("/sandbox?{query}"),
    }
}
