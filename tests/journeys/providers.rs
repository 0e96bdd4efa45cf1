//! Providers that fail in every way they know, on a clock that is moved by hand.

use std::time::Duration;

use serde_json::{Value, json};

use crate::receiver::{Gateway, Manner, Relay, Reply};
use crate::stage::{Clocked, company, event, hooked, mailed, outside, postgres};

async fn start(relay: &Relay, gateway: &Gateway, hook: &str, store: &str) -> Clocked {
    let loa = Clocked::start(&outside(relay, gateway, (hook, store))).await;
    loa.publish(&company()).await.unwrap();
    loa
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_and_probed_until_it_is_back_sqlite() {
    down_and_back("").await;
}

#[tokio::test]
async fn a_provider_that_is_down_is_left_alone_and_probed_until_it_is_back_postgres() {
    down_and_back(&postgres("journey_down").await).await;
}

async fn down_and_back(store: &str) {
    const EVENTS: usize = 30;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let hook = "concurrency = 4\nbreaker.least_calls = 4\nbreaker.window = 8\n";
    let loa = start(&relay, &gateway, hook, store).await;
    gateway.usually(Reply::status(500));

    let events: Vec<_> = (0..EVENTS).map(hooked).collect();
    loa.publish(&events).await.unwrap();
    loa.breaks("hook").await;
    let asked_while_down = gateway.requests.count();
    gateway.usually(Reply::Hold);
    loa.until_opens("hook").await;
    gateway.requests.wait_for(asked_while_down + 1).await;
    // Every chance to send a second probe beside the first.
    for _ in 0..20 {
        loa.move_on(Duration::from_millis(100)).await;
        loa.get("/v1/providers").await;
    }
    let asked_while_probing = gateway.requests.count() - asked_while_down;
    gateway.usually(Reply::ok());
    gateway.release(1);
    loa.pass(Duration::from_hours(2)).await;

    assert!(asked_while_down < EVENTS, "{asked_while_down} calls to a provider that is down");
    assert_eq!(asked_while_probing, 1);
    assert_eq!(loa.breaker("hook"), "closed");
    assert_eq!(loa.count("provider=hook&state=sent").await, EVENTS);
    let requests = gateway.requests.all();
    for number in 0..EVENTS {
        let order = format!("DH-{number}");
        let told = requests.iter().skip(asked_while_down);
        assert_eq!(told.filter(|request| request.business_key() == order).count(), 1, "{order}");
    }
    loa.closes().await;
}

#[tokio::test]
async fn a_gateway_that_asks_for_time_gets_it_sqlite() {
    ask_for_time("").await;
}

#[tokio::test]
async fn a_gateway_that_asks_for_time_gets_it_postgres() {
    ask_for_time(&postgres("journey_time").await).await;
}

async fn ask_for_time(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&relay, &gateway, "", store).await;

    for (first, retry_after) in [(1, "120".to_owned()), (11, in_two_minutes(&loa))] {
        let before = gateway.requests.count();
        gateway.script([Reply::too_many(&retry_after)]);
        loa.publish(&[hooked(first)]).await.unwrap();
        loa.rest().await;
        // Others do not go to it either.
        loa.publish(&[hooked(first + 1)]).await.unwrap();
        loa.pass(Duration::from_secs(118)).await;
        assert_eq!(gateway.requests.count(), before + 1, "asked before its time: {retry_after}");
        loa.pass(Duration::from_secs(2)).await;
        assert_eq!(gateway.requests.count(), before + 3, "not asked at its time: {retry_after}");
        let query = format!("business_key=DH-{first}&provider=hook&state=sent");
        let story = loa.story(&query).await;
        assert_eq!(story["attempts"][0]["code"], "429", "{story}");
        assert_eq!(story["attempts"][1]["class"], "accepted", "{story}");
    }
    loa.closes().await;
}

/// Two minutes after the first part of the story, which takes two itself, as HTTP writes dates.
fn in_two_minutes(loa: &Clocked) -> String {
    let then = loa.now().checked_add(Duration::from_mins(4)).unwrap();
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn a_call_cut_off_is_unknown_and_tried_again_or_held_as_the_type_says_sqlite() {
    cut_off("").await;
}

#[tokio::test]
async fn a_call_cut_off_is_unknown_and_tried_again_or_held_as_the_type_says_postgres() {
    cut_off(&postgres("journey_cut").await).await;
}

async fn cut_off(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&relay, &gateway, "", store).await;
    gateway.script([Reply::CutAfterTheBody, Reply::CutBeforeTheBody]);
    relay.script([Manner::CutsAfterTheDot]);

    loa.publish(&[hooked(1)]).await.unwrap();
    loa.publish(&[launch("l-1")]).await.unwrap();
    loa.pass(Duration::from_hours(1)).await;

    let tried = loa.story("provider=hook").await;
    let classes = |story: &Value| -> Vec<Value> {
        story["attempts"].as_array().unwrap().iter().map(|try_| try_["class"].clone()).collect()
    };
    assert_eq!(classes(&tried), ["unknown", "unknown", "accepted"], "{tried}");
    let requests = gateway.requests.all();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.delivery() == requests[0].delivery()));

    let held = loa.story("type=product.launched").await;
    assert_eq!(held["delivery"]["state"], "held", "{held}");
    assert_eq!(held["delivery"]["reason"], "unknown_outcome");
    let id = held["delivery"]["id"].as_str().unwrap();
    let (released, answer) = loa.command(&["deliveries", "release", id]).await;
    assert!(released, "{answer}");
    loa.rest().await;
    let mails = relay.mails.all();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(loa.count("type=product.launched&state=sent").await, 1);
    loa.closes().await;
}

