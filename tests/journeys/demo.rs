//! The demo's story, on both stores.

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{loa, own_database};

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

#[tokio::test]
async fn the_demo_story_comes_out_as_told_on_postgres() {
    let url = own_database("journey_demo").await;

    let (report, succeeded) = play(&["--store", &url]);

    assert_told(&report, succeeded);
}

#[tokio::test]
async fn the_demo_refuses_a_postgres_that_holds_anything_else() {
    let url = own_database("journey_demo_twice").await;
    play(&["--store", &url]);

    let again = loa().args(["demo", "--once", "--store", &url]).output().unwrap();

    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("did not make"));
}
