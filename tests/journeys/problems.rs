//! What the API refuses, in which words, and what every answer carries.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::inside::Stage;
use crate::stage::{PATIENCE, delay, partner};

impl Stage {
    /// Sends a request by whoever may everything, and returns what it is told.
    async fn refusal(&self, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{status}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["status"], status.as_u16(), "{body}");
        body
    }

    fn may(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(self.token())
    }
}

/// More nesting than anyone needs.
fn deep() -> String {
    format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200))
}

fn unreadable(stage: &Stage) -> Vec<(&'static str, RequestBuilder)> {
    let get = |path: &str| stage.may(Method::GET, path);
    let post = |path: &str| stage.may(Method::POST, path);
    let keys =
        |body: String| post("/v1/keys").header("content-type", "application/json").body(body);
    let deep_data = format!("{{\"channel\":\"sms\",\"data\":{}}}", deep());
    vec![
        ("400 a word", post("/v1/deliveries/repair").json(&json!({ "action": "dance" }))),
        ("400 a query", get("/v1/events?after=x")),
        ("400 a query's type", get("/v1/events?limit=x")),
        ("400 not JSON", keys("{".to_owned())),
        (
            "400 too deep",
            post("/v1/templates/order.delayed/preview")
                .header("content-type", "application/json")
                .body(deep_data),
        ),
        ("413 too long", keys(" ".repeat((64 << 10) + 1))),
        ("415 compressed", keys("{}".to_owned()).header("content-encoding", "gzip")),
        ("415 no media type", post("/v1/keys").body("{}")),
        ("422 another member", keys(json!({ "name": "a", "scope": "admin" }).to_string())),
    ]
}

fn not_allowed(stage: &Stage, key: &str) -> Vec<(&'static str, RequestBuilder)> {
    let ledger = || stage.request(Method::GET, "/v1/ledger");
    vec![
        ("401 no key", ledger()),
        ("401 unknown key", ledger().bearer_auth("loa_x_y")),
        ("403 no scope", ledger().bearer_auth(key)),
        ("405 another method", stage.may(Method::PATCH, "/v1/ledger")),
    ]
}

fn not_possible(stage: &Stage) -> Vec<(&'static str, RequestBuilder)> {
    let get = |path: &str| stage.may(Method::GET, path);
    let post = |path: &str, body: Value| stage.may(Method::POST, path).json(&body);
    let preview = |text: &str| {
        let body = json!({ "channel": "sms", "locale": "vi", "text": text });
        post("/v1/templates/order.delayed/preview", body)
    };
    let event = json!({ "specversion": "1.0", "type": "order.delayed", "source": "shop",
                        "id": "1", "data": { "order_id": 7 } });
    let deep_event = stage.may(Method::POST, "/v1/events?type=order.delayed");
    vec![
        ("404 no such delivery", get("/v1/deliveries/019ab000-0000-7000-8000-000000000000")),
        ("404 no such page", get("/v1/nothing")),
        ("404 no such template", post("/v1/templates/x/preview", json!({ "channel": "sms" }))),
        ("409 a name is taken", post("/v1/users", json!({ "name": "an", "role": "viewer" }))),
        ("422 an event", post("/v1/events", event)),
        ("422 a deep event", deep_event.header("content-type", "application/json").body(deep())),
        ("422 a template's tag", preview("Đơn\n{{#if data.order_id}}")),
        ("422 a template's name", preview("Đơn\n{{data.ordr_id}}")),
    ]
}

