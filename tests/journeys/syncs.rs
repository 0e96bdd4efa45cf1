//! What is acknowledged is on the disk: the syncs are counted, since a kill cannot show their lack.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::{Running, event, settings};

/// Makes the library that writes down each sync of a file.
fn library(folder: &TempDir) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journeys/syncs.c");
    let library = folder.path().join("syncs.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(cc.status().unwrap().success(), "the C compiler that builds SQLite fails");
    library
}

/// A change of the directory: accepted, and nothing comes of it that would be written too.
fn change(number: usize) -> Value {
    let id = format!("partner-{number}");
    let data = json!({ "id": id, "name": id, "changed_at": "2026-01-01T00:00:00Z" });
    event("partner.changed", &id, data)
}

#[tokio::test]
async fn each_acknowledged_batch_is_synced_to_the_disk_before_it_is_acknowledged_and_once() {
    let folder = TempDir::new().unwrap();
    let (library, log) = (library(&folder), folder.path().join("syncs"));
    let variables = [("LD_PRELOAD", library.to_str().unwrap()), ("SYNCS", log.to_str().unwrap())];
    let loa = Running::start_with(&folder, &settings(""), &variables).await;
    let synced = || {
        let all = std::fs::read_to_string(&log).unwrap_or_default();
        all.lines().filter(|file| file.ends_with("loa.db-wal")).count()
    };
    loa.publish(&[change(0)]).await.unwrap();

    let mut counts = Vec::new();
    for number in 1..=20 {
        let before = synced();
        loa.publish(&[change(number)]).await.unwrap();
        counts.push(synced() - before);
    }
    let before = synced();
    let batch: Vec<Value> = (100..600).map(change).collect();
    loa.publish(&batch).await.unwrap();
    let of_batch = synced() - before;

    assert!(counts.iter().all(|count| *count >= 1), "acknowledged and not synced: {counts:?}");
    // The sweep may have written something of its own meanwhile.
    let needless = counts.iter().filter(|count| **count > 1).count();
    assert!(needless <= counts.len() / 4, "synced more often than needed: {counts:?}");
    assert!((1..=3).contains(&of_batch), "{of_batch} syncs for a batch of {}", batch.len());
}
