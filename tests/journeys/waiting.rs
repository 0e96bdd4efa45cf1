//! A Loa whose store is away listens, and says what it waits for.

use std::net::TcpListener;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Running, loa, settings, wait_for};

#[tokio::test]
async fn while_the_store_is_away_health_answers_and_names_where_it_is() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = TempDir::new().unwrap();
    let free = |()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [database, door] = [(); 2].map(free);
    let store = format!("[store]\nurl = \"postgres://loa:canary-secret@{database}/shop\"\n");
    let text = settings(&store).replace("127.0.0.1:0", &door.to_string());
    std::fs::write(folder.path().join("loa.toml"), text).unwrap();
    let command = |name: &str| {
        let mut command = loa();
        command.current_dir(folder.path()).args([name, "--config", "loa.toml"]);
        command.args(["--data-dir", "data"]);
        command
    };
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut child = command("run").stderr(log).spawn().unwrap();
    let logged = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    wait_for("it to wait", || logged().contains("waiting for").then_some(())).await;

    let ask = async |path: &str| {
        let answer = reqwest::get(format!("http://{door}{path}")).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (alive, ready, other) =
        (ask("/healthz").await, ask("/readyz").await, ask("/v1/events").await);
    let health = command("health").output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let place = format!("PostgreSQL at {database} (database `shop`)");
    assert_eq!(alive.0, StatusCode::OK);
    assert_eq!(
        (ready.0, other.0),
        (StatusCode::SERVICE_UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE)
    );
    let told: Value = serde_json::from_str(&ready.1).unwrap();
    assert_eq!((&told["ready"], &told["missing"][0]["name"]), (&false.into(), &"store".into()));
    assert!(told["missing"][0]["why"].as_str().unwrap().contains(&place), "{told}");
    assert!(logged().contains(&format!("waiting for the store: {place}")), "{}", logged());
    assert!(!logged().contains("canary") && !ready.1.contains("canary"));
    assert!(!logged().contains("Loa is ready"), "{}", logged());
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
}

#[test]
fn a_taken_address_is_told_before_anything_is_done() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = settings("").replace("127.0.0.1:0", &address);
    std::fs::write(folder.path().join("loa.toml"), text).unwrap();
    let mut command = loa();
    command.current_dir(folder.path()).args(["run", "--config", "loa.toml", "--data-dir", "data"]);

    let output = command.output().unwrap();

    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
    assert!(!told.contains("Loa is ready"), "{told}");
}

#[tokio::test]
async fn health_finds_a_loa_by_its_file_and_by_its_address() {
    let folder = TempDir::new().unwrap();
    // Its port is nowhere in the settings.
    let running = Running::start(&folder, &settings("")).await;
    let (url, _) = running.door();
    let health = |arguments: &[&str]| {
        let output =
            loa().current_dir(folder.path()).arg("health").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };

    let (by_file, told) = health(&["--config", "loa.toml", "--data-dir", "data"]);
    let (by_address, _) = health(&["--server", &url]);
    let (nowhere, why) = health(&["--server", "http://127.0.0.1:1"]);

    assert_eq!(by_file, Some(0), "{told}");
    assert!(told.contains(&url), "{told}");
    assert_eq!(by_address, Some(0));
    assert_eq!(nowhere, Some(1));
    assert!(why.contains("no Loa answers at http://127.0.0.1:1"), "{why}");
}
