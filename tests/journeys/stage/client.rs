//! Speaks to a running Loa as an operator or a publisher would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use super::canaries::assert_silent;
use super::{PATIENCE, loa, wait_for};

/// Someone with the token of one Loa.
pub(crate) struct Client {
    url: String,
    token: String,
    http: reqwest::Client,
    data: PathBuf,
}

/// Speaks HTTP without a proxy of the environment.
pub(crate) fn http() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Client {
    /// A client for the Loa that leaves `server.json` in `data`; `check` may fail the wait for it.
    pub(super) async fn connect(data: PathBuf, mut check: impl FnMut()) -> Self {
        let http = http();
        let file = data.join("server.json");
        let (url, token) = wait_for("Loa to answer", || {
            check();
            read_server(&file)
        })
        .await;
        Self { url, token, http, data }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let (_, text) = self.hear(path, request.send().await.unwrap()).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// An answer's status and text; a refusal must tell nothing of anybody.
    async fn hear(&self, path: &str, answer: Response) -> reqwest::Result<(u16, String)> {
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        if status >= 400 {
            assert_silent(&format!("the answer {status} to {path}"), &text, self.secrets());
        }
        Ok((status, text))
    }

    /// What this Loa must tell nobody.
    pub(super) fn secrets(&self) -> &[String] {
        std::slice::from_ref(&self.token)
    }

    /// What the metric of this name and these labels shows.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.text("/metrics").await;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// What the metric of this name and these labels shows, in seconds.
    pub(crate) async fn seconds(&self, name: &str) -> f64 {
        let text = self.text("/metrics").await;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// What is answered to everybody, as it stands.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.url));
        let text = request.send().await.unwrap().text().await.unwrap();
        assert_silent(path, &text, self.secrets());
        text
    }

    /// Its address and the token that opens it.
    pub(crate) fn door(&self) -> (String, String) {
        (self.url.clone(), self.token.clone())
    }

    /// Asks for `path`, whatever the answer may be.
    pub(crate) async fn ask(&self, path: &str) {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        self.hear(path, request.send().await.unwrap()).await.unwrap();
    }

    /// Publishes these bytes, whatever the answer may be.
    pub(crate) async fn publish_raw(&self, body: &'static str) {
        let request = self.http.post(format!("{}/v1/events", self.url));
        let request = request.bearer_auth(&self.token).header("x-canary", "canary-header");
        let answer = request.body(body).send().await.unwrap();
        self.hear("/v1/events", answer).await.unwrap();
    }

    /// Posts a body of any media type; the answer's status and JSON, `None` if the connection
    /// broke.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Option<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let answer = request.header("content-type", content_type).body(body).send().await.ok()?;
        let (status, text) = self.hear(path, answer).await.ok()?;
        Some((status, serde_json::from_str(&text).ok()?))
    }

    /// Publishes an array of events; `None` if the connection broke or nothing was accepted.
    pub(crate) async fn publish(&self, events: &[Value]) -> Option<Value> {
        let (path, kind) = ("/v1/events?on_reject=keep", "application/cloudevents+json");
        let (status, answer) = self.post(path, kind, json!(events).to_string()).await?;
        (status == 202).then_some(answer)
    }

    /// Runs a command of the command line beside it; whether it succeeded, and its output.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (bool, Value) {
        let mut command = tokio::process::Command::from(loa());
        command.args(arguments).args(["--output", "json", "--data-dir"]).arg(&self.data);
        let output = command.output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        (output.status.success(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The deliveries that fit a query such as `business_key=DH-1&state=sent`.
    pub(crate) async fn deliveries(&self, query: &str) -> Vec<Value> {
        let found = self.get(&format!("/v1/deliveries?limit=500&{query}")).await;
        found["deliveries"].as_array().unwrap().clone()
    }

    /// How many deliveries fit.
    pub(crate) async fn count(&self, query: &str) -> usize {
        let found = self.get(&format!("/v1/deliveries/count?{query}")).await;
        usize::try_from(found["count"].as_u64().unwrap()).unwrap()
    }

    /// The only delivery that fits, and everything that is known of it.
    pub(crate) async fn story(&self, query: &str) -> Value {
        let found = self.deliveries(query).await;
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        self.get(&format!("/v1/deliveries/{}", found[0]["id"].as_str().unwrap())).await
    }

    /// Waits until everything that Loa needs is there.
    pub(crate) async fn ready(&self) {
        let is_ready = async || self.get("/readyz").await["ready"] == json!(true);
        self.until("Loa to be ready", is_ready).await;
    }

    /// Waits until something that it needs is away, and returns what.
    pub(crate) async fn unready(&self) -> Value {
        let is_unready = async || self.get("/readyz").await["ready"] == json!(false);
        self.until("Loa not to be ready", is_unready).await;
        self.get("/readyz").await["missing"].clone()
    }

    /// Waits until `path`, which counts deliveries, counts this many.
    pub(crate) async fn wait_for_count(&self, path: &str, wanted: u64) {
        let what = format!("{path} to count {wanted}");
        self.until(&what, async || self.get(path).await["count"] == json!(wanted)).await;
    }

    /// Looks again and again until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !holds().await {
            let in_time = tokio::time::Instant::now() < end;
            assert!(in_time, "waited in vain for {what}: {}", self.get("/v1/ledger").await);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
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

    /// Asserts that the ledger closes and that a count of the rows agrees; returns the ledger.
    pub(crate) async fn closes(&self) -> Value {
        let answer = self.get("/v1/ledger?audit=true").await;
        assert_eq!(answer["ledger"]["closes"], true, "{answer}");
        assert_eq!(answer["audit"], json!([]), "{answer}");
        answer["ledger"].clone()
    }
}

fn read_server(file: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(file).ok()?;
    let server: Value = serde_json::from_str(&text).ok()?;
    Some((server["url"].as_str()?.to_owned(), server["token"].as_str()?.to_owned()))
}
