//! Exit codes: 0 it is done, 1 it failed, 2 it was asked for wrongly.

use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;

use crate::stage::{Running, delay, loa, partner, settings};

/// What the program ends with, in a folder where no Loa runs.
fn code(arguments: &[&str]) -> Option<i32> {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("loa.toml"), settings("")).unwrap();
    let output = loa().current_dir(folder.path()).args(arguments).output().unwrap();
    let told = output.stderr.len() + output.stdout.len();
    assert!(told > 0, "{arguments:?} says nothing");
    output.status.code()
}

#[test]
fn what_is_done_ends_with_0() {
    for arguments in [
        &["--help"][..],
        &["check", "--config", "loa.toml"],
        &["event-types", "list", "--output", "json"],
        &["templates", "check"],
        &["migrate", "--config", "loa.toml"],
    ] {
        assert_eq!(code(arguments), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let mut command = loa();
    let mut child = command
        .args(["event-types", "show", "order.delayed"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());

    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stderr, b"");
}

#[test]
fn what_fails_ends_with_1() {
    for arguments in [
        &["events", "list", "--server", "http://127.0.0.1:1", "--token", "x"][..],
        &["health", "--config", "loa.toml"],
        &["backup", "copy.db", "--config", "loa.toml"],
    ] {
        assert_eq!(code(arguments), Some(1), "{arguments:?}");
    }
}

#[test]
fn what_is_asked_for_wrongly_ends_with_2() {
    for arguments in [
        &[][..],
        &["ledgre"],
        &["ledger"],
        &["ledger", "--server", "http://127.0.0.1:1"],
        // By 1 it says that it does not add up.
        &["ledger", "--server", "http://127.0.0.1:1", "--token", "x"],
        &["publish", "order.delayed"],
        &["publish", "order.delayed", "--data", "nowhere.json"],
        &["check", "--config", "nowhere.toml"],
        &["event-types", "show", "order.eaten"],
        &["event-types", "new", "a.b", "--from", "loa.toml", "--dir", "."],
        &["run", "--config", "nowhere.toml"],
    ] {
        assert_eq!(code(arguments), Some(2), "{arguments:?}");
    }
}

/// What a command that fails says.
fn said(arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let away = "[store]\nurl = \"postgres://loa@127.0.0.1:1/shop\"\n";
    std::fs::write(folder.path().join("away.toml"), settings(away)).unwrap();
    let output = loa().current_dir(folder.path()).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_does_not_answer_is_named_with_what_to_do() {
    let at = ["--server", "http://127.0.0.1:1", "--token", "x"];
    for command in [&["ledger"][..], &["deliveries", "list"]] {
        let told = said(&[command, &at].concat());
        assert!(told.starts_with("no Loa answers at http://127.0.0.1:1 ("), "{told}");
        assert!(told.contains("refused") && told.contains("`loa run`"), "{told}");
    }
    let store = ["--store", "postgres://loa@127.0.0.1:1/shop"];
    for command in [&["migrate", "--config", "away.toml"][..], &["demo", store[0], store[1]]] {
        let told = said(command);
        assert!(told.contains("PostgreSQL at 127.0.0.1:1 (database `shop`)"), "{told}");
        assert!(told.contains("start it, or correct where it is"), "{told}");
    }
}

#[tokio::test]
async fn the_environment_names_a_loa_elsewhere_and_its_token_goes_nowhere_else() {
    let folder = TempDir::new().unwrap();
    let running = Running::start(&folder, &settings("")).await;
    running.publish(&partner()).await.unwrap();
    let (url, token) = running.door();
    let elsewhere = TempDir::new().unwrap();
    let ledger = || {
        let mut command = loa();
        command.current_dir(elsewhere.path()).arg("ledger");
        command
    };

    let named = ledger().env("LOA_SERVER", &url).env("LOA_TOKEN", &token).output().unwrap();
    let here = ledger().arg("--data-dir").arg(folder.path().join("data")).output().unwrap();
    let other = ledger()
        .args(["--server", "http://127.0.0.1:1", "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();

    assert_eq!(named.status.code(), Some(0), "{}", String::from_utf8_lossy(&named.stderr));
    assert_eq!(here.status.code(), Some(0), "{}", String::from_utf8_lossy(&here.stderr));
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("--token"));
}

#[test]
fn a_store_that_is_no_database_is_named_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("loa.toml"), settings("")).unwrap();
    let file = folder.path().join("data/loa.db");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "no database, but long enough to hold the head of one".repeat(20))
        .unwrap();

    for command in ["run", "migrate"] {
        let arguments = [command, "--config", "loa.toml", "--data-dir", "data"];
        let output = loa().current_dir(folder.path()).args(arguments).output().unwrap();

        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("data/loa.db is no SQLite database"), "{told}");
        assert!(told.contains("loa backup") && told.contains("move it away"), "{told}");
    }
}

#[test]
fn a_schema_of_a_newer_loa_ends_with_2_and_says_so_in_one_line() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("loa.toml"), settings("")).unwrap();
    let arguments = ["migrate", "--config", "loa.toml", "--data-dir", "data"];
    let migrate = || loa().current_dir(folder.path()).args(arguments).output().unwrap();
    assert!(migrate().status.success());
    let database = rusqlite::Connection::open(folder.path().join("data/loa.db")).unwrap();
    let future = "INSERT INTO migration VALUES (9999, '9999_future', 'x', 0)";
    database.execute(future, []).unwrap();
    drop(database);

    let output = migrate();

    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("9999_future") && told.contains("start the newer version"), "{told}");
    assert_eq!(told.trim().lines().count(), 1, "{told}");
}

#[tokio::test]
async fn what_nobody_agreed_to_is_not_done_and_ends_with_2() {
    let folder = TempDir::new().unwrap();
    let running = Running::start(&folder, &settings("")).await;
    running.publish(&partner()).await.unwrap();
    let mut late = delay(1);
    late["notbefore"] = json!("2035-01-01T00:00:00Z");
    running.publish(&[late]).await.unwrap();
    let cancel = |more: &[&str]| {
        let mut command = loa();
        command.current_dir(folder.path()).args(["deliveries", "cancel", "--partner", "minh-phat"]);
        let output = command.args(more).args(["--data-dir", "data"]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let waiting = async || running.deliveries("partner=minh-phat&state=waiting").await.len();

    let (code, said) = cancel(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nothing was done") && said.contains("add --yes"), "{said}");
    assert_eq!(cancel(&["--dry-run"]).0, Some(0));
    assert!(waiting().await > 0);
    let (code, said) = cancel(&["--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(waiting().await, 0);

    let listed = |more: &[&str]| {
        let mut command = loa();
        command.current_dir(folder.path()).args(["deliveries", "list", "--data-dir", "data"]);
        let output = command.args(more).output().unwrap();
        (
            output.status.success(),
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        )
    };
    let (found, said) = listed(&["--type", "order.delaid"]);
    assert!(!found && said.contains("did you mean `order.delayed`?"), "{said}");
    let (found, said) = listed(&["--provider", "sandbux"]);
    assert!(!found && said.contains("unknown provider `sandbux`"), "{said}");
    assert!(listed(&["--type", "order.shipped"]).0, "a type of which there is none yet");
}
