//! Lists are narrowed down by what they show, and a word or an id that is none is told what is.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::inside::Stage;
use crate::stage::{Running, delay, loa, partner, settings};

/// What is published everywhere here: a partner, two late orders, one of them twice, and one that
/// does not fit its schema and one of an unknown type.
fn story() -> Vec<Value> {
    let (mut broken, mut strange) = (delay(3), delay(4));
    broken["data"]["order_id"] = json!(7);
    strange["type"] = json!("order.eaten");
    partner().into_iter().chain([delay(1), delay(2), delay(1), broken, strange]).collect()
}

impl Stage {
    async fn after_the_story() -> Self {
        let stage = Self::open("").await;
        let path = "/v1/events?on_reject=keep";
        let (status, answer) = stage.api(Method::POST, path, json!(story())).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        stage
    }

    /// The publishers' ids of what a list shows, in order.
    async fn ids(&self, path: &str, list: &str) -> Vec<String> {
        let (status, answer) = self.api(Method::GET, path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        let id = |row: &Value| {
            let id = if list == "rejected" { &row["event"]["id"] } else { &row["id"] };
            id.as_str().unwrap().to_owned()
        };
        let mut ids: Vec<_> = answer[list].as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    }

    /// Where a request is wrong, and why.
    async fn fault(&self, method: Method, path: &str, body: Value) -> (Value, String) {
        let (status, problem) = self.api(method, path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
        (problem["pointer"].clone(), problem["detail"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn events_are_found_by_state_partner_time_and_by_having_come_again() {
    let stage = Stage::after_the_story().await;

    for (query, found) in [
        ("repeated=true", &["d-1"][..]),
        ("repeated=false&type=order.delayed", &["d-1", "d-2"]),
        ("state=planned&type=order.delayed", &["d-1", "d-2"]),
        ("state=planning", &[]),
        ("state=&partner=&type=order.delayed", &["d-1", "d-2"]),
        ("partner=minh-phat&id=d-2", &["d-2"]),
        ("partner=nobody", &[]),
        ("since=2026-11-23T02:00:00Z&type=order.delayed", &["d-1", "d-2"]),
        ("until=2026-11-23T02:00:00Z", &[]),
        ("since=2026-11-24T00:00:00Z", &[]),
    ] {
        assert_eq!(stage.ids(&format!("/v1/events?{query}"), "events").await, found, "{query}");
    }
    stage.app.stop().await;
}

#[tokio::test]
async fn rejected_events_are_found_by_reason_type_and_id() {
    let stage = Stage::after_the_story().await;

    for (query, found) in [
        ("", &["d-3", "d-4"][..]),
        ("reason=schema", &["d-3"]),
        ("reason=too_large", &[]),
        ("type=order.eaten", &["d-4"]),
        ("id=d-3&reason=", &["d-3"]),
        ("id=d-3&reason=unknown_type", &[]),
    ] {
        assert_eq!(stage.ids(&format!("/v1/rejected?{query}"), "rejected").await, found, "{query}");
    }
    stage.app.stop().await;
}

#[tokio::test]
async fn a_wrong_value_is_told_those_that_exist() {
    let stage = Stage::after_the_story().await;

    for (path, place, words) in [
        ("/v1/events?state=done", "?state", &["`done`", "`planning`, `planned`"][..]),
        ("/v1/events?since=today", "?since", &["2026-12-24T09:00:00Z"]),
        ("/v1/events?until=today", "?until", &["2026-12-24T09:00:00Z"]),
        ("/v1/rejected?reason=shema", "?reason", &["did you mean `schema`?", "`id_reused`"]),
        ("/v1/deliveries?state=sent,done", "?state", &["`done`", "`waiting`", "`cancelled`"]),
        ("/v1/deliveries/count?reason=x", "?reason", &["`scheduled`", "`cancelled_by_operator`"]),
        ("/v1/deliveries?channel=fax", "?channel", &["`email`, `chat`, `sms`"]),
    ] {
        let (pointer, detail) = stage.fault(Method::GET, path, json!({})).await;
        assert_eq!(pointer, place, "{path}");
        for word in words {
            assert!(detail.contains(word), "{path}: {detail}");
        }
    }
    let (_, detail) = stage.fault(Method::GET, "/v1/events?repeated=yes", json!({})).await;
    assert!(detail.contains("`true` or `false`"), "{detail}");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_repair_names_the_id_that_is_none_and_moves_nothing() {
    let stage = Stage::after_the_story().await;
    let (_, found) = stage.api(Method::GET, "/v1/deliveries?state=waiting", json!({})).await;
    let good = &found["deliveries"][0]["id"];
    let repair = |ids: Value| json!({ "action": "cancel", "ids": ids });
    let path = "/v1/deliveries/repair";

    let first = stage.fault(Method::POST, path, repair(json!(["nope"]))).await;
    let second = stage.fault(Method::POST, path, repair(json!([good, "DH-1"]))).await;

    assert_eq!(first.0, "/ids/0");
    assert!(first.1.starts_with("`nope` is not the id of a delivery; "), "{}", first.1);
    assert_eq!(second.0, "/ids/1");
    let cancelled = "/v1/deliveries/count?state=cancelled";
    assert_eq!(stage.api(Method::GET, cancelled, json!({})).await.1["count"], 0);
    stage.app.stop().await;
}

#[tokio::test]
async fn the_command_line_finds_and_refuses_the_same() {
    let folder = TempDir::new().unwrap();
    let loa_runs = Running::start(&folder, &settings("")).await;
    loa_runs.publish(&story()).await.unwrap();
    let said = |arguments: &[&str]| {
        let mut command = loa();
        command.args(arguments).arg("--data-dir").arg(folder.path().join("data"));
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };

    let repeated = ["events", "list", "--repeated", "--partner", "minh-phat", "--state", "planned"];
    let (_, repeated) = loa_runs.command(&repeated).await;
    let times = ["events", "list", "--since", "2020-01-01T00:00:00Z", "--until"];
    let times = [&times[..], &["2020-01-02T00:00:00Z"]].concat();
    let (_, early) = loa_runs.command(&times).await;
    let of_schema = ["rejected", "list", "--reason", "schema", "--type", "order.delayed"];
    let of_schema = [&of_schema[..], &["--id", "d-3"]].concat();
    let (_, rejected) = loa_runs.command(&of_schema).await;

    assert_eq!(repeated["events"].as_array().unwrap().len(), 1, "{repeated}");
    assert_eq!(repeated["events"][0]["id"], "d-1");
    assert_eq!(early["events"], json!([]));
    assert_eq!(rejected["rejected"].as_array().unwrap().len(), 1, "{rejected}");
    assert!(said(&["events", "list", "--state", "x"]).contains("`planning`, `planned`"));
    assert!(said(&["rejected", "list", "--reason", "x"]).contains("`unknown_type`"));
    assert!(said(&["deliveries", "list", "--state", "x"]).contains("`waiting`, `held`"));
    assert!(said(&["deliveries", "list", "--reason", "x"]).contains("`no_consent`"));
    let refused = said(&["deliveries", "retry", "nope"]);
    assert!(refused.contains("`nope` is not the id of a delivery; take `id`"), "{refused}");
}
