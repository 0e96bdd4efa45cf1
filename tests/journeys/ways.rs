//! Each way in leads to each provider.

use lapin::BasicProperties;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Rabbit, Running, binary_headers, company, delayed, event, outside, postgres};

/// RabbitMQ in three manners of writing, HTTP, the command line.
const WAYS: [&str; 5] = ["structured", "binary", "plain", "http", "cli"];
const PARTNERS: [&str; 3] = ["minh-phat", "hoa-sen", "an-cuong"];

#[tokio::test]
async fn each_way_in_leads_to_each_provider_through_rabbitmq_sqlite() {
    play("").await;
}

#[tokio::test]
async fn each_way_in_leads_to_each_provider_through_rabbitmq_postgres() {
    play(&postgres("journey_ways").await).await;
}

async fn play(store: &str) {
    let (relay, gateway, rabbit) =
        (Relay::start().await, Gateway::start().await, Rabbit::corner().await);
    let folder = TempDir::new().unwrap();
    let more = format!("{}{store}", rabbit.settings());
    let settings = outside(&relay, &gateway, ("", &more));
    let loa = Running::start(&folder, &settings).await;
    loa.ready().await;
    loa.publish(&company()).await.unwrap();

    for way in WAYS {
        for partner in PARTNERS {
            publish(&loa, &rabbit, way, partner).await;
        }
    }
    let ways = WAYS.len();
    relay.mails.wait_for(2 * ways).await;
    gateway.requests.wait_for(3 * ways).await;
    let ledger = loa.drain().await;

    assert_eq!(ledger["ledger"]["events"]["rejected"], 0, "{ledger}");
    loa.closes().await;
    let orders = |subjects: Vec<String>, partner: &str| {
        for way in WAYS {
            let order = format!("DH-{way}-{partner}");
            let count = subjects.iter().filter(|text| text.contains(&order)).count();
            assert_eq!(count, 1, "{order} in {subjects:?}");
        }
        assert_eq!(subjects.len(), ways);
    };
    let mails_to = |to: &str| {
        let mails = relay.mails.all().into_iter().filter(|mail| mail.to == to);
        mails.map(|mail| mail.header("Subject").to_owned()).collect()
    };
    orders(mails_to("lan@minhphat.test"), "minh-phat");
    orders(mails_to("mai@ancuong.test"), "an-cuong");
    let posts_to = |path: &str| {
        let posts = gateway.requests.all().into_iter().filter(|request| request.path == path);
        posts.map(|request| request.body.to_string()).collect()
    };
    orders(posts_to("/slack"), "minh-phat");
    orders(posts_to("/hook"), "hoa-sen");
    orders(posts_to("/texts"), "hoa-sen");
    assert_eq!(loa.count("provider=sandbox&state=sent").await, ways);
    rabbit.remove().await;
}

async fn publish(loa: &Running, rabbit: &Rabbit, way: &str, partner: &str) {
    let kind = "order.delayed";
    let data = delayed(partner, &format!("{way}-{partner}"));
    let event = event(kind, &format!("{way}-{partner}"), data.clone());
    match way {
        "structured" => rabbit.publish_events(&[event]).await,
        "binary" => {
            let properties = BasicProperties::default()
                .with_content_type("application/json".into())
                .with_headers(binary_headers(&event));
            rabbit.publish("any.key", &data.to_string(), properties).await;
        }
        "plain" => rabbit.publish(kind, &data.to_string(), BasicProperties::default()).await,
        "http" => {
            let answer = loa.publish(&[event]).await.unwrap();
            assert_eq!(answer["results"][0]["result"], "planned", "{answer}");
        }
        "cli" => {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("data.json");
            std::fs::write(&file, data.to_string()).unwrap();
            let (succeeded, answer): (bool, Value) =
                loa.command(&["publish", kind, "--data", file.to_str().unwrap()]).await;
            assert!(succeeded, "{answer}");
            assert_eq!(answer["results"][0]["result"], json!("planned"), "{answer}");
        }
        way => panic!("no way `{way}`"),
    }
}
