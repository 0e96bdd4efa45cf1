//! The link in a marketing email: it asks, and a press or a mail program's one click withdraws.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::inside::Stage;
use crate::providers::launch;
use crate::stage::company;

impl Stage {
    /// Tells Mai, who agreed to marketing, of a product, and returns the link to get no more.
    async fn unsubscribe_link(&self) -> String {
        self.unsubscribe_link_of(&company()).await
    }

    /// The same where Mai is somebody else.
    pub(crate) async fn unsubscribe_link_of(&self, company: &[Value]) -> String {
        self.take_in(company).await;
        self.take_in(&[launch("l-1")]).await;
        let captured = self.app.store.captured(None, None, 10).await.unwrap();
        let link = |message: &Value| message["unsubscribe_url"].as_str().map(str::to_owned);
        let link = captured.iter().find_map(|captured| link(&captured.message)).unwrap();
        link.strip_prefix("https://loa.test").unwrap().to_owned()
    }

    async fn take_in(&self, events: &[Value]) {
        let (status, answer) = self.api(Method::POST, "/v1/events", json!(events)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        self.app.pipeline.run_until_idle().await.unwrap();
    }

    /// What is known of Mai's consent.
    async fn consent(&self) -> Value {
        let (_, answer) = self.api(Method::GET, "/v1/contacts/mai", json!({})).await;
        answer["consents"][0].clone()
    }
}

async fn page(request: RequestBuilder) -> (StatusCode, String) {
    let answer = request.send().await.unwrap();
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("text/html"), "a person gets {kind}");
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn opening_the_link_only_asks() {
    let stage = Stage::open("").await;
    let link = stage.unsubscribe_link().await;

    let (status, shown) = page(stage.request(Method::GET, &link)).await;

    assert_eq!(status, StatusCode::OK);
    assert!(shown.contains("<form method=\"post\">"), "{shown}");
    assert!(!shown.contains("mai@ancuong.test"), "the address stands in the page: {shown}");
    assert_eq!(stage.consent().await["granted"], true, "a look withdrew the consent");
    stage.app.stop().await;
}

#[tokio::test]
async fn a_press_or_one_click_withdraws_the_consent_with_its_time_and_source() {
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=x";
    let part = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--";
    for (kind, body, source) in [
        (form, "", "unsubscribe_link"),
        (form, "List-Unsubscribe=One-Click", "one_click"),
        (multipart, part, "one_click"),
    ] {
        let stage = Stage::open("").await;
        let link = stage.unsubscribe_link().await;

        let request = stage.request(Method::POST, &link).header(CONTENT_TYPE, kind).body(body);
        let (status, shown) = page(request).await;

        assert_eq!(status, StatusCode::OK, "{shown}");
        let consent = stage.consent().await;
        assert_eq!(consent["granted"], false, "{consent}");
        assert_eq!(consent["source"], source, "{consent}");
        assert_eq!(consent["at"], stage.app.clock.now().to_string(), "{consent}");
        stage.take_in(&[launch("l-2")]).await;
        let (_, counts) = stage
            .api(Method::GET, "/v1/deliveries/count?state=skipped&reason=no_consent", json!({}))
            .await;
        assert_eq!(counts["count"], 1, "{counts}");
        stage.app.stop().await;
    }
}

#[tokio::test]
async fn a_link_that_is_not_ours_is_a_page_that_says_what_to_do() {
    let stage = Stage::open("").await;
    let link = stage.unsubscribe_link().await;
    let forged = format!("{}x", link.strip_suffix(char::is_alphanumeric).unwrap_or(&link));

    for method in [Method::GET, Method::POST] {
        let (status, shown) = page(stage.request(method, &forged)).await;

        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(shown.contains("This link does not work"), "{shown}");
    }
    assert_eq!(stage.consent().await["granted"], true);
    stage.app.stop().await;
}
