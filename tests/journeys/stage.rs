//! A running Loa in a folder of its own, and how to speak to it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test.
pub(crate) fn loa() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loa"));
    command.stdin(Stdio::null());
    command
}

/// Settings that send everything to the sandbox; `more` is added.
pub(crate) fn settings(more: &str) -> String {
    format!(
        "alarms = false\n\
         [http]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://loa.test\"\n\
         [unsubscribe]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
         [providers.sandbox]\nkind = \"sandbox\"\n{more}"
    )
}

/// A process that is killed at the end of the test, whatever happens.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Running {
    /// Starts Loa on `folder` and returns once it answers.
    pub(crate) async fn start(folder: &TempDir, settings: &str) -> Self {
        let file = folder.path().join("loa.toml");
        std::fs::write(&file, settings).unwrap();
        let data = folder.path().join("data");
        let server = data.join("server.json");
        drop(std::fs::remove_file(&server));
        let log = folder.path().join("log");
        let mut child = loa()
            .args(["run", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(OpenOptions::new().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (url, token) = wait_for("Loa to answer", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(&log).unwrap());
            read_server(&server)
        })
        .await;
        Self { child, log, url, token, http }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its address and the token that opens it.
    pub(crate) fn door(&self) -> (String, String) {
        (self.url.clone(), self.token.clone())
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// All that it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has logged `text` this many times.
    pub(crate) async fn wait_for_log(&self, text: &str, times: usize) {
        let found = || (self.log().matches(text).count() >= times).then_some(());
        wait_for(&format!("{times} × `{text}` in the log"), found).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Asks for `path`, whatever the answer may be.
    pub(crate) async fn ask(&self, path: &str) {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap();
    }

    /// Publishes these bytes, whatever the answer may be.
    pub(crate) async fn publish_raw(&self, body: &'static str) {
        let request = self.http.post(format!("{}/v1/events", self.url));
        let request = request.bearer_auth(&self.token).header("x-canary", "canary-header");
        request.body(body).send().await.unwrap();
    }

    /// Waits until `path`, which counts deliveries, counts this many.
    pub(crate) async fn wait_for_count(&self, path: &str, wanted: u64) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if answer["count"] == json!(wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: {answer}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes an array of events; `None` if the connection broke.
    pub(crate) async fn publish(&self, events: &[Value]) -> Option<Value> {
        let request = self.http.post(format!("{}/v1/events?on_reject=keep", self.url));
        let request = request
            .bearer_auth(&self.token)
            .header("content-type", "application/cloudevents+json")
            .body(json!(events).to_string());
        request.send().await.ok()?.json().await.ok()
    }

    /// Waits until nothing waits any more, and returns the audited ledger.
    pub(crate) async fn drain(&self) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/v1/ledger?audit=true").await;
            let deliveries = &answer["ledger"]["deliveries"];
            if deliveries["waiting"] == json!(0)
                && answer["ledger"]["events"]["planning"] == json!(0)
            {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "still waiting: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("what Loa logged:\n{log}");
        } else {
            assert!(!log.contains("@minhphat.test"), "an address in the log:\n{log}");
        }
    }
}

fn read_server(file: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(file).ok()?;
    let server: Value = serde_json::from_str(&text).ok()?;
    Some((server["url"].as_str()?.to_owned(), server["token"].as_str()?.to_owned()))
}

/// Looks again and again until `look` finds something.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where a service of the tests is; `./test` starts it and says so.
#[expect(clippy::disallowed_methods, reason = "a test finds its services by the environment")]
pub(crate) fn service(variable: &str) -> String {
    let found = std::env::var(variable);
    found.unwrap_or_else(|_| panic!("{variable} is not set; run ./test, which starts the service"))
}

/// A database of the test's own on the shared PostgreSQL.
pub(crate) async fn own_database(name: &str) -> String {
    let url = service("TEST_POSTGRES_URL");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = async move { drop(connection.await) };
    let create = async {
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    };
    tokio::select! { () = create => {}, () = connection => panic!("the connection ended") }
    let (base, _) = url.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

/// A CloudEvents event.
pub(crate) fn event(kind: &str, id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "type": kind, "source": "shop", "id": id, "data": data })
}

/// A partner with one contact who has an email address.
pub(crate) fn partner() -> [Value; 2] {
    let at = "2026-01-01T00:00:00Z";
    [
        event(
            "partner.changed",
            "p-1",
            json!({
                "id": "minh-phat", "name": "Minh Phát", "locale": "vi", "changed_at": at
            }),
        ),
        event(
            "contact.changed",
            "c-1",
            json!({
                "id": "lan", "name": "Nguyễn Thị Lan", "partner": "minh-phat", "duty": "buyer",
                "addresses": [{ "channel": "email", "email": "lan@minhphat.test" }], "changed_at": at
            }),
        ),
    ]
}

/// A delay of order number `number`.
pub(crate) fn delay(number: usize) -> Value {
    event(
        "order.delayed",
        &format!("d-{number}"),
        json!({
            "order_id": format!("DH-{number}"), "partner_id": "minh-phat",
            "promised_at": "2030-01-01", "new_promised_at": "2030-01-05"
        }),
    )
}
