//! A person's own language and time zone, kept in two cookies.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::page;
use super::texts::Language;
use super::view::{LANGUAGE_COOKIE, View, ZONE_COOKIE};
use crate::web::Surroundings;
use crate::web::problem::Problem;

#[derive(Template)]
#[template(path = "preferences.html")]
struct PreferencesPage {
    view: View,
    languages: [Language; 2],
    zones: Vec<String>,
    zone: String,
    back: String,
}

/// What a person chose; what is not given stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    language: Option<String>,
    zone: Option<String>,
    /// The page to come back to.
    back: String,
}

/// Shows what can be chosen.
pub(super) async fn show(view: View) -> Response {
    let zones = jiff::tz::db().available().map(|name| name.to_string());
    page(&PreferencesPage {
        languages: Language::ALL,
        zones: zones.collect(),
        zone: view.zone.iana_name().unwrap_or("UTC").to_owned(),
        back: "/preferences?done=preferences".to_owned(),
        view,
    })
}

/// Keeps what was chosen.
pub(super) async fn keep(
    State(surroundings): State<Surroundings>,
    jar: CookieJar,
    Form(choice): Form<Choice>,
) -> Result<Response, Problem> {
    let public_url = surroundings.config.http.public_url.as_ref();
    let is_https = public_url.is_some_and(|url| url.scheme() == "https");
    let cookie = |name: &'static str, value: String| {
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(is_https)
            .permanent()
            .build()
    };
    let mut jar = jar;
    if let Some(tag) = choice.language {
        let help = "the console speaks en and vi";
        let language =
            Language::of_tag(&tag).ok_or_else(|| Problem::bad_request("language", help))?;
        jar = jar.add(cookie(LANGUAGE_COOKIE, language.code().to_owned()));
    }
    if let Some(zone) = choice.zone {
        let help = "expected a time zone such as Asia/Ho_Chi_Minh";
        let zone = TimeZone::get(zone.trim());
        let zone = zone.map_err(|_| Problem::bad_request("zone", help))?;
        jar = jar.add(cookie(ZONE_COOKIE, zone.iana_name().unwrap_or("UTC").to_owned()));
    }
    Ok((jar, Redirect::to(own_page(&choice.back))).into_response())
}

/// The page if it is one of ours; a link to elsewhere leads to the first page.
fn own_page(back: &str) -> &str {
    let is_own = back.starts_with('/') && !back.starts_with("//") && !back.contains(['\\', '\n']);
    if is_own { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        assert_eq!(own_page("/events?id=7"), "/events?id=7");
        for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "evil", ""] {
            assert_eq!(own_page(elsewhere), "/");
        }
    }
}
