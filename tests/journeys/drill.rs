//! The quick drill: the ledger is proved against kills, cuts and receivers that misbehave.

use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{PATIENCE, bare_database, loa, own_virtual_host, service, wait_for};

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
    assert!(report["in_flight"].as_u64() > Some(0), "no fault struck amid work: {faults:?}");
    // Whatever holds it up, it begins no fault so late that its minute would not be enough for the
    // rest.
    let began = |fault: Option<&Value>| fault.unwrap()["at_seconds"].as_f64().unwrap();
    let span = began(faults.last()) - began(faults.first());
    assert!(span < 42.0, "faults went on for {span} s, seed {}", report["seed"]);
}

#[test]
fn a_quick_drill_keeps_every_promise_sqlite() {
    let found = drill(&[]);

    assert_kept(&found);
}

#[tokio::test]
async fn a_quick_drill_of_two_workers_keeps_every_promise_postgres_rabbitmq_exclusive() {
    let (store, amqp) = (bare_database("journey_drill"), own_virtual_host("journey-drill"));
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

/// Takes three deliveries that were sent out of the store of a drill that is under way, behind its
/// back.
async fn steal(store: &Path) -> Vec<String> {
    let take = || {
        let store = Connection::open(store).ok()?;
        store.busy_timeout(PATIENCE).unwrap();
        let find = "SELECT id FROM delivery WHERE state = 'sent' AND provider = 'hook' LIMIT 3";
        let mut find = store.prepare(find).ok()?;
        let ids = find.query_map([], |row| row.get::<_, Vec<u8>>(0)).ok()?;
        let ids: Vec<_> = ids.collect::<Result<_, _>>().ok()?;
        if ids.len() < 3 {
            return None;
        }
        for id in &ids {
            store.execute("DELETE FROM delivery WHERE id = ?1", [id]).unwrap();
        }
        Some(ids)
    };
    let stolen = wait_for("deliveries to steal", take).await;
    stolen.iter().map(|id| uuid::Uuid::from_slice(id).unwrap().to_string()).collect()
}

#[tokio::test]
async fn a_drill_that_finds_a_broken_promise_ends_with_1_and_names_the_deliveries() {
    let folder = TempDir::new().unwrap();
    let mut command = tokio::process::Command::from(loa());
    command.args(["drill", "--faults", "2", "--deliveries", "400", "--seed", "3", "--data-dir"]);
    let drill = command.arg(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();

    let stolen = steal(&folder.path().join("worker-1/loa.db")).await;
    let output = drill.unwrap().wait_with_output().await.unwrap();

    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for id in stolen {
        let line = format!("✗ orphan: 1 × delivery {id}");
        assert!(told.lines().any(|told| told.trim() == line), "{line} is not told: {told}");
    }
    assert!(told.contains("promises were broken"), "{told}");
    assert!(told.contains("--seed 3 chooses the same faults"), "{told}");
}

#[test]
fn several_workers_on_one_sqlite_file_are_refused_and_one_is_not() {
    let drill = |workers: &str| {
        let folder = TempDir::new().unwrap();
        let mut command = loa();
        command.args(["drill", "--faults", "1", "--deliveries", "40", "--workers", workers]);
        let output = command.arg("--data-dir").arg(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };

    let (refused, why) = drill("3");
    let (taken, told) = drill("1");

    assert_eq!(refused, Some(2), "{why}");
    assert!(why.contains("--workers") && why.contains("--store"), "{why}");
    assert_eq!(taken, Some(0), "{told}");
}

#[tokio::test]
async fn a_drill_refuses_a_postgres_that_holds_anything_else() {
    let store = bare_database("journey_drill_refused");
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
