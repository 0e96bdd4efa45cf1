//! Loa with exactly the rights that docs/security.md gives it, as its commands give them.

use std::process::Command;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use loa::lifecycle::Tasks;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::stage::{Running, delay, loa, partner, service, settings};

/// The block of the document that begins with this word.
fn block(word: &str) -> String {
    let document = include_str!("../../docs/security.md");
    let (_, rest) = document.split_once(&format!("```{word}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// A virtual host and users of this test's own.
const VHOST: &str = "journey-rights";

/// Runs commands for RabbitMQ as the document has them, with names of this test's own.
fn give_rights_in_rabbitmq(word: &str, before: &str) {
    let names = format!("vhost={VHOST} user={VHOST}-loa publisher={VHOST}-shop password=secret\n");
    let script = format!(
        "rabbitmqctl() {{ \"$TEST_RABBITMQ_CONTROL\" ctl \"$@\"; }}\n{names}{before}set -e\n{}",
        block(word)
    );
    let control = service("TEST_RABBITMQ_CONTROL");
    let done = Command::new("bash")
        .args(["-c", &script])
        .env("TEST_RABBITMQ_CONTROL", control)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// How `user` reaches the virtual host.
fn way(user: &str) -> String {
    let url = service("TEST_AMQP_URL");
    let (_, rest) = url.split_once('@').unwrap();
    let (host, _) = rest.split_once('/').unwrap();
    format!("amqp://{VHOST}-{user}:secret@{host}/{VHOST}")
}

async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.unwrap()
}

/// Publishes an event as someone else's system; whether the broker took it.
async fn publish(connection: &Connection, event: &serde_json::Value) -> bool {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let kind = event["type"].as_str().unwrap().into();
    let properties =
        BasicProperties::default().with_content_type("application/cloudevents+json".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = event.to_string();
    let sent = channel
        .basic_publish("loa.events".into(), kind, options, body.as_bytes(), properties)
        .await;
    let Ok(sent) = sent else { return false };
    matches!(sent.await, Ok(Confirmation::Ack(None)))
}

/// Starts Loa, and sees an event go in, a message out and word of it back.
async fn assert_works(folder: &TempDir, mode: &str, number: usize) {
    let more = format!("[rabbitmq]\nurl = \"{}\"\ntopology = \"{mode}\"\n", way("loa"));
    let loa = Running::start(folder, &settings(&more)).await;
    loa.ready().await;
    loa.publish(&partner()).await.unwrap();
    let shop = connect(&way("shop")).await;

    assert!(publish(&shop, &delay(number)).await, "whoever may publish was refused");

    let sent = format!("/v1/deliveries/count?business_key=DH-{number}&state=sent");
    loa.wait_for_count(&sent, 1).await;
    let (url, _) = loa.door();
    // Nobody listens, so that the exchange has them and no queue.
    let told = async || {
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        metrics.contains("status_events_total{result=\"unroutable\"}")
    };
    loa.until("status events to go out", told).await;
    assert!(!loa.log().contains("ACCESS_REFUSED"), "{}", loa.log());
}

#[tokio::test]
async fn loa_works_with_the_rights_of_the_document_in_rabbitmq_and_has_no_others() {
    let clean = ["delete_vhost ", "delete_user ", "delete_user "];
    let names = [VHOST.to_owned(), format!("{VHOST}-loa"), format!("{VHOST}-shop")];
    let clean: String = clean
        .iter()
        .zip(&names)
        .map(|(verb, name)| format!("rabbitmqctl {verb}{name} || true\n"))
        .collect();
    let folder = TempDir::new().unwrap();

    give_rights_in_rabbitmq("sh declare", &clean);
    assert_works(&folder, "declare", 1).await;
    give_rights_in_rabbitmq("sh check", "");
    assert_works(&folder, "check", 2).await;

    let own = connect(&way("loa")).await;
    assert!(!publish(&own, &delay(3)).await, "Loa itself may publish events");
    let peek = connect(&way("shop")).await.create_channel().await.unwrap();
    let peeked = peek.basic_get("loa.intake".into(), BasicGetOptions::default()).await;
    assert!(peeked.is_err(), "a publisher may read what others publish");
}

/// Statements as the document has them, with names of this test's own, each in its database.
async fn give_rights_in_postgres() -> String {
    let admin = Command::new(service("TEST_POSTGRES_CONTROL")).arg("admin").output().unwrap();
    let admin = String::from_utf8(admin.stdout).unwrap().trim().to_owned();
    let (base, _) = admin.rsplit_once('/').unwrap();
    let own =
        |text: &str| text.replace("loa_", "journey_rights_").replace(" loa", " journey_rights");
    let (everywhere, rest) =
        block("sql").split_once("\\connect loa\n").map(|(a, b)| (own(a), own(b))).unwrap();
    let tasks = Tasks::new();
    let all = client(&admin, &tasks).await;
    for clean in [
        "DROP DATABASE IF EXISTS journey_rights",
        "DROP ROLE IF EXISTS journey_rights_owner",
        "DROP ROLE IF EXISTS journey_rights_app",
    ] {
        all.batch_execute(clean).await.unwrap();
    }
    for statement in everywhere.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        all.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    client(&format!("{base}/journey_rights"), &tasks).await.batch_execute(&rest).await.unwrap();
    tasks.hard().cancel();
    let host = base.rsplit_once('@').unwrap().1;
    format!("postgres://journey_rights_app:secret@{host}/journey_rights")
}

async fn client(url: &str, tasks: &Tasks) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tasks.spawn(async move { drop(connection.await) });
    client
}

#[tokio::test]
async fn loa_works_with_the_rights_of_the_document_in_postgres_and_has_no_others() {
    let app = give_rights_in_postgres().await;
    let owner = app.replace("_app:", "_owner:");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("loa.toml");
    let with_store = |url: &str| settings(&format!("[store]\nurl = \"{url}\"\n"));

    std::fs::write(&file, with_store(&owner)).unwrap();
    let migrated = loa().args(["migrate", "--config"]).arg(&file).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let loa = Running::start(&folder, &with_store(&app)).await;
    loa.ready().await;
    loa.publish(&partner()).await.unwrap();
    loa.publish(&[delay(1), delay(1)]).await.unwrap();
    loa.publish_raw("{").await;
    loa.wait_for_count("/v1/deliveries/count?business_key=DH-1&state=sent", 1).await;
    loa.closes().await;

    let tasks = Tasks::new();
    let app = client(&app, &tasks).await;
    for refused in
        ["CREATE TABLE more (x INT)", "DROP TABLE delivery", "ALTER TABLE event ADD x INT"]
    {
        let fault = app.batch_execute(refused).await.unwrap_err();
        assert_eq!(fault.code().unwrap().code(), "42501", "{refused}");
    }
    tasks.hard().cancel();
}
