//! What is unreachable is waited for and said once; what is wrong ends with one sentence and code
//! 2.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use loa::lifecycle::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Running, http, loa, own_database, partner, service, settings, wait_for};

/// `loa run` on `folder`, with the settings that are usual here and `more`.
fn run_on(folder: &Path, more: &str) -> Command {
    let file = folder.join("loa.toml");
    std::fs::write(&file, settings(more)).unwrap();
    let mut command = loa();
    command.args(["run", "--config"]).arg(&file).arg("--data-dir").arg(folder.join("data"));
    command
}

/// Asserts that it ended with code 2 and one line that holds `words`.
fn assert_wrong(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    let told: Vec<_> = told.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(output.status.code(), Some(2), "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    for word in words {
        assert!(told[0].contains(word), "{told:?} says nothing of `{word}`");
    }
}

fn wrong_run(more: &str, words: &[&str]) {
    let folder = TempDir::new().unwrap();
    let output = run_on(folder.path(), more).output().unwrap();
    assert_wrong(&output, words);
}

/// A port of loopback on which nobody listens, at least for now.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();

    let output = run_on(folder.path(), "").output().unwrap();

    assert_wrong(&output, &["cannot write to the data folder", "--data-dir"]);
}

#[tokio::test]
async fn a_data_folder_in_use_is_said() {
    let folder = TempDir::new().unwrap();
    let _first = Running::start(&folder, &settings("")).await;

    let output = run_on(folder.path(), "").output().unwrap();

    assert_wrong(&output, &["another Loa", "data"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("loa.toml");
    std::fs::write(&file, settings("").replace("127.0.0.1:0", &address)).unwrap();

    let run = loa().args(["run", "--config"]).arg(&file).current_dir(folder.path()).output();
    let demo = loa().args(["demo", "--listen", &address]).output();

    assert_wrong(&run.unwrap(), &[&address, "http.listen"]);
    assert_wrong(&demo.unwrap(), &[&address, "--listen"]);
}

#[tokio::test]
async fn a_wrong_password_of_the_store_is_said_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            refuse_password(stream).await.ok();
        }
    });

    let url = format!("postgres://loa:canary-secret@{address}/loa");
    let told = tokio::task::spawn_blocking(move || {
        let folder = TempDir::new().unwrap();
        run_on(folder.path(), &format!("[store]\nurl = \"{url}\"\n")).output().unwrap()
    });
    let output = told.await.unwrap();

    assert_wrong(&output, &["password authentication failed", "store.url"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"));
}

/// What PostgreSQL says to a password that is wrong.
async fn refuse_password(mut stream: TcpStream) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
    assert_eq!(stream.read_u8().await?, b'p');
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"loa\"\0\0";
    stream.write_u8(b'E').await?;
    stream.write_u32(u32::try_from(fields.len()).unwrap() + 4).await?;
    stream.write_all(fields).await
}

#[test]
fn a_wrong_password_of_rabbitmq_is_said_without_the_password() {
    let url = service("TEST_AMQP_URL").replace("guest:guest", "guest:canary-secret");

    let more = format!("[rabbitmq]\nurl = \"{url}\"\n");

    wrong_run(&more, &["ACCESS_REFUSED", "user `guest`", "rabbitmq.url"]);
}

#[test]
fn a_database_of_postgres_that_is_not_there_is_said() {
    let (base, _) = service("TEST_POSTGRES_URL")
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();

    wrong_run(
        &format!("[store]\nurl = \"{base}/journey_nowhere\"\n"),
        &["does not exist", "store.url"],
    );
}

