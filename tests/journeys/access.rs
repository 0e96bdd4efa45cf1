//! Who gets in: one-time links, sessions, and what only our own pages may do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::inside::Stage;
use crate::stage::{loa, own_database, settings};

impl Stage {
    async fn page(&self, path: &str, session: &str) -> StatusCode {
        let request = self.request(Method::GET, path).header("cookie", session);
        request.send().await.unwrap().status()
    }

    /// The path of a new login link of `user`.
    async fn link(&self, user: &str) -> String {
        let path = format!("/v1/users/{user}/link");
        let (status, answer) = self.api(Method::POST, &path, json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let url = answer["url"].as_str().unwrap();
        url.strip_prefix("https://loa.test").unwrap().to_owned()
    }

    async fn press(&self, link: &str) -> Response {
        let request = self.request(Method::POST, link).header("sec-fetch-site", "same-origin");
        request.send().await.unwrap()
    }

    /// Signs a new user in, and returns the cookie.
    pub(crate) async fn sign_in(&self, user: &str, role: &str) -> String {
        self.api(Method::POST, "/v1/users", json!({ "name": user, "role": role })).await;
        let answer = self.press(&self.link(user).await).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        cookie(&answer)
    }
}

fn cookie(answer: &Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split_once(';').unwrap().0.to_owned()
}

/// The value of the hidden field of a page.
pub(crate) fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

async fn a_link_signs_in_once(stage: Stage) {
    let local = stage.app.login_link("127.0.0.1:1".parse().unwrap()).await.unwrap().unwrap();
    let link = local.strip_prefix("https://loa.test").unwrap();

    let looked = stage.request(Method::GET, link).send().await.unwrap();
    assert_eq!(looked.status(), StatusCode::OK);
    assert!(looked.headers().get("set-cookie").is_none(), "looking uses nothing up");
    let first = stage.press(link).await;
    let again = stage.press(link).await;

    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let set = first.headers()["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-loa_session="), "{set}");
    for flag in ["; Path=/;", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(set.contains(flag), "{flag} in {set}");
    }
    let session = cookie(&first);
    assert_eq!(stage.page("/", &session).await, StatusCode::OK);
    assert_eq!(stage.page(link, &session).await, StatusCode::SEE_OTHER);
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.text().await.unwrap().contains("loa users link"));
    let (_, users) = stage.api(Method::GET, "/v1/users", json!({})).await;
    assert_eq!(users["users"][0]["last_signed_in"], "2026-11-23T02:00:00Z", "{users}");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_login_link_signs_in_once_and_only_by_its_button() {
    a_link_signs_in_once(Stage::open("").await).await;
}

#[tokio::test]
async fn a_login_link_signs_in_once_and_only_by_its_button_on_postgres() {
    let url = own_database("journey_access").await;
    a_link_signs_in_once(Stage::open(&format!("[store]\nurl = \"{url}\"\n")).await).await;
}

