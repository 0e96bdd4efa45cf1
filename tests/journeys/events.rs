//! From an event to a message, by each way in.

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{PATIENCE, Running, as_loa, delay, event, partner, service, settings};

#[tokio::test]
async fn an_event_by_http_becomes_an_email_and_a_repeat_becomes_none() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    loa.publish(&partner()).await.unwrap();

    let first = loa.publish(&[delay(1)]).await.unwrap();
    let again = loa.publish(&[delay(1)]).await.unwrap();
    let ledger = loa.drain().await;

    assert_eq!(first["results"][0]["result"], "planned", "{first}");
    assert_eq!(again["results"][0]["result"], "repeat");
    assert_eq!(ledger["ledger"]["closes"], true);
    assert_eq!(ledger["audit"], json!([]));
    let sent = loa.get("/v1/deliveries?business_key=DH-1&state=sent").await;
    assert_eq!(sent["deliveries"].as_array().unwrap().len(), 1);
    let id = sent["deliveries"][0]["id"].as_str().unwrap();
    let story = loa.get(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(story["attempts"][0]["class"], "accepted");
    let subject = story["captured"][0]["message"]["subject"].as_str().unwrap();
    assert!(subject.contains("DH-1"), "{subject}");
}

#[tokio::test]
async fn an_array_is_planned_by_the_directory_before_it_unless_each_is_answered_by_itself() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    let mut array = partner().to_vec();
    array.push(delay(1));
    let last = array.len() - 1;
    let body = json!(array).to_string();

    let whole = loa.post("/v1/events", "application/cloudevents+json", body).await;
    let kept_of_whole = loa.count("").await;
    let each = loa.publish(&array).await.unwrap();
    loa.drain().await;

    let (status, problem) = whole.unwrap();
    assert_eq!((status, kept_of_whole), (422, 0), "{problem}");
    assert!(problem.to_string().contains("publish `partner.changed` first"), "{problem}");
    assert_eq!(each["results"][last]["result"], "planned", "{each}");
    loa.closes().await;
}

