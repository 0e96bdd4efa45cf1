//! Whom Loa reaches: on a staging system only whom the settings name, and nobody through a proxy of
//! the environment.

use std::time::Duration;

use loa::model::address::Channel;
use loa::store::DeliveryFilter;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::inside::Stage;
use crate::receiver::{Gateway, Relay};
use crate::stage::{Clocked, Running, company, delay, hooked, mailed, outside, partner};

#[tokio::test]
async fn only_whom_the_settings_name_is_reached() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let usual = outside(&relay, &gateway, ("", ""));
    let staging = usual.replace("[send]\n", "[send]\nonly_to = [\"*@minhphat.test\"]\n");
    let loa = Clocked::start(&staging).await;
    loa.publish(&company()).await.unwrap();

    // The first tells a buyer by email and a manager by Slack, the second a buyer elsewhere.
    loa.publish(&[delay(1), mailed(2)]).await.unwrap();
    loa.rest().await;

    let reached: Vec<_> = relay.mails.all().into_iter().map(|mail| mail.to).collect();
    assert_eq!(reached, ["lan@minhphat.test"]);
    assert!(gateway.requests.all().is_empty(), "a chat was called");
    let story = loa.story("business_key=DH-2&channel=email").await;
    assert_eq!(story["attempts"][0]["code"], "captured", "{story}");
    loa.closes().await;
}

#[tokio::test]
async fn what_is_kept_back_is_shown_whole_and_labelled() {
    let stage = Stage::open("[send]\nonly_to = [\"*@staff.test\"]\n").await;
    let session = stage.sign_in("thu-ha", "viewer").await;
    for events in [json!(partner()), json!([delay(1)])] {
        let (status, answer) = stage.api(Method::POST, "/v1/events", events).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    stage.app.pipeline.run_until_idle().await.unwrap();
    let filter = DeliveryFilter { channel: Some(Channel::Email), ..DeliveryFilter::default() };
    let delivery = stage.app.store.deliveries(filter, None, 1).await.unwrap().remove(0).id;

    for path in [format!("/deliveries/{delivery}"), "/sandbox".to_owned()] {
        let page = stage.request(Method::GET, &path).header("cookie", &session);
        let page = page.header("accept-language", "en").send().await.unwrap().text().await.unwrap();

        assert!(page.contains("kept back: its address is not in send.only_to"), "{path}: {page}");
        assert!(page.contains("DH-1"), "{path} shows no subject: {page}");
        assert!(page.contains("lan@minhphat.test") || path != "/sandbox", "{path}: {page}");
    }
    stage.app.stop().await;
}

#[tokio::test]
async fn no_proxy_of_the_environment_comes_between_loa_and_a_gateway() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", elsewhere.local_addr().unwrap());
    let environment = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map(|name| (name, proxy.as_str()));
    let folder = TempDir::new().unwrap();
    let loa =
        Running::start_with(&folder, &outside(&relay, &gateway, ("", "")), &environment).await;
    loa.publish(&company()).await.unwrap();

    // A proxy would look names up by itself, past the rules for where Loa may call.
    loa.publish(&[hooked(1)]).await.unwrap();
    gateway.requests.wait_for(1).await;

    let asked = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(asked.is_err(), "the proxy was asked");
}
