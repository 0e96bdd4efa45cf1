//! The demo's story, on both stores, from hand to hand and through RabbitMQ.

use std::io::{BufRead, BufReader};

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{bare_database, loa, own_virtual_host};

fn play(more: &[&str]) -> (Value, bool) {
    let folder = TempDir::new().unwrap();
    let output = loa()
        .args(["demo", "--once", "--output", "json", "--data-dir"])
        .arg(folder.path())
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| {
        panic!("no report: {text} {}", String::from_utf8_lossy(&output.stderr))
    });
    (report, output.status.success())
}

fn assert_told(report: &Value, succeeded: bool) {
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    assert_eq!(report["ledger"]["closes"], Value::Bool(true));
    assert!(report["ledger"]["planned"].as_i64().unwrap() > 50);
    assert_eq!(report["rejected"], 4);
    assert!(succeeded);
}

#[test]
fn the_demo_story_comes_out_as_told() {
    let (report, succeeded) = play(&[]);

    assert_told(&report, succeeded);
}

#[test]
fn a_folder_in_which_a_demo_was_is_refused_with_what_is_there_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let play = || {
        let mut demo = loa();
        demo.args(["demo", "--once", "--output", "json", "--data-dir"]).arg(folder.path());
        demo.output().unwrap()
    };
    assert!(play().status.success());

    let again = play();

    let told = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(2), "{told}");
    assert!(told.contains("loa.db is not empty: an earlier run"), "{told}");
    assert!(told.contains("--data-dir") && told.contains("remove"), "{told}");
}

#[test]
fn the_lines_to_paste_at_the_end_of_the_demo_work() {
    let folder = TempDir::new().unwrap();
    let mut demo = loa()
        .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let farewell = lines.skip_while(|line| !line.starts_with("Publish one"));
    let farewell: Vec<_> = farewell.take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let pasted = farewell.iter().skip(1).filter(|line| !line.is_empty());

    let run = |line: &String| {
        let output = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let results: Vec<_> = pasted.map(run).collect();
    demo.kill().unwrap();
    demo.wait().unwrap();

    let [published, broken, asked] = results.as_slice() else { panic!("{farewell:?}") };
    assert!(published.0, "{}", published.1);
    assert!(!broken.0 && broken.1.contains("/data/order_id"), "{}", broken.1);
    assert!(asked.0 && asked.1.contains("email"), "{}", asked.1);
}

#[tokio::test]
async fn the_demo_story_comes_out_as_told_on_postgres() {
    let url = bare_database("journey_demo");

    let (report, succeeded) = play(&["--store", &url]);

    assert_told(&report, succeeded);
}

#[tokio::test]
async fn the_demo_refuses_a_postgres_that_holds_anything_else() {
    let url = bare_database("journey_demo_twice");
    play(&["--store", &url]);

    let again = loa().args(["demo", "--once", "--store", &url]).output().unwrap();

    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
}

#[tokio::test]
async fn the_demo_story_comes_out_as_told_through_rabbitmq_and_postgres_and_leaves_nothing() {
    let url = own_virtual_host("journey-demo");
    let store = bare_database("journey_demo_rabbit");

    let (report, succeeded) = play(&["--store", &store, "--amqp", &url]);

    assert_told(&report, succeeded);
    // One that is killed cannot clear up; the next one does, and plays its own story.
    kill_in_the_middle(&url);
    let (again, succeeded) = play(&["--amqp", &url]);
    assert_told(&again, succeeded);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    for name in ["loa.events", "loa.status", "loa.rehearsal"] {
        let channel = connection.create_channel().await.unwrap();
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let table = FieldTable::default();
        let found =
            channel.exchange_declare(name.into(), ExchangeKind::Topic, options, table).await;
        assert!(found.is_err(), "{name} was left");
    }
}

fn kill_in_the_middle(url: &str) {
    let mut demo = loa()
        .args(["demo", "--listen", "127.0.0.1:0", "--amqp", url])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).find(|line| line.contains("deliveries planned"));
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert!(told.is_some(), "the story did not begin");
}

#[tokio::test]
async fn the_demo_refuses_a_virtual_host_of_rabbitmq_that_holds_anything_else() {
    let url = own_virtual_host("journey-demo-refused");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("loa.intake".into(), options, FieldTable::default()).await.unwrap();

    let output = loa().args(["demo", "--once", "--amqp", &url]).output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("holds queue `loa.intake`, which no rehearsal made"), "{told}");
    assert!(told.contains("add_vhost"), "{told}");
    assert!(!told.contains("guest:guest"), "{told}");
}
