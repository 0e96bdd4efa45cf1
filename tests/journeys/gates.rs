//! What is planned is not sent if by then it must not be, and the row says why.

use std::time::Duration;

use serde_json::{Value, json};

use crate::providers::launch;
use crate::receiver::{Gateway, Relay};
use crate::stage::{Clocked, company, delayed, event, outside, postgres};

#[tokio::test]
async fn what_must_not_be_sent_any_more_is_not_sqlite() {
    play("").await;
}

#[tokio::test]
async fn what_must_not_be_sent_any_more_is_not_postgres() {
    play(&postgres("journey_gates").await).await;
}

#[tokio::test]
async fn what_waits_for_a_slow_rate_is_asked_the_gate_when_its_turn_comes() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let settings = outside(&relay, &gateway, ("", ""));
    let slow = "tls = \"none\"\nrate = \"1/min\"\nburst = 1\n";
    let loa = Clocked::start(&settings.replacen("tls = \"none\"\n", slow, 1)).await;
    loa.publish(&company()).await.unwrap();
    loa.publish(&[launch("l-1"), launch("l-2"), launch("l-3")]).await.unwrap();
    loa.rest().await;
    assert_eq!(loa.count("type=product.launched&state=sent").await, 1);

    loa.pass(Duration::from_secs(61)).await;
    assert_eq!(loa.count("type=product.launched&state=sent").await, 2);
    withdraw(&loa).await;
    loa.pass(Duration::from_mins(5)).await;

    assert_eq!(relay.mails.count(), 2);
    assert_eq!(loa.count("type=product.launched&state=skipped&reason=no_consent").await, 1);
    loa.closes().await;
}

async fn play(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = Clocked::start(&outside(&relay, &gateway, ("", store))).await;
    loa.publish(&company()).await.unwrap();

    consent_is_withdrawn(&loa).await;
    the_delay_is_over(&loa).await;
    it_is_too_late(&loa).await;

    assert_eq!(relay.mails.all().iter().filter(|mail| mail.to == "mai@ancuong.test").count(), 2);
    loa.closes().await;
}

/// The event `time` from now on.
fn later(loa: &Clocked, mut event: Value, time: Duration) -> Value {
    event["notbefore"] = json!(loa.now().checked_add(time).unwrap().to_string());
    event
}

fn state_and_reason(story: &Value) -> (&str, &str) {
    let word = |key: &str| story["delivery"][key].as_str().unwrap();
    (word("state"), word("reason"))
}

async fn consent_is_withdrawn(loa: &Clocked) {
    let launch = later(loa, launch("l-1"), Duration::from_hours(1));
    loa.publish(&[launch]).await.unwrap();
    loa.rest().await;
    assert_eq!(loa.count("type=product.launched&state=waiting").await, 1);

    withdraw(loa).await;
    loa.pass(Duration::from_hours(2)).await;

    let story = loa.story("type=product.launched").await;
    assert_eq!(state_and_reason(&story), ("skipped", "no_consent"), "{story}");
}

/// Mai wants no advertising any more.
async fn withdraw(loa: &Clocked) {
    let address = json!({ "channel": "email", "email": "mai@ancuong.test" });
    let withdrawn = json!({
        "id": "mai", "name": "Mai", "partner": "an-cuong", "duty": "buyer", "addresses": [address],
        "consents": [{ "address": address, "granted": false, "at": loa.now().to_string(),
                       "source": "web_form" }],
        "changed_at": loa.now().to_string()
    });
    loa.publish(&[event("contact.changed", "mai-2", withdrawn)]).await.unwrap();
}

async fn the_delay_is_over(loa: &Clocked) {
    let delay = event("order.delayed", "d-1", delayed("an-cuong", "1"));
    loa.publish(&[later(loa, delay, Duration::from_hours(1))]).await.unwrap();
    loa.pass(Duration::from_mins(1)).await;
    let over = json!({ "order_id": "DH-1", "partner_id": "an-cuong", "promised_at": "2030-01-01" });
    loa.publish(&[event("order.delay_resolved", "r-1", over)]).await.unwrap();
    loa.pass(Duration::from_hours(2)).await;

    let story = loa.story("type=order.delayed&business_key=DH-1&channel=email").await;
    assert_eq!(state_and_reason(&story), ("cancelled", "overtaken"), "{story}");
    // That it is over is told all the same.
    assert_eq!(loa.count("type=order.delay_resolved&channel=email&state=sent").await, 1);
}

async fn it_is_too_late(loa: &Clocked) {
    let (held, answer) = loa.command(&["providers", "hold", "relay"]).await;
    assert!(held, "{answer}");
    let event = |id: &str| event("order.delayed", &format!("d-{id}"), delayed("an-cuong", id));
    loa.publish(&[event("2")]).await.unwrap();
    loa.pass(Duration::from_hours(23)).await;
    loa.publish(&[event("3")]).await.unwrap();
    loa.pass(Duration::from_hours(2)).await;
    let (released, answer) = loa.command(&["providers", "release", "relay"]).await;
    assert!(released, "{answer}");
    loa.pass(Duration::from_mins(1)).await;

    let story = loa.story("business_key=DH-2&channel=email").await;
    assert_eq!(state_and_reason(&story), ("expired", "expiry"), "{story}");
    assert_eq!(loa.count("business_key=DH-3&channel=email&state=sent").await, 1);
}
