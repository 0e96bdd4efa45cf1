//! The real program in a process of its own, in a folder of its own.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::canaries::assert_silent;
use super::client::Client;
use super::{loa, wait_for};

/// A process that is killed at the end of the test, whatever happens.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    client: Client,
}

impl Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Running {
    /// Starts Loa on `folder` and returns once it answers.
    pub(crate) async fn start(folder: &TempDir, settings: &str) -> Self {
        Self::start_with(folder, settings, &[]).await
    }

    /// The same, with more of an environment.
    pub(crate) async fn start_with(
        folder: &TempDir,
        settings: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = loa();
        command.envs(environment.iter().copied());
        Self::start_by(command, folder, settings).await
    }

    /// The same as [`Running::start`], for one that outlives a quota of what it may write.
    pub(crate) async fn start_under_quota(folder: &TempDir, settings: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        // Who writes beyond the quota is to be told, not killed.
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_loa")]);
        Self::start_by(command, folder, settings).await
    }

    async fn start_by(mut command: Command, folder: &TempDir, settings: &str) -> Self {
        let file = folder.path().join("loa.toml");
        std::fs::write(&file, settings).unwrap();
        let data = folder.path().join("data");
        drop(std::fs::remove_file(data.join("server.json")));
        let log = folder.path().join("log");
        let mut child = command
            // All that it might ever say is looked through.
            .env("LOA__LOG__LEVEL", "debug")
            .args(["run", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(OpenOptions::new().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let client = Client::connect(data, || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", std::fs::read_to_string(&log).unwrap());
        })
        .await;
        Self { child, log, client }
    }

    /// The most memory that the process ever held, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        wait_for("it to end", || self.child.try_wait().unwrap()).await
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
}

/// How long a Loa that is about to be ended may take to show its figures; one that was stopped does
/// not.
const GLANCE: Duration = Duration::from_secs(2);

impl Running {
    /// Its metrics, if it still shows them.
    fn metrics(&self) -> io::Result<String> {
        let (url, _) = self.client.door();
        let address = url.trim_start_matches("http://").parse().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, GLANCE)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: loa.test\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let metrics = self.metrics();
        drop(self.child.kill());
        drop(self.child.wait());
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("what Loa logged:\n{log}");
            return;
        }
        assert_silent("the log", &log, self.client.secrets());
        assert_silent(
            "/metrics",
            &names_and_labels(&metrics.unwrap_or_default()),
            self.client.secrets(),
        );
    }
}

/// What `/metrics` says beside its values: the digits of a measured time may be those of any
/// number.
fn names_and_labels(metrics: &str) -> String {
    let named = metrics.lines().map(|line| match line.starts_with('#') {
        true => line,
        false => line.rsplit_once(' ').map_or(line, |(name, _)| name),
    });
    named.collect::<Vec<_>>().join("\n")
}