#[tokio::test]
async fn without_rabbitmq_loa_runs_and_says_so_once() {
    let port = free_port().await;
    let folder = TempDir::new().unwrap();
    let more = format!("[rabbitmq]\nurl = \"amqp://127.0.0.1:{port}\"\n");

    let loa = Running::start(&folder, &settings(&more)).await;
    loa.wait_for_log("not taking events from RabbitMQ", 1).await;
    // A broker that hangs up at once: Loa has tried again.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    drop(listener.accept().await.unwrap());
    drop(listener);

    assert_eq!(loa.log().matches("connection refused").count(), 4, "{}", loa.log());
    let ready = loa.get("/readyz").await;
    assert_eq!(ready["ready"], false, "{ready}");
    let why = ready["missing"].to_string();
    assert!(why.contains("rabbitmq") && why.contains("connection refused"), "{ready}");
    assert!(is_alive(&loa.door().0).await);
    let taken = loa.publish(&partner()).await.unwrap();
    assert_eq!(taken["results"][0]["result"], "planned");
}

/// A process that is ended with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn without_postgres_loa_waits_and_says_so_once_and_goes_on_when_it_is_there() {
    let url = own_database("journey_late").await;
    let rest = url.rsplit_once('@').map_or(url.as_str(), |(_, rest)| rest);
    let (real, database) = rest.split_once('/').unwrap();
    let port = free_port().await;
    let here = url.replace(&format!("{real}/{database}"), &format!("127.0.0.1:{port}/{database}"));
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut command = run_on(folder.path(), &format!("[store]\nurl = \"{here}\"\n"));
    let stderr = std::fs::File::create(&log).unwrap();
    let _loa = Started(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
    let logged = || std::fs::read_to_string(&log).unwrap();
    wait_for("Loa to wait", || logged().contains("waiting for the store").then_some(())).await;

    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let tasks = Tasks::new();
    tasks.spawn(forward(tasks.clone(), listener, real.to_owned()));
    wait_for("Loa to go on", || logged().contains("Loa is ready").then_some(())).await;

    assert_eq!(logged().matches("waiting for the store").count(), 1, "{}", logged());

    // And away again: not ready, with the reason, but alive.
    let file = folder.path().join("data/server.json");
    let server = wait_for("the address", || std::fs::read_to_string(&file).ok()).await;
    tasks.hard().cancel();
    let server: serde_json::Value = serde_json::from_str(&server).unwrap();
    let url = server["url"].as_str().unwrap();
    let http = http();
    let told = http.get(format!("{url}/readyz")).send().await;
    let told = told.unwrap_or_else(|error| panic!("{error:?}: {}", logged()));
    assert_eq!(told.status(), 503);
    let told: serde_json::Value = told.json().await.unwrap();
    assert_eq!(told["missing"][0]["name"], "store", "{told}");
    assert!(!told["missing"][0]["why"].as_str().unwrap().is_empty(), "{told}");
    assert!(is_alive(url).await);
}

/// Whether it answers as what needs no restart.
async fn is_alive(url: &str) -> bool {
    let http = http();
    let answer = http.get(format!("{url}/healthz")).send().await.unwrap();
    answer.status() == 200 && answer.text().await.unwrap() == "ok\n"
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_store_at_once() {
    let port = free_port().await;
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let more = format!("[store]\nurl = \"postgres://loa@127.0.0.1:{port}/loa\"\n");
    let stderr = std::fs::File::create(&log).unwrap();
    let mut command = run_on(folder.path(), &more);
    let mut loa = Started(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
    let logged = || std::fs::read_to_string(&log).unwrap();
    wait_for("Loa to wait", || logged().contains("waiting for the store").then_some(())).await;

    let id = loa.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let ended = wait_for("Loa to end", || loa.0.try_wait().unwrap()).await;

    assert_eq!(ended.code(), Some(0), "{}", logged());
}

/// Passes every connection on to `real`.
async fn forward(tasks: Tasks, listener: TcpListener, real: String) {
    loop {
        let (mut here, _) = listener.accept().await.unwrap();
        let mut there = TcpStream::connect(&real).await.unwrap();
        tasks.spawn(async move { drop(copy_bidirectional(&mut here, &mut there).await) });
    }
}
