//! The whole app in the test's own process, on a clock that is moved by hand: hours pass at once.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use loa::app::App;
use loa::clock::Clock;
use loa::config::{self, Sources};
use loa::lifecycle::Tasks;
use loa::pipeline::Station;
use tempfile::TempDir;

use super::canaries::{assert_unheard, overhear};
use super::client::Client;

/// A Monday morning in Vietnam.
const BEGINS: &str = "2026-11-23T02:00:00Z";

/// A running app; it stands still until the test moves its clock.
pub(crate) struct Clocked {
    app: App,
    tasks: Tasks,
    client: Client,
    _folder: TempDir,
}

impl Deref for Clocked {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Clocked {
    pub(crate) async fn start(settings: &str) -> Self {
        overhear();
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let sources = Sources::defaults().with_text("loa.toml", settings).with_override(
            "data_dir",
            &data.display().to_string(),
            "the test",
        );
        let config = config::load(&sources).unwrap_or_else(|faults| panic!("{faults}"));
        let clock = Clock::manual(BEGINS.parse().unwrap());
        let tasks = Tasks::new();
        let app = App::start(config, clock, tasks.clone()).await;
        let app = app.unwrap_or_else(|error| panic!("{error}"));
        app.serve().await.unwrap();
        keep_looking(&app, &tasks);
        Self { app, tasks, client: Client::connect(data, || {}).await, _folder: folder }
    }

    /// What its clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Returns once nothing can be done before the clock moves on.
    pub(crate) async fn rest(&self) {
        self.app.pipeline.run_until_idle().await.unwrap();
    }

    /// Lets time pass, from one due moment to the next.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = self.now().checked_add(time).unwrap();
        loop {
            let next = self.app.pipeline.run_until_idle().await.unwrap();
            let Some(next) = next.filter(|next| *next < end) else { break };
            self.app.clock.advance_to(next);
        }
        self.app.clock.advance_to(end);
        self.rest().await;
    }

    /// Moves the clock and lets whoever waits for it wake up, without waiting for what they do.
    pub(crate) async fn move_on(&self, time: Duration) {
        self.app.pipeline.desks().wake_all();
        self.app.clock.advance(time);
        tokio::task::yield_now().await;
    }

    /// Lets time pass until the breaker of `provider` has opened.
    pub(crate) async fn breaks(&self, provider: &str) {
        for _ in 0..100 {
            self.rest().await;
            if self.breaker(provider) == "open" {
                return;
            }
            self.app.clock.advance(Duration::from_secs(1));
        }
        panic!("the breaker of {provider} does not open");
    }

    /// Moves the clock to where the breaker of `provider` lets a probe through.
    pub(crate) async fn until_opens(&self, provider: &str) {
        let opens_at = self.station(provider).desk.opens_at().unwrap();
        self.app.clock.advance_to(opens_at);
        self.move_on(Duration::ZERO).await;
    }

    /// The state of the breaker of `provider`.
    pub(crate) fn breaker(&self, provider: &str) -> &'static str {
        self.station(provider).desk.breaker_state().as_str()
    }

    fn station(&self, provider: &str) -> &Station {
        self.app.pipeline.desks().find(&provider.into()).unwrap()
    }
}

/// How often dispatchers look for work although nobody wakes them: more often than in real life.
const LOOK: Duration = Duration::from_millis(20);

/// A dispatcher that gave a claim back, since the clock was moved while it asked, looks again by
/// itself in real life. On a clock that stands still it would wait for ever.
fn keep_looking(app: &App, tasks: &Tasks) {
    let (desks, soft) = (Arc::clone(app.pipeline.desks()), tasks.soft().clone());
    tasks.spawn(async move {
        while !soft.is_cancelled() {
            tokio::time::sleep(LOOK).await;
            desks.wake_all();
        }
    });
}

impl Drop for Clocked {
    fn drop(&mut self) {
        self.tasks.soft().cancel();
        self.tasks.hard().cancel();
        if !std::thread::panicking() {
            assert_unheard();
        }
    }
}
