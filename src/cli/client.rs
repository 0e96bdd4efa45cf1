//! Speaks to a running Loa over its API.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::Failure;
use crate::app::server_file;

/// Which running Loa to speak to.
#[derive(Clone, Debug, Args)]
pub(super) struct Server {
    /// The address of a running Loa, such as `http://127.0.0.1:8080`.
    #[arg(long, env = "LOA_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The token of its API; by default the one in server.json of the data folder.
    #[arg(long, env = "LOA_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The data folder of a Loa on this machine.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: super::Output,
}

/// A connection to a running Loa.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Server {
    /// Finds the Loa by its address, or by the file it left in its data folder.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let found = server_file::read(&self.data_dir);
        let url = self.server.clone().or_else(|| found.as_ref().map(|file| file.url.clone()));
        let token = self.token.clone().or_else(|| found.map(|file| file.token));
        let (Some(url), Some(token)) = (url, token) else {
            let folder = self.data_dir.display();
            return Err(Failure::Wrong(format!(
                "no Loa runs on the folder {folder}; start one with `loa run`, name its folder \
                 with --data-dir, or its address with --server and --token"
            )));
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .build()?;
        Ok(Client { http, url: url.trim_end_matches('/').to_owned(), token })
    }
}

impl Client {
    /// Reads a resource.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    /// Sends a body, and returns the answer.
    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        (media_type, body): (&str, Vec<u8>),
    ) -> Result<Value, Failure> {
        self.call(Method::POST, path, query, Some((media_type, body))).await
    }

    /// Deletes a resource.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, &[], None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method, url).query(query).bearer_auth(&self.token);
        if let Some((media_type, body)) = body {
            request = request.header("content-type", media_type).body(body);
        }
        let answer = request.send().await.map_err(|error| {
            let url = &self.url;
            Failure::Failed(format!("cannot reach Loa at {url}: {}", error.without_url()))
        })?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or(&text);
        Err(Failure::Failed(format!("{status}: {detail}")))
    }
}