#[tokio::test]
async fn a_rejected_event_names_its_place_and_is_replayed_mended() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    loa.publish(&partner()).await.unwrap();
    let mut broken = delay(2);
    broken["data"]["order_id"] = json!(7);

    let answer = loa.publish(&[broken]).await.unwrap();

    assert_eq!(answer["results"][0]["reason"], "schema");
    assert_eq!(answer["results"][0]["pointer"], "/data/order_id");
    let id = answer["results"][0]["rejected"].as_str().unwrap().to_owned();
    let kept = loa.get(&format!("/v1/rejected/{id}")).await;
    assert!(kept["body"].as_str().unwrap().contains("\"order_id\":7"));

    let file = folder.path().join("mended.json");
    std::fs::write(&file, delay(2).to_string()).unwrap();
    let replay = |more: &[&str]| {
        let mut command = crate::stage::loa();
        command.args(["rejected", "replay", &id, "--body"]).arg(&file).args(more);
        let output = command.arg("--data-dir").arg(folder.path().join("data")).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output)
    };
    let (said, unasked) = replay(&[]);
    assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
    assert!(said.contains("would plan 3 deliveries"), "{said}");
    assert_eq!(loa.count("business_key=DH-2").await, 0);
    let (_, replay) = replay(&["--yes"]);

    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let replayed = &loa.get("/v1/events?business_key=DH-2").await["events"][0]["loa_id"];
    let gone = crate::stage::loa()
        .args(["rejected", "show", &id, "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&gone.stderr);
    let event = format!("by command line; it is event {} now", replayed.as_str().unwrap());
    assert!(
        said.contains("this rejected event was replayed at ") && said.contains(&event),
        "{said}"
    );
    let ledger = loa.drain().await;
    assert_eq!(ledger["ledger"]["closes"], true);
    assert_eq!(loa.get("/v1/rejected").await["rejected"], json!([]));
    let sent = loa.get("/v1/deliveries?business_key=DH-2&state=sent").await;
    assert_eq!(sent["deliveries"].as_array().unwrap().len(), 1);
    let id = delay(2)["id"].as_str().unwrap().to_owned();
    let (found, shown) = loa.command(&["events", "show", &id]).await;
    assert!(found, "{shown}");
    assert_eq!(shown["event"]["data"]["order_id"], "DH-2");
}

#[expect(clippy::too_many_lines, reason = "one conversation with a broker")]
#[tokio::test]
async fn an_event_by_rabbitmq_becomes_an_email_and_the_publisher_hears_of_it() {
    let url = service("TEST_AMQP_URL");
    let folder = TempDir::new().unwrap();
    let names = "exchange = \"journey.events\"\nqueue = \"journey.intake\"\n\
                 dead_letter_exchange = \"journey.dropped\"\n\
                 dead_letter_queue = \"journey.dropped\"\nstatus_exchange = \"journey.status\"\n";
    let broker = format!("[rabbitmq]\nurl = \"{}\"\n{names}", as_loa(&url));
    let loa = Running::start(&folder, &settings(&broker)).await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    // The exchanges are there once Loa is ready.
    let ready = async {
        while loa.get("/readyz").await["ready"] != json!(true) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
    let name = queue.name().clone();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(name.clone(), "journey.status".into(), "#".into(), bind, FieldTable::default())
        .await
        .unwrap();
    let consume = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut heard = channel
        .basic_consume(name, "journey".into(), consume, FieldTable::default())
        .await
        .unwrap();

    let mut events = partner().to_vec();
    events.push(delay(3));
    events.push(event("order.eaten", "x", json!({})));
    for event in &events {
        let kind = event["type"].as_str().unwrap().to_owned();
        let body = event.to_string();
        let publish = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_correlation_id("corr-7".into());
        channel
            .basic_publish(
                "journey.events".into(),
                kind.into(),
                publish,
                body.as_bytes(),
                properties,
            )
            .await
            .unwrap();
    }

    let mut wanted = vec![
        "status.event.planned.order.delayed",
        "status.event.rejected.order.eaten",
        "status.email.sent.order.delayed",
    ];
    let listen = async {
        while !wanted.is_empty() {
            let message = heard.next().await.unwrap().unwrap();
            let key = message.routing_key.to_string();
            let body: Value = serde_json::from_slice(&message.data).unwrap();
            assert!(!body.to_string().contains("minhphat.test"), "an address in {body}");
            wanted.retain(|wanted| *wanted != key);
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.unwrap();
    let ledger = loa.drain().await;
    assert_eq!(ledger["ledger"]["closes"], true);
    assert_eq!(ledger["ledger"]["events"]["rejected"], 1);
}

#[tokio::test]
async fn a_rejected_event_is_discarded_only_by_whoever_agrees_to_it() {
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings("")).await;
    let mut broken = delay(2);
    broken["data"]["order_id"] = json!(7);
    let answer = loa.publish(&[broken]).await.unwrap();
    let id = answer["results"][0]["rejected"].as_str().unwrap().to_owned();
    let discard = |more: &[&str]| {
        let mut command = crate::stage::loa();
        command.args(["rejected", "discard", &id]).args(more);
        command.arg("--data-dir").arg(folder.path().join("data")).output().unwrap()
    };

    let unasked = discard(&[]);
    assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
    let said = String::from_utf8_lossy(&unasked.stderr);
    assert!(said.contains("nothing was done") && said.contains("add --yes"), "{said}");
    assert!(said.contains("schema"), "{said}");
    assert_eq!(loa.get(&format!("/v1/rejected/{id}")).await["id"], json!(id));
    let discarded = discard(&["--yes"]);

    assert!(discarded.status.success(), "{discarded:?}");
    assert_eq!(loa.get("/v1/rejected").await["rejected"], json!([]));
}
