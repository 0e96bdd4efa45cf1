//! Speaks to a running Loa over its API.

use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Failure, Settings};
use crate::app::server_file;
use crate::config::NamedServer;

/// Which running Loa to speak to.
#[derive(Clone, Debug, Args)]
pub(super) struct Server {
    /// The address of a running Loa, such as `http://127.0.0.1:8080`; by default
    /// `LOA_SERVER`, else the Loa that runs on the data folder.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The token of its API; by default `LOA_TOKEN`, else the one in server.json of the data
    /// folder.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    pub(super) settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: super::Output,
}

/// A connection to a running Loa.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    /// What to do if nobody answers there.
    help: &'static str,
}

/// What to do if no Loa answers where this machine's own left word of itself.
const GONE: &str =
    "the one that left server.json in the data folder is gone; start it with `loa run`";
/// What to do if no Loa answers at an address that was named.
const ELSEWHERE: &str = "start one there with `loa run`, or name another by --server or LOA_SERVER";

impl Server {
    /// The zone in which people read moments: that of the settings.
    pub(super) fn zone(&self) -> TimeZone {
        self.settings.read().defaults.time_zone
    }

    /// Finds the Loa by its address, or by the file it left in its data folder.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        let named = NamedServer::of_process();
        let secret = |token: SecretString| token.expose_secret().to_owned();
        let url = self.server.clone().or(named.url).map(|url| trimmed(&url));
        let token = self.token.clone().or(named.token.map(secret));
        let help = if url.is_some() { ELSEWHERE } else { GONE };
        let (url, token) = match (url, token) {
            (Some(url), Some(token)) => (url, token),
            (url, token) => self.find_on_this_machine(url, token)?,
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .build()?;
        Ok(Client { http, url, token, help })
    }

    /// Completes what was said by `server.json`; its token goes to no other address than its own.
    fn find_on_this_machine(
        &self,
        url: Option<String>,
        token: Option<String>,
    ) -> Result<(String, String), Failure> {
        let folder = self.settings.data_dir();
        match (server_file::read(&folder), url) {
            (Some(file), url) if url.as_ref().is_none_or(|url| *url == trimmed(&file.url)) => {
                Ok((trimmed(&file.url), token.unwrap_or(file.token)))
            }
            (_, Some(url)) => Err(Failure::Wrong(format!(
                "a Loa elsewhere wants a token: give the one for {url} by --token or LOA_TOKEN"
            ))),
            (_, None) => Err(Failure::Wrong(format!(
                "no Loa runs on the folder {}; start one with `loa run`, name its folder with \
                 --data-dir, or its address with --server and --token",
                folder.display()
            ))),
        }
    }
}

/// `text` as one part of a path: ids are the callers' own, so any letter may stand in them.
pub(super) fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn trimmed(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
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

    /// Puts a body in the place of what is there.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = ("application/json", body.to_string().into_bytes());
        self.call(Method::PUT, path, &[], Some(body)).await
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
        let answer = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let detail = problem.get("detail").and_then(Value::as_str).unwrap_or(&text);
        Err(Failure::Failed(format!("{status}: {detail}")))
    }

    fn unanswered(&self, error: &reqwest::Error) -> Failure {
        let Self { url, help, .. } = self;
        let why = last_cause(error);
        Failure::Failed(match error.is_timeout() && !error.is_connect() {
            true => format!("the Loa at {url} did not answer in time: {why}"),
            false => format!("no Loa answers at {url} ({why}); {help}"),
        })
    }
}

/// What an error comes down to: the chain above it names parts of the client.
pub(super) fn last_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
