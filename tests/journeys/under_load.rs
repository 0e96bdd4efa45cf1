//! More comes in than goes out, for a while or because a receiver is away.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::receiver::{Gateway, Manner, Relay, Reply};
use crate::stage::{
    Running, company, delayed, event, hooked, hurried, outside, postgres, with_catalogue,
};

#[tokio::test]
async fn what_waits_shows_its_age_by_lane_and_goes_by_lane_and_due_time_sqlite() {
    outrun("").await;
}

#[tokio::test]
async fn what_waits_shows_its_age_by_lane_and_goes_by_lane_and_due_time_postgres() {
    outrun(&postgres("journey_outrun").await).await;
}

async fn outrun(store: &str) {
    const EACH: usize = 6;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let settings = outside(&relay, &gateway, ("", store));
    let one_slot = "tls = \"none\"\nconcurrency = 1\n";
    let settings = settings.replacen("tls = \"none\"\n", one_slot, 1);
    let in_bulk = |name: &str, text: String| match name {
        "complaint.resolved" => text.replace("lane = \"normal\"", "lane = \"bulk\""),
        _ => text,
    };
    let loa = Running::start(&folder, &with_catalogue(&folder, &settings, in_bulk)).await;
    loa.publish(&company()).await.unwrap();
    relay.usually(Manner::HoldsAfterTheDot);

    // The first takes the only slot; what comes later waits behind it.
    for number in 0..EACH {
        loa.publish(&[in_bulk_to(number)]).await.unwrap();
    }
    relay.mails.wait_for(1).await;
    for number in 0..EACH {
        loa.publish(&[urgent_to(number)]).await.unwrap();
    }
    let lanes = loa.get("/v1/ledger").await["backlog"]["oldest_due"].clone();
    let age =
        async |lane: &str| loa.seconds(&format!("loa_oldest_due_seconds{{lane=\"{lane}\"}}")).await;
    let (before, since) = (age("bulk").await, Instant::now());
    loa.until("the age to grow", async || age("bulk").await >= before + 0.2).await;
    let (bulk, urgent, passed) = (age("bulk").await, age("urgent").await, since.elapsed());
    relay.usually(Manner::Takes);
    relay.release(1);
    let mails = relay.mails.wait_for(2 * EACH).await;
    loa.drain().await;

    assert!(lanes["bulk"].is_string() && lanes["urgent"].is_string(), "{lanes}");
    assert!(urgent > 0.0 && urgent < bulk, "{urgent} s and {bulk} s");
    assert!(bulk <= before + passed.as_secs_f64() + 0.1, "{bulk} s after {passed:?}");
    let came: Vec<&str> = mails.iter().map(|mail| mail.to.as_str()).collect();
    let mut wanted = vec!["bulk0@of.test".to_owned()];
    wanted.extend((0..EACH).map(|number| format!("urgent{number}@of.test")));
    wanted.extend((1..EACH).map(|number| format!("bulk{number}@of.test")));
    assert_eq!(came, wanted);
    assert!(age("bulk").await == 0.0 && age("urgent").await == 0.0);
    loa.closes().await;
}

fn in_bulk_to(number: usize) -> Value {
    let data = json!({
        "complaint_id": format!("K-{number}"), "partner_id": "truc-lam",
        "resolution": { "vi": "Đổi hàng" }, "recipients": [format!("bulk{number}@of.test")]
    });
    event("complaint.resolved", &format!("r-{number}"), data)
}

fn urgent_to(number: usize) -> Value {
    let mut data = delayed("truc-lam", &format!("u-{number}"));
    data["recipients"] = json!([format!("urgent{number}@of.test")]);
    event("order.delayed", &format!("u-{number}"), data)
}

/// Calls a second that the receiver allows, and how many at once after a pause.
const LIMIT: (usize, usize) = (40, 10);
/// How long calls stop once the breaker has opened.
const OPEN_FOR: Duration = Duration::from_secs(1);

#[tokio::test]
async fn after_an_outage_a_receiver_is_told_at_once_and_never_above_its_limit_sqlite() {
    outage("").await;
}

#[tokio::test]
async fn after_an_outage_a_receiver_is_told_at_once_and_never_above_its_limit_postgres() {
    outage(&postgres("journey_outage").await).await;
}

async fn outage(store: &str) {
    const EVENTS: usize = 120;
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let folder = TempDir::new().unwrap();
    let (rate, burst) = LIMIT;
    let hook = format!(
        "concurrency = 16\nrate = \"{rate}/s\"\nburst = {burst}\n\
         breaker.open_for = \"{} s\"\n",
        OPEN_FOR.as_secs()
    );
    let settings = with_catalogue(&folder, &outside(&relay, &gateway, (&hook, store)), hurried);
    let loa = Running::start(&folder, &settings).await;
    loa.publish(&company()).await.unwrap();
    gateway.usually(Reply::status(503));

    // It is away while events go on coming.
    for number in 0..EVENTS {
        loa.publish(&[hooked(number)]).await.unwrap();
    }
    loa.until("the breaker to open", async || {
        let providers = loa.get("/v1/providers").await;
        let mut all = providers["providers"].as_array().unwrap().iter();
        all.any(|one| one["name"] == "hook" && one["breaker"] == "open")
    })
    .await;
    gateway.usually(Reply::ok());
    let back = Instant::now();
    loa.publish(&[hooked(EVENTS)]).await.unwrap();
    loa.until("all to be told", async || loa.count("provider=hook&state=sent").await == EVENTS + 1)
        .await;
    let over = Instant::now();
    loa.publish(&[hooked(EVENTS + 1)]).await.unwrap();
    loa.drain().await;
    let requests = gateway.requests.all();

    let first_of = |number: usize| {
        let key = format!("DH-{number}");
        requests.iter().find(|one| one.business_key() == key).map(|one| one.at)
    };
    // Probes come first, at the latest when the breaker has been open twice as long; then what has
    // waited longest, at the rate of the receiver. The rest is for a machine that is busy with
    // other work.
    let bound = 2 * OPEN_FOR + Duration::from_secs((EVENTS / rate + 5) as u64);
    let late = first_of(EVENTS).unwrap().duration_since(back);
    assert!(late < bound, "first told {late:?} after the receiver was back, not within {bound:?}");
    let prompt = first_of(EVENTS + 1).map(|at| at.duration_since(over));
    assert!(prompt.is_some_and(|took| took < 3 * OPEN_FOR), "{prompt:?} once all was well");
    let times: Vec<Instant> = requests.iter().map(|request| request.at).collect();
    let second = Duration::from_secs(1);
    let most = (0..times.len())
        .map(|first| times[first..].partition_point(|at| at.duration_since(times[first]) < second))
        .max();
    // A request may be on its way for a moment longer than the one before it.
    assert!(most.unwrap() <= rate + burst + 2, "{most:?} requests within a second");
    loa.closes().await;
}
