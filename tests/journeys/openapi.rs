//! The API against its own document.

use jsonschema::Validator;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::inside::Stage;
use crate::stage::{delay, partner};

impl Stage {
    async fn document(&self) -> Value {
        let answer = self.request(Method::GET, "/v1/openapi.json").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "whoever wants it may read it");
        let document: Value = answer.json().await.unwrap();
        let usual = self.request(Method::GET, "/openapi.json").send().await.unwrap();
        assert_eq!(usual.json::<Value>().await.unwrap(), document, "tools look for it there");
        document
    }
}

/// Every operation as method, path and what the document says of it.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            found.push((method, path.clone(), operation.clone()));
        }
    }
    found
}

/// Lets objects have the members only that the document names.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the document says of the good answer of an operation.
fn answer_of(document: &Value, path: &str, method: &str) -> Validator {
    let responses = document["paths"][path][method]["responses"].as_object().unwrap();
    let (_, good) = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap();
    let mut schema = good["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    close(&mut schema);
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

fn assert_fits(document: &Value, path: &str, method: &str, answer: &Value) {
    let validator = answer_of(document, path, method);
    let faults: Vec<_> =
        validator.iter_errors(answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(faults.is_empty(), "{method} {path}: {faults:?}\n{answer}");
}

#[tokio::test]
async fn every_route_of_the_document_asks_for_its_scope() {
    let stage = Stage::open("").await;
    let mut keys = Vec::new();
    for scope in ["ledger:read", "templates:read"] {
        let body = json!({ "name": scope.replace(':', "-"), "scopes": [scope] });
        let (_, answer) = stage.api(Method::POST, "/v1/keys", body).await;
        keys.push((scope, answer["key"].as_str().unwrap().to_owned()));
    }
    let document = stage.document().await;

    for (method, path, operation) in operations(&document) {
        let scope = operation["security"][0]["key"][0].as_str().unwrap();
        let (_, key) = keys.iter().find(|(own, _)| *own != scope).unwrap();
        let path = path.replace(['{', '}'], "");
        let stranger = stage.request(method.clone(), &path).send().await.unwrap();
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
        let request = stage.request(method.clone(), &path).bearer_auth(key);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["scope"], scope, "{method} {path}");
    }
    stage.app.stop().await;
}

#[tokio::test]
async fn answers_look_as_the_document_says() {
    let stage = Stage::open("").await;
    let document = stage.document().await;
    let mut broken = delay(2);
    broken["data"]["order_id"] = json!(7);
    let events: Vec<_> = partner().into_iter().chain([delay(1), broken]).collect();
    let path = "/v1/events?on_reject=keep";
    let (_, taken) = stage.api(Method::POST, path, json!(events)).await;
    assert_fits(&document, "/v1/events", "post", &taken);
    let (_, dry) = stage.api(Method::POST, "/v1/events?dry_run=true", json!([delay(3)])).await;
    assert_fits(&document, "/v1/events", "post", &dry);
    stage.app.pipeline.run_until_idle().await.unwrap();
    let key = json!({ "name": "shop", "scopes": ["admin"], "lasts": "90d" });
    let (_, made) = stage.api(Method::POST, "/v1/keys", key).await;
    assert_fits(&document, "/v1/keys", "post", &made);
    stage.api(Method::POST, "/v1/users", json!({ "name": "an", "role": "viewer" })).await;
    stage.api(Method::POST, "/v1/providers/sandbox/hold", json!({})).await;
    let to = json!({ "to": "an@partner.test" });
    let (_, tried) = stage.api(Method::POST, "/v1/providers/sandbox/test", to).await;
    assert_fits(&document, "/v1/providers/{name}/test", "post", &tried);

    let tea = json!({ "tags": ["tea"] });
    let (_, saved) = stage.api(Method::PUT, "/v1/segments/tea", tea).await;
    assert_fits(&document, "/v1/segments/{name}", "put", &saved);
    let address = json!({ "channel": "email", "address": "an@partner.test" });
    let (_, barred) = stage.api(Method::POST, "/v1/suppressions", address).await;
    assert_fits(&document, "/v1/suppressions", "post", &barred);
    let rows = json!([{ "id": "an", "name": "An", "email": "an@partner.test" }, { "id": "b" }]);
    for query in ["on_fault=skip", "dry_run=true"] {
        let path = format!("/v1/contacts/import?{query}");
        let (_, imported) = stage.api(Method::POST, &path, rows.clone()).await;
        assert_fits(&document, "/v1/contacts/import", "post", &imported);
    }
    let an = json!({ "name": "An", "email": "an@partner.test", "marketing": true });
    let (_, put) = stage.api(Method::PUT, "/v1/contacts/an", an).await;
    assert_fits(&document, "/v1/contacts/{id}", "put", &put);
    let (_, known) = stage.api(Method::GET, "/v1/contacts/an", json!({})).await;
    assert_fits(&document, "/v1/contacts/{id}", "get", &known);

    // Every list, and of the first row of each what is shown of it alone.
    for (method, path, operation) in operations(&document) {
        let needs = operation["parameters"].as_array().unwrap();
        if method != Method::GET || needs.iter().any(|parameter| parameter["required"] == true) {
            continue;
        }
        let (status, answer) = stage.api(Method::GET, &path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        assert_fits(&document, &path, "get", &answer);
        let one = format!("{path}/{{id}}");
        let rows = answer.as_object().unwrap().values().find_map(Value::as_array);
        if let (Some(rows), true) = (rows, document["paths"][&one]["get"].is_object()) {
            let id = rows.first().and_then(|row| row["id"].as_str());
            let id = id.unwrap_or_else(|| panic!("{path} lists nothing"));
            let (_, shown) = stage.api(Method::GET, &format!("{path}/{id}"), json!({})).await;
            assert_fits(&document, &one, "get", &shown);
        }
    }
    let (_, counts) = stage.api(Method::GET, "/v1/deliveries/count?by=state", json!({})).await;
    assert_fits(&document, "/v1/deliveries/count", "get", &counts);
    let repair = json!({ "action": "cancel", "filter": { "type": "order.delayed" } });
    let (_, repaired) = stage.api(Method::POST, "/v1/deliveries/repair", repair).await;
    assert_fits(&document, "/v1/deliveries/repair", "post", &repaired);
    stage.app.stop().await;
}

#[tokio::test]
async fn a_test_message_shows_what_the_provider_answers() {
    let stage = Stage::open("").await;
    let path = "/v1/providers/sandbox/test";
    let test = |to: &'static str| stage.api(Method::POST, path, json!({ "to": to }));

    let (_, taken) = test("an@partner.test").await;
    let (_, bounced) = test("bounce@partner.test").await;
    let (_, by_phone) = test("0901234567").await;
    let (unreadable, fault) = test("an@").await;
    let nobody = stage.api(Method::POST, "/v1/providers/nobody/test", json!({})).await;

    assert_eq!(taken["outcome"], "accepted", "{taken}");
    assert_eq!(bounced["outcome"], "bad_address", "{bounced}");
    assert_eq!(bounced["code"], "550 5.1.1", "{bounced}");
    assert_eq!(by_phone["outcome"], "accepted", "{by_phone}");
    assert_eq!((unreadable, &fault["pointer"]), (StatusCode::BAD_REQUEST, &json!("/to")));
    assert_eq!(nobody.0, StatusCode::NOT_FOUND);
    stage.app.stop().await;
}

#[tokio::test]
async fn a_misspelled_filter_is_refused_and_takes_nothing() {
    let stage = Stage::open("").await;
    let events: Vec<_> = partner().into_iter().chain([delay(1)]).collect();
    stage.api(Method::POST, "/v1/events", json!(events)).await;

    let (status, problem) = stage.api(Method::GET, "/v1/deliveries?stat=sent", json!({})).await;
    assert_eq!((status, &problem["pointer"]), (StatusCode::BAD_REQUEST, &json!("?stat")));
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `state`?"), "{problem}");
    for filter in [json!({ "stat": "waiting" }), json!({}), json!({ "state": "" })] {
        let body = json!({ "action": "cancel", "filter": filter });
        let (status, problem) = stage.api(Method::POST, "/v1/deliveries/repair", body).await;
        assert!(status.is_client_error(), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("filter"), "{problem}");
    }
    let cancelled = "/v1/deliveries/count?state=cancelled";
    assert_eq!(stage.api(Method::GET, cancelled, json!({})).await.1["count"], 0);
    stage.app.stop().await;
}