/// Marketing to one who agreed to it; its type holds what nobody knows.
pub(crate) fn launch(id: &str) -> Value {
    let content = json!({ "headline": "Mới", "text": "Mới.", "link": "https://x.test/1" });
    let data = json!({ "product_id": id, "recipients": ["mai"], "content": { "vi": content } });
    event("product.launched", id, data)
}

#[tokio::test]
async fn an_address_that_nobody_has_is_not_written_to_again_sqlite() {
    bounce("").await;
}

#[tokio::test]
async fn an_address_that_nobody_has_is_not_written_to_again_postgres() {
    bounce(&postgres("journey_bounce").await).await;
}

async fn bounce(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&relay, &gateway, "", store).await;
    relay.script([Manner::KnowsNobody]);

    loa.publish(&[mailed(1)]).await.unwrap();
    loa.rest().await;
    loa.publish(&[mailed(2)]).await.unwrap();
    loa.rest().await;

    let bounced = loa.story("business_key=DH-1&channel=email").await;
    assert_eq!(bounced["delivery"]["state"], "bounced", "{bounced}");
    assert_eq!(bounced["attempts"][0]["code"], "550 5.1.1");
    let skipped = loa.story("business_key=DH-2&channel=email").await;
    assert_eq!(skipped["delivery"]["state"], "skipped", "{skipped}");
    assert_eq!(skipped["delivery"]["reason"], "suppressed_address");
    assert_eq!(relay.mails.count(), 0);
    loa.closes().await;
}

#[tokio::test]
async fn a_misconfigured_provider_is_held_and_costs_no_attempt_sqlite() {
    misconfigure("").await;
}

#[tokio::test]
async fn a_misconfigured_provider_is_held_and_costs_no_attempt_postgres() {
    misconfigure(&postgres("journey_misconfigured").await).await;
}

async fn misconfigure(store: &str) {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let loa = start(&relay, &gateway, "concurrency = 1\n", store).await;
    let body = "no token of yours may reach lan@minhphat.example or +84 901 234 567";
    let headers = String::new();
    gateway.usually(Reply::Answer { status: 401, headers, body: body.to_owned() });

    loa.publish(&[hooked(1), hooked(2), hooked(3)]).await.unwrap();
    loa.pass(Duration::from_mins(10)).await;
    let (_, listed) = loa.command(&["providers", "list"]).await;
    let asked_while_wrong = gateway.requests.count();
    let waiting = loa.deliveries("provider=hook&state=waiting").await;
    gateway.usually(Reply::ok());
    let (released, answer) = loa.command(&["providers", "release", "hook"]).await;
    loa.rest().await;

    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert!(waiting.iter().all(|delivery| delivery["attempts"] == json!(0)), "{waiting:?}");
    assert_eq!(asked_while_wrong, 1);
    let cause = "misconfigured: its gateway refuses the credentials (401): \"no token of yours may \
                 reach la…@minhphat.example or +84…567\"; correct them, then test and release it";
    let all = listed["providers"].as_array().unwrap();
    let hook = all.iter().find(|provider| provider["name"] == "hook").unwrap();
    assert_eq!(hook["hold"]["reason"], cause);
    assert!(released, "{answer}");
    let sent = loa.deliveries("provider=hook&state=sent").await;
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|delivery| delivery["attempts"] == json!(1)), "{sent:?}");
    loa.closes().await;
}

#[tokio::test]
async fn a_test_of_a_provider_that_hangs_ends_and_says_that_there_was_no_answer() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let usual = outside(&relay, &gateway, ("", ""));
    let loa = Clocked::start(&usual.replace("[http]\n", "[http]\ntimeout = \"1s\"\n")).await;
    gateway.usually(Reply::Hold);

    let path = "/v1/providers/hook/test";
    let hangs = loa.post(path, "application/json", "{}").await.unwrap();
    let nobody = loa.post(path, "application/json", r#"{"to":" "}"#).await.unwrap();

    let (status, tried) = hangs;
    assert_eq!((status, &tried["outcome"]), (200, &json!("unknown")), "{tried}");
    assert!(tried["answer"].as_str().unwrap().contains("no answer within 1 s"), "{tried}");
    assert_eq!((nobody.0, &nobody.1["pointer"]), (400, &json!("/to")), "{nobody:?}");
    gateway.release(1);
}