#[tokio::test]
async fn every_refusal_is_a_problem_that_says_what_to_do() {
    let stage = Stage::with("", &[("http.max_body", "64 KiB")]).await;
    let shop = json!({ "name": "shop", "scopes": ["events:write"] });
    let (_, answer) = stage.api(Method::POST, "/v1/keys", shop).await;
    let key = answer["key"].as_str().unwrap();
    stage.api(Method::POST, "/v1/users", json!({ "name": "an", "role": "viewer" })).await;
    let requests = [unreadable(&stage), not_allowed(&stage, key), not_possible(&stage)];

    let mut told = serde_json::Map::new();
    for (name, request) in requests.into_iter().flatten() {
        told.insert(name.to_owned(), stage.refusal(request).await);
    }

    insta::assert_json_snapshot!(told);
    stage.app.stop().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_not_waited_for() {
    let stage = Stage::with("", &[("http.timeout", "200ms")]).await;
    let mut stream = TcpStream::connect(stage.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /v1/keys HTTP/1.1\r\nhost: loa.test\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        stage.token()
    );

    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();

    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    stage.app.stop().await;
}

#[tokio::test]
async fn every_page_says_what_a_browser_may_do_with_it() {
    let stage = Stage::open("").await;

    for path in ["/login", "/", "/nothing", "/v1/ledger", "/u/x"] {
        let answer = stage.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert!(header("strict-transport-security").starts_with("max-age="));
        let referrer = if matches!(path, "/" | "/login") { "same-origin" } else { "no-referrer" };
        assert_eq!(header("referrer-policy"), referrer, "{path}");
        assert_eq!(header("cache-control"), "no-store");
    }
    stage.app.stop().await;
}

#[tokio::test]
async fn a_template_is_shown_as_it_is_and_as_it_would_become() {
    let stage = Stage::open("").await;
    let show = async |body: Value| {
        let (status, answer) =
            stage.api(Method::POST, "/v1/templates/order.delayed/preview", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    };

    let now = show(json!({ "channel": "sms", "locale": "vi" })).await;
    let text = "Đơn {{data.order_id}} sẽ đến muộn";
    let edited = json!({ "channel": "sms", "locale": "vi", "text": text,
                         "data": { "order_id": "DH-7" } });
    let edited = show(edited).await;
    let email = show(json!({ "channel": "email", "locale": "en", "unknown": true })).await;

    assert!(now["message"]["text"].as_str().unwrap().contains("giao chậm"), "{now}");
    assert_eq!(edited["message"]["text"], "Đơn DH-7 sẽ đến muộn");
    assert_eq!(edited["with_accents"]["encoding"], "UCS-2");
    assert_eq!(edited["without_accents"]["text"], "Don DH-7 se den muon");
    assert!(email["message"]["html"].as_str().unwrap().contains("<html"), "{email}");
    let (_, list) = stage.api(Method::GET, "/v1/templates", json!({})).await;
    let first = &list["templates"][0];
    assert!(first["name"].is_string() && first["channel"].is_string(), "{list}");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_refused_array_names_the_event_and_a_body_that_is_too_long_the_setting() {
    let stage = Stage::with("", &[("http.max_body", "64 KiB")]).await;
    let mut broken = delay(2);
    broken["data"]["order_id"] = json!(7);
    let post = |body: Value| stage.may(Method::POST, "/v1/events").json(&body);

    let events: Vec<_> = partner().into_iter().chain([broken]).collect();
    let refused = stage.refusal(post(json!(events))).await;
    let empty = stage.refusal(post(json!([]))).await;
    let long = stage.refusal(post(json!("x".repeat(64 << 10)))).await;
    let many = stage.refusal(post(json!(vec![0; 10_001]))).await;

    assert_eq!(refused["pointer"], "/2/data/order_id", "{refused}");
    assert!(refused["detail"].as_str().unwrap().starts_with("event 2 of the array: "), "{refused}");
    assert_eq!((&empty["status"], &empty["title"]), (&json!(422), &json!("no event")));
    assert_eq!(long["status"], 413, "{long}");
    assert!(long["detail"].as_str().unwrap().contains("http.max_body"), "{long}");
    assert_eq!(many["status"], 413, "{many}");
    assert!(many["detail"].as_str().unwrap().contains("send it in parts"), "{many}");
    stage.app.stop().await;
}

#[tokio::test]
async fn no_test_message_goes_to_an_address_that_must_not_be_used() {
    let stage = Stage::open("").await;
    let suppressed = json!({ "channel": "email", "address": "lan@minhphat.test" });
    stage.api(Method::POST, "/v1/suppressions", suppressed).await;
    let test =
        |to: &str| stage.may(Method::POST, "/v1/providers/sandbox/test").json(&json!({ "to": to }));

    let refused = stage.refusal(test("lan@minhphat.test")).await;
    let sent = test("an@minhphat.test").send().await.unwrap();

    assert_eq!(refused["status"], 409, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("lift that first"), "{refused}");
    assert_eq!(sent.status(), StatusCode::OK);
    stage.app.stop().await;
}