#[tokio::test]
async fn links_and_sessions_end_by_themselves() {
    let stage = Stage::open("").await;
    let session = stage.sign_in("thu-ha", "viewer").await;
    let late = stage.link("thu-ha").await;

    stage.app.clock.advance(Duration::from_mins(15));
    assert_eq!(stage.press(&late).await.status(), StatusCode::FORBIDDEN);

    let hours = |count: u64| Duration::from_hours(count);
    for _ in 0..13 {
        stage.app.clock.advance(hours(11));
        assert_eq!(stage.page("/", &session).await, StatusCode::OK);
    }
    stage.app.clock.advance(hours(11));
    stage.app.clock.advance(hours(11));
    assert_eq!(stage.page("/", &session).await, StatusCode::UNAUTHORIZED, "a week is over");

    let idle = stage.sign_in("thu-ha", "viewer").await;
    stage.app.clock.advance(hours(11));
    let poll = stage.request(Method::GET, "/").header("cookie", &idle).header("x-loa-poll", "1");
    assert_eq!(poll.send().await.unwrap().status(), StatusCode::OK);
    stage.app.clock.advance(hours(2));
    assert_eq!(stage.page("/", &idle).await, StatusCode::UNAUTHORIZED, "nobody sat there");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_session_is_left_only_by_its_own_form_and_ends_with_its_user() {
    let stage = Stage::open("").await;
    let session = stage.sign_in("thu-ha", "viewer").await;
    let leave = |site: &'static str, body: String| {
        let request = stage.request(Method::POST, "/logout").header("cookie", &session);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.header("sec-fetch-site", site).body(body).send()
    };
    let page = stage.request(Method::GET, "/logout").header("cookie", &session);
    let page = page.send().await.unwrap().text().await.unwrap();
    let token = format!("csrf={}", csrf(&page));

    let foreign = leave("cross-site", token.clone()).await.unwrap();
    let forged = leave("same-origin", "csrf=guess".to_owned()).await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert_eq!(stage.page("/", &session).await, StatusCode::OK);
    let left = leave("same-origin", token).await.unwrap();
    assert_eq!(left.status(), StatusCode::SEE_OTHER);
    assert_eq!(stage.page("/", &session).await, StatusCode::UNAUTHORIZED);

    let removed = stage.sign_in("an", "admin").await;
    let (status, _) = stage.api(Method::DELETE, "/v1/users/an", json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(stage.page("/", &removed).await, StatusCode::UNAUTHORIZED);
    stage.app.stop().await;
}

#[tokio::test]
async fn whoever_guesses_links_waits() {
    let stage = Stage::open("").await;

    for _ in 0..10 {
        assert_eq!(stage.press("/login/guess").await.status(), StatusCode::FORBIDDEN);
    }
    let refused = stage.press("/login/guess").await;

    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    stage.app.clock.advance(Duration::from_mins(1));
    stage.sign_in("thu-ha", "viewer").await;
    stage.app.stop().await;
}

#[tokio::test]
async fn a_viewer_changes_nothing_and_another_role_counts_at_once() {
    let stage = Stage::open("").await;
    let session = stage.sign_in("thu-ha", "viewer").await;
    let page = stage.request(Method::GET, "/logout").header("cookie", &session);
    let token = csrf(&page.send().await.unwrap().text().await.unwrap());
    let hold = || {
        let request = stage.request(Method::POST, "/providers/sandbox/hold");
        let request = request.header("cookie", &session).header("sec-fetch-site", "same-origin");
        let form = "application/x-www-form-urlencoded";
        request.header("content-type", form).body(format!("reason=test&csrf={token}")).send()
    };

    let by_viewer = hold().await.unwrap().status();
    let role = json!({ "role": "operator" });
    let (changed, _) = stage.api(Method::PUT, "/v1/users/thu-ha/role", role).await;
    let by_operator = hold().await.unwrap().status();

    assert_eq!(by_viewer, StatusCode::FORBIDDEN);
    assert_eq!(changed, StatusCode::OK);
    assert!(by_operator.is_success() || by_operator.is_redirection(), "{by_operator}");
    let (_, providers) = stage.api(Method::GET, "/v1/providers", json!({})).await;
    assert!(providers["providers"][0]["hold"].is_object(), "{providers}");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_printed_link_leads_somewhere() {
    let keys = [("http.public_url", "http://loa.test")];
    let stage = Stage::with("", &keys).await;

    let anywhere = stage.app.login_link("0.0.0.0:8080".parse().unwrap()).await.unwrap().unwrap();
    let loopback = stage.app.login_link("127.0.0.1:8080".parse().unwrap()).await.unwrap().unwrap();

    assert!(anywhere.starts_with("http://localhost:8080/login/"), "{anywhere}");
    assert!(loopback.starts_with("http://127.0.0.1:8080/login/"), "{loopback}");
    stage.app.stop().await;
}

#[tokio::test]
async fn the_user_who_starts_loa_stays_away_once_removed_while_others_can_sign_in() {
    let stage = Stage::open("").await;
    let address = "127.0.0.1:1".parse().unwrap();
    assert!(stage.app.login_link(address).await.unwrap().is_some());
    stage.api(Method::POST, "/v1/users", json!({ "name": "ha", "role": "admin" })).await;
    stage.api(Method::DELETE, "/v1/users/local", json!({})).await;

    let link = stage.app.login_link(address).await.unwrap();
    loa::web::let_somebody_in(&stage.app.store).await.unwrap();

    assert_eq!(link, None);
    let (_, users) = stage.api(Method::GET, "/v1/users", json!({})).await;
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    stage.app.stop().await;
}

#[test]
fn a_link_that_makes_an_admin_is_not_printed_into_a_log() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("loa.toml");
    std::fs::write(&file, settings("")).unwrap();
    let mut running = loa()
        .args(["run", "--config"])
        .arg(&file)
        .arg("--data-dir")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let mut said = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut said).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();

    assert!(said.starts_with("The console: https://loa.test"), "{said}");
    assert!(!said.contains("/login/") && said.contains("loa users link"), "{said}");
}
