//! Who looks: the language, the zone and the page, and what follows from them.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum_extra::extract::cookie::{Cookie, CookieJar};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use url::form_urlencoded;

use super::moment::{Moment, span};
use super::texts::{self, Language};
use crate::model::access::Role;
use crate::model::deed::{COMMAND_LINE, LOA};
use crate::model::delivery::{Delivery, State};
use crate::web::Surroundings;
use crate::web::auth::session::Signed;

/// The cookie with the language that a person chose.
pub(super) const LANGUAGE_COOKIE: &str = "loa_language";
/// The cookie with the time zone that a person chose.
pub(super) const ZONE_COOKIE: &str = "loa_zone";

/// Who looks at which page.
#[derive(Clone)]
pub(super) struct View {
    /// What the page is written in.
    pub(super) language: Language,
    /// What its times are told in.
    pub(super) zone: TimeZone,
    /// When it was asked for.
    pub(super) now: Timestamp,
    /// Its path and query, by which to come back.
    pub(super) here: String,
    /// Who is signed in.
    pub(super) user: String,
    /// Whether they may change something.
    pub(super) may_change: bool,
    /// What every form that changes something carries in its field `csrf`.
    pub(super) csrf: String,
    path: String,
}

impl FromRequestParts<Surroundings> for View {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        surroundings: &Surroundings,
    ) -> Result<Self, Infallible> {
        Ok(Self::of(parts, surroundings))
    }
}

impl View {
    /// Reads cookies and headers; what they do not say, the settings do.
    pub(super) fn of(parts: &Parts, surroundings: &Surroundings) -> Self {
        let defaults = &surroundings.config.defaults;
        let jar = CookieJar::from_headers(&parts.headers);
        let chosen = |name: &str| jar.get(name).map(Cookie::value);
        let accepted = parts.headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        let language = chosen(LANGUAGE_COOKIE)
            .and_then(Language::of_tag)
            .or_else(|| accepted.and_then(Language::preferred))
            .or_else(|| Language::of_tag(&defaults.locale))
            .unwrap_or(Language::English);
        let zone = chosen(ZONE_COOKIE).and_then(|name| TimeZone::get(name).ok());
        let uri = &parts.uri;
        let signed = parts.extensions.get::<Signed>();
        Self {
            language,
            zone: zone.unwrap_or_else(|| defaults.time_zone.clone()),
            now: surroundings.clock.now(),
            here: here(parts).to_owned(),
            user: signed.map(|signed| signed.user.clone()).unwrap_or_default(),
            may_change: signed.is_some_and(|signed| signed.role >= Role::Operator),
            csrf: signed.map(|signed| signed.csrf.clone()).unwrap_or_default(),
            path: uri.path().to_owned(),
        }
    }

    /// The text of `key`.
    pub(super) fn t(&self, key: &str) -> &'static str {
        texts::find(self.language, key).unwrap_or("…")
    }

    /// What a word of the model is called, such as `state` and `sent`.
    pub(super) fn word(&self, family: &str, word: &str) -> &'static str {
        self.t(&format!("{family}.{word}"))
    }

    /// By whom something was done, as it is kept with it.
    pub(super) fn author<'a>(&self, by: &'a str) -> &'a str {
        match by {
            LOA => "Loa",
            COMMAND_LINE => self.t("author.command_line"),
            other => other,
        }
    }

    /// Whether the page is in English; the other button is for Vietnamese.
    pub(super) fn is_english(&self) -> bool {
        self.language == Language::English
    }

    /// Whether this is the page of a room, or one inside it.
    pub(super) fn is_in(&self, room: &str) -> bool {
        let inside = self.path.strip_prefix(room);
        inside.is_some_and(|rest| rest.is_empty() || (room != "/" && rest.starts_with('/')))
    }

    /// A moment on the viewer's clock.
    pub(super) fn moment(&self, moment: Timestamp) -> Moment {
        Moment::of(moment, self.now, &self.zone, self.language)
    }

    /// A span of time in words.
    pub(super) fn span(&self, duration: Duration) -> String {
        span(duration, self.language)
    }

    /// How long ago `moment` was, in words.
    pub(super) fn age(&self, moment: Timestamp) -> String {
        let age = self.now.duration_since(moment);
        self.span(Duration::try_from(age).unwrap_or_default())
    }

    /// A count with its thousands parted.
    pub(super) fn number(&self, count: i64) -> String {
        let mark = match self.language {
            Language::English => ',',
            Language::Vietnamese => '.',
        };
        let digits = count.unsigned_abs().to_string();
        let mut text = if count < 0 { "-".to_owned() } else { String::new() };
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(mark);
            }
            text.push(digit);
        }
        text
    }

    /// A count that came as one without a sign.
    pub(super) fn count(&self, count: u64) -> String {
        self.number(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A time that was typed: a date or a time on the viewer's clock, or one with its offset.
    pub(super) fn read_time(&self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        if let Ok(exact) = text.parse() {
            return Some(exact);
        }
        let local = text.parse::<civil::DateTime>().ok()?;
        Some(local.to_zoned(self.zone.clone()).ok()?.timestamp())
    }

    /// The badge of a delivery's state.
    pub(super) fn badge(&self, state: State) -> Badge {
        Badge { tone: state.as_str(), text: self.word("state", state.as_str()) }
    }

    /// The state of a delivery; of one that was captured, that nothing left the house.
    pub(super) fn badge_of(&self, delivery: &Delivery) -> Badge {
        match delivery.is_captured {
            true => Badge { tone: "captured", text: self.t("state.captured") },
            false => self.badge(delivery.state),
        }
    }

    /// What the page before did, as its redirect tells: `done` says what, `count` how often.
    pub(super) fn note(&self) -> Option<String> {
        let query = self.here.split_once('?')?.1;
        let told = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            Some(pairs.find(|(key, _)| key == name)?.1.into_owned())
        };
        let text = match told("done")?.as_str() {
            "retry" => self.t("done.retry"),
            "cancel" => self.t("done.cancel"),
            "hold" => self.t("done.hold"),
            "release" => self.t("done.release"),
            "unfit" => self.t("done.unfit"),
            "noted" => self.t("done.noted"),
            "replayed" => self.t("done.replayed"),
            "discarded" => self.t("done.discarded"),
            "provider_held" => self.t("done.provider_held"),
            "provider_released" => self.t("done.provider_released"),
            "preferences" => self.t("done.preferences"),
            _ => return None,
        };
        let count: i64 = told("count").and_then(|count| count.parse().ok()).unwrap_or(1);
        Some(text.replace("{}", &self.number(count)))
    }
}

/// The path and query by which to come back; what a form was sent to cannot be loaded.
fn here(parts: &Parts) -> &str {
    match parts.method {
        Method::GET => parts.uri.path_and_query().map_or("/", |here| here.as_str()),
        _ => parts.uri.path().rsplit_once('/').map_or("/", |(room, _)| room),
    }
}

/// A word with a colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Badge {
    /// The class that colours it.
    pub(super) tone: &'static str,
    /// The word.
    pub(super) text: &'static str,
}

impl std::fmt::Display for Badge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<span class=\"badge {}\">{}</span>", self.tone, self.text)
    }
}

// Made of our own words alone.
impl askama::filters::HtmlSafe for Badge {}
