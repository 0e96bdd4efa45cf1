//! A Loa within the test's own process, on a clock that the test moves.

use loa::app::App;
use loa::clock::Clock;
use loa::config::{self, Sources};
use loa::lifecycle::Tasks;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{assert_unheard, overhear, settings};

/// The app and how to call it.
pub(crate) struct Stage {
    pub(crate) app: App,
    pub(crate) url: String,
    token: String,
    http: reqwest::Client,
    _folder: TempDir,
    _ear: Ear,
}

/// Fails the test at its end if something was logged that must not be.
struct Ear;

impl Drop for Ear {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_unheard();
        }
    }
}

impl Stage {
    /// Starts it with `more` settings.
    pub(crate) async fn open(more: &str) -> Self {
        Self::with(more, &[]).await
    }

    /// Starts it with `more` settings, and some keys with other values.
    pub(crate) async fn with(more: &str, keys: &[(&str, &str)]) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        overhear();
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data").display().to_string();
        let sources = Sources::defaults().with_text("test.toml", &settings(more));
        let own = [("data_dir", data.as_str())];
        let all = own.iter().chain(keys);
        let sources = all
            .fold(sources, |sources, (key, value)| sources.with_override(key, value, "the test"));
        let clock = Clock::manual("2026-11-23T02:00:00Z".parse().unwrap());
        let config = config::load(&sources).unwrap();
        let app = App::start(config, clock, Tasks::new()).await.unwrap();
        let address = app.serve().await.unwrap();
        let found = loa::app::server_file::read(&folder.path().join("data")).unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            app,
            url: format!("http://{address}"),
            token: found.token,
            http,
            _folder: folder,
            _ear: Ear,
        }
    }

    /// The token that may everything.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A request that nobody vouches for.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Calls the API with every right.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(method, path).bearer_auth(&self.token).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }
}
