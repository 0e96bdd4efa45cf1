//! The quick drill: the ledger is proved against kills, cuts and receivers that misbehave.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{loa, own_database, own_virtual_host, service};

/// What a drill with these arguments reports, and what it ended with.
fn drill(more: &[&str]) -> (Value, Option<i32>) {
    let folder = TempDir::new().unwrap();
    let mut command = loa();
    command.args(["drill", "--quick", "--output", "json", "--data-dir"]).arg(folder.path());
    let output = command.args(more).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|_| panic!("no report: {told}")), output.status.code())
}

fn assert_kept((report, code): &(Value, Option<i32>)) {
    assert_eq!(report["broken"], json!([]), "seed {}", report["seed"]);
    assert_eq!(*code, Some(0));
    assert_eq!(report["lost"], 0);
    assert_eq!(report["orphans"], 0);
    assert_eq!(report["ledger"]["closes"], true);
    assert!(report["duplicates"].as_u64() <= report["in_flight"].as_u64());
    let faults = report["faults"].as_array().unwrap();
    let is_kill = |fault: &Value| fault["kind"].as_str().unwrap().starts_with("kill -9");
    assert!(faults.iter().any(is_kill), "nothing was killed: {faults:?}");
}

#[test]
fn a_quick_drill_keeps_every_promise_sqlite() {
    let found = drill(&[]);

    assert_kept(&found);
}

#[tokio::test]
async fn a_quick_drill_of_two_workers_keeps_every_promise_postgres_rabbitmq_exclusive() {
    let (store, amqp) = (own_database("journey_drill").await, own_virtual_host("journey-drill"));
    let controls = (service("TEST_POSTGRES_CONTROL"), service("TEST_RABBITMQ_CONTROL"));

    let found = drill(&[
        "--store",
        &store,
        "--amqp",
        &amqp,
        "--store-control",
        &controls.0,
        "--amqp-control",
        &controls.1,
    ]);

    assert_kept(&found);
}

#[tokio::test]
async fn a_drill_refuses_a_postgres_that_holds_anything_else() {
    let store = own_database("journey_drill_refused").await;
    let (client, connection) =
        tokio_postgres::connect(&store, tokio_postgres::NoTls).await.unwrap();
    let make = client
        .batch_execute("CREATE TABLE customer (name TEXT); INSERT INTO customer VALUES ('An')");
    tokio::select! { made = make => made.unwrap(), _ = connection => panic!("it ended") }

    let output = loa().args(["drill", "--quick", "--store", &store]).output().unwrap();

    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("is not empty"), "{told}");
}
