//! What programs may do: API keys and their scopes.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::inside::Stage;
use crate::stage::{Clocked, own_database, settings};

impl Stage {
    async fn key(&self, body: Value) -> String {
        let (status, answer) = self.api(Method::POST, "/v1/keys", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["key"].as_str().unwrap().to_owned()
    }

    async fn by_key(&self, key: &str, path: &str) -> (StatusCode, Value) {
        let answer = self.request(Method::GET, path).bearer_auth(key).send().await.unwrap();
        let status = answer.status();
        if status != StatusCode::OK {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        (status, answer.json().await.unwrap())
    }
}

async fn a_key_opens_what_its_scopes_say(stage: Stage) {
    let key = stage.key(json!({ "name": "shop", "scopes": ["ledger:read"] })).await;
    let admin = stage.key(json!({ "name": "root", "scopes": ["admin"] })).await;

    let (allowed, _) = stage.by_key(&key, "/v1/ledger").await;
    let (refused, problem) = stage.by_key(&key, "/v1/deliveries").await;

    assert_eq!(allowed, StatusCode::OK);
    assert_eq!(refused, StatusCode::FORBIDDEN);
    assert_eq!(problem["scope"], "deliveries:read", "{problem}");
    assert_eq!(stage.by_key(&admin, "/v1/deliveries").await.0, StatusCode::OK);
    let (_, list) = stage.by_key(&admin, "/v1/keys").await;
    let shop = &list["keys"][1];
    assert_eq!(shop["name"], "shop", "{list}");
    assert_eq!(shop["used_at"], "2026-11-23T02:00:00Z");
    assert!(key.starts_with(&format!("loa_{}_", shop["id"].as_str().unwrap())));
    let secret = key.rsplit('_').next().unwrap();
    assert!(!list.to_string().contains(secret) && shop.get("digest").is_none());
    stage.app.stop().await;
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    a_key_opens_what_its_scopes_say(Stage::open("").await).await;
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else_on_postgres() {
    let url = own_database("journey_keys").await;
    a_key_opens_what_its_scopes_say(Stage::open(&format!("[store]\nurl = \"{url}\"\n")).await)
        .await;
}

#[tokio::test]
async fn a_key_that_is_guessed_ended_or_revoked_opens_nothing() {
    let stage = Stage::open("").await;
    let short = json!({ "name": "short", "scopes": ["ledger:read"], "lasts": "90d" });
    let (short, long) = (stage.key(short).await, json!({ "name": "a", "scopes": ["ledger:read"] }));
    let long = stage.key(long).await;
    let (id, _) = long.rsplit_once('_').unwrap();

    for guess in [format!("{id}_{}", "0".repeat(64)), "loa_x_y".to_owned(), "guess".to_owned()] {
        assert_eq!(stage.by_key(&guess, "/v1/ledger").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(stage.by_key(&short, "/v1/ledger").await.0, StatusCode::OK);
    stage.app.clock.advance(Duration::from_hours(90 * 24));
    let (ended, problem) = stage.by_key(&short, "/v1/ledger").await;
    assert_eq!(ended, StatusCode::UNAUTHORIZED);
    assert!(problem["detail"].as_str().unwrap().contains("ended at"), "{problem}");
    assert_eq!(stage.by_key(&long, "/v1/ledger").await.0, StatusCode::OK);
    stage.api(Method::DELETE, "/v1/keys/a", json!({})).await;
    assert_eq!(stage.by_key(&long, "/v1/ledger").await.0, StatusCode::UNAUTHORIZED);
    stage.app.stop().await;
}

#[tokio::test]
async fn what_a_key_cannot_be_is_said_with_its_place() {
    let stage = Stage::open("").await;
    let wrong = [
        (json!({ "name": "Shop", "scopes": ["admin"] }), "/name"),
        (json!({ "name": "shop", "scopes": [] }), "/scopes"),
        (json!({ "name": "shop", "scopes": ["admin", "events"] }), "/scopes/1"),
        (json!({ "name": "shop", "scopes": ["admin"], "lasts": "soon" }), "/lasts"),
    ];

    for (body, place) in wrong {
        let (status, problem) = stage.api(Method::POST, "/v1/keys", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(problem["pointer"], place, "{problem}");
    }
    stage.key(json!({ "name": "shop", "scopes": ["admin"] })).await;
    let again = json!({ "name": "shop", "scopes": ["admin"] });
    assert_eq!(stage.api(Method::POST, "/v1/keys", again).await.0, StatusCode::CONFLICT);
    stage.app.stop().await;
}

#[tokio::test]
async fn a_name_on_the_command_line_stays_one_part_of_the_address() {
    let loa = Clocked::start(&settings("")).await;
    let (made, answer) = loa.command(&["keys", "create", "shop", "--scope", "ledger:read"]).await;
    assert!(made, "{answer}");

    let (removed, _) = loa.command(&["users", "remove", "../keys/shop"]).await;
    let (revoked, _) = loa.command(&["keys", "revoke", "../users/local"]).await;
    let (held, _) = loa.command(&["providers", "hold", "../providers/sandbox"]).await;

    assert!(!removed && !revoked && !held, "another thing was reached by its name");
    let (_, keys) = loa.command(&["keys", "list"]).await;
    assert_eq!(keys["keys"][0]["name"], "shop", "{keys}");
}
