//! A message as its receiver sees it: an email beside its text part, a chat bubble, an SMS.

use serde_json::Value;

use super::bubble::html_of;
use super::view::View;
use crate::model::address::Channel;
use crate::model::delivery::State as DeliveryState;
use crate::pipeline::Reread;
use crate::store::DeliveryStory;
use crate::web::Surroundings;
use crate::web::problem::Problem;

/// A message as its receiver sees it.
pub(super) struct Said {
    /// Where it is from: captured, sent, or only a preview.
    pub(super) about: &'static str,
    /// Why it does not render; then there is nothing else.
    pub(super) fault: String,
    /// Whether `only_to` kept it from a provider that sends.
    pub(super) is_kept_back: bool,
    pub(super) is_email: bool,
    pub(super) is_sms: bool,
    pub(super) from: String,
    pub(super) reply_to: String,
    pub(super) subject: String,
    pub(super) text: String,
    /// How many parts of which encoding an SMS is, with the number of letters.
    pub(super) parts: String,
    /// A chat message as HTML.
    pub(super) bubble: Option<String>,
    html: Option<String>,
}

impl Said {
    /// Reads a message as a sandbox captures it.
    pub(super) fn of(message: &Value, about: &'static str, view: &View) -> Self {
        let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
        let channel = text("channel");
        let from = match (text("from_name"), text("from")) {
            ("", address) => address.to_owned(),
            (name, address) => format!("{name} <{address}>"),
        };
        let parts = message.get("parts").and_then(Value::as_i64).unwrap_or(1);
        let letters = i64::try_from(text("text").chars().count()).unwrap_or(0);
        Self {
            about,
            fault: String::new(),
            is_kept_back: false,
            is_email: channel == Channel::Email.as_str(),
            is_sms: channel == Channel::Sms.as_str(),
            from,
            reply_to: text("reply_to").to_owned(),
            subject: text("subject").to_owned(),
            text: text("text").to_owned(),
            parts: view
                .t("message.parts")
                .replace("{parts}", &view.number(parts))
                .replace("{encoding}", text("encoding"))
                .replace("{letters}", &view.number(letters)),
            bubble: (channel == Channel::Chat.as_str()).then(|| html_of(text("text"))),
            html: message.get("html").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Reads a message that was captured, and says why it was.
    pub(super) fn captured(message: &Value, view: &View) -> Self {
        if message.get("captured_by").is_none() {
            return Self::of(message, view.t("message.captured"), view);
        }
        Self { is_kept_back: true, ..Self::of(message, view.t("message.kept_back"), view) }
    }

    /// The HTML part of an email.
    pub(super) fn into_html(self) -> Option<String> {
        self.html
    }
}

/// What was or would be said; none if nothing ever will be.
pub(super) async fn said(
    surroundings: &Surroundings,
    view: &View,
    story: &DeliveryStory,
) -> Result<Option<Said>, Problem> {
    let delivery = &story.delivery;
    let is_decided_against = delivery.state == DeliveryState::Skipped;
    if is_decided_against || delivery.provider.is_none() {
        return Ok(None);
    }
    Ok(Some(match surroundings.pipeline.reread(story).await? {
        Reread::Captured(message) => Said::captured(&message, view),
        Reread::Sent(message) => Said::of(&message, view.t("message.sent"), view),
        Reread::Preview(message) => Said::of(&message, view.t("message.preview"), view),
        Reread::Faulty(fault) => {
            let nothing = Said::of(&Value::Null, view.t("message.fault"), view);
            Said { fault: fault.to_string(), ..nothing }
        }
    }))
}
