//! The row *start*: how soon a Loa on a full store is ready, and what it keeps resident at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::findings::{Figures, Findings, median, millis};
use super::ground::{claim_broker, insist_that_it_closes, refuse_store_in_use};
use super::seed::Seed;
use super::settings::{Stage, settings};
use super::sink::Sinks;
use super::{Bench, BenchError, usage};
use crate::app::{self, server_file};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::address::Channel;
use crate::model::id::RunId;
use crate::rehearsal::write_privately;
use crate::store::Store;

/// How many deliveries the store holds.
const ROWS: u64 = 1_000_000;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whether it is ready.
const LOOK: Duration = Duration::from_millis(1);
/// How long it rests before its memory is read.
const REST: Duration = Duration::from_secs(5);

impl Bench {
    pub(super) async fn start(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let clock = Clock::system();
        let sinks = Sinks::start(&clock)?;
        let config = self.config(&sinks, &Stage::default())?;
        let rows = self.size(ROWS);
        refuse_store_in_use(&config).await?;
        let playground = claim_broker(&config).await?;
        tell(&format!("filling the store with {rows} deliveries"));
        let store = {
            let mut seed = Seed::open(&config).await?;
            let originals = seed.originals("bench.email", Channel::Email).await?;
            seed.fill(originals, (0, rows)).await?;
            seed.store.describe()
        };
        let file = self.write_settings(&config, &sinks)?;
        let (mut first, mut took) = (0.0, Vec::new());
        let (mut resident, mut peak) = (0, 0);
        // Once more than is counted: the first start comes right after the filling.
        for round in 0..=self.extent.rounds {
            // What the start before this one left says nothing of this one.
            fs::remove_file(config.data_dir.join("server.json")).ok();
            let began = clock.monotonic();
            let mut child = run(&file)?;
            await_ready(&config, &mut child).await?;
            let ready = millis(clock.monotonic().saturating_sub(began));
            tell(&format!("start {round}: ready after {ready:.0} ms"));
            match round {
                0 => first = ready,
                _ => took.push(ready),
            }
            if round == self.extent.rounds {
                tokio::time::sleep(REST.min(self.extent.paced)).await;
                let id = child.id().map(|id| id.to_string()).unwrap_or_default();
                resident = usage::memory_of(&id, "VmRSS:");
                peak = usage::memory_of(&id, "VmHWM:");
            }
            end(child).await?;
        }
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        let run = RunId::new(clock.now());
        let kept = Store::open_as_it_is(app::store_settings(&config), clock.clone(), run)?;
        insist_that_it_closes(&kept).await?;
        let mut figures = Figures::default();
        figures.count(("deliveries", "rows"), rows);
        let worst = took.iter().copied().fold(0.0, f64::max);
        figures.add(("start to ready, ms", "ready_ms"), median(took), 0);
        figures.add(("the first start, not counted, ms", "first_ms"), first, 0);
        figures.add(("the slowest of the others, ms", "slowest_ms"), worst, 0);
        figures.count(("memory at rest, MiB", "memory_at_rest_mib"), resident >> 20);
        figures.count(("peak memory, MiB", "peak_memory_mib"), peak >> 20);
        Ok(figures.findings(&store))
    }

    /// The settings as a file that another process reads.
    fn write_settings(&self, config: &Config, sinks: &Sinks) -> Result<PathBuf, BenchError> {
        let path = |path: &Path| toml::Value::from(path.display().to_string());
        let mut text = format!(
            "data_dir = {}\ncatalogue_dir = {}\n",
            path(&config.data_dir),
            path(&self.data_dir.join("event-types"))
        );
        text.push_str(&settings(sinks, &Stage::default()));
        text.push_str("[http]\nlisten = \"127.0.0.1:0\"\n");
        if let Some(url) = &self.store_url {
            text.push_str(&format!("[store]\nurl = {}\n", toml::Value::from(url.as_str())));
        }
        if let Some(url) = &self.amqp_url {
            let url = toml::Value::from(url.expose_secret());
            text.push_str(&format!("[rabbitmq]\nurl = {url}\n"));
        }
        let file = self.data_dir.join("bench.toml");
        write_privately(&file, &text)?;
        Ok(file)
    }
}

/// Starts this very program as it is run anywhere.
fn run(settings: &Path) -> Result<Child, BenchError> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg("run").arg("--config").arg(settings).kill_on_drop(true);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Returns once the API says that everything is ready.
async fn await_ready(config: &Config, child: &mut Child) -> Result<(), BenchError> {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if let Some(server) = server_file::read(&config.data_dir)
            && is_ready(server.url.trim_start_matches("http://")).await.unwrap_or(false)
        {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            return Err(BenchError::Broken(format!("Loa ended instead of starting: {status}")));
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(BenchError::Broken("Loa was not ready within a minute".to_owned()))
}

async fn is_ready(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// Stops a Loa in order.
async fn end(mut child: Child) -> Result<(), BenchError> {
    if let Some(id) = child.id() {
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
    }
    child.wait().await?;
    Ok(())
}
