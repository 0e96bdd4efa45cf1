//! The workers: real processes that are started, killed, stopped and spoken to.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::DrillError;
use crate::app::server_file;
use crate::model::id::RunId;

/// How long a worker may take to answer after its start, and to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for what a worker leaves behind.
const LOOK: Duration = Duration::from_millis(10);
/// The longest request to a worker.
const REQUEST: Duration = Duration::from_secs(15);
/// How much of the end of a log is shown when a worker does not start.
const LOG_END: usize = 2_000;

/// What is run as a worker.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The executable.
    pub(super) file: PathBuf,
    /// Its arguments before `--config` and `--data-dir`.
    pub(super) arguments: Vec<OsString>,
    /// Told by these variables instead, where arguments are not the worker's own.
    pub(super) by_environment: bool,
}

/// All workers, and how to speak to them.
pub(super) struct Crew {
    program: Program,
    settings: PathBuf,
    /// Whether what the workers may write can be limited.
    has_quota: bool,
    workers: Vec<Worker>,
    http: reqwest::Client,
}

struct Worker {
    data: PathBuf,
    log: PathBuf,
    /// By how many seconds its clock is wrong.
    clock: PathBuf,
    child: tokio::sync::Mutex<Option<Child>>,
    door: Mutex<Option<Door>>,
}

/// How a running worker is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Door {
    url: String,
    token: String,
    /// Its claims are known by this.
    pub(super) run: Option<RunId>,
}

impl Program {
    /// The program that runs now, as `loa run`.
    pub(super) fn own() -> io::Result<Self> {
        let file = std::env::current_exe()?;
        Ok(Self { file, arguments: vec!["run".into()], by_environment: false })
    }

    fn command(&self, settings: &Path, worker: &Worker, has_quota: bool) -> Command {
        let mut command = Command::new(if has_quota { Path::new("/bin/sh") } else { &self.file });
        if has_quota {
            // Who writes beyond the quota is to be told, not killed.
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&self.file);
        }
        // The settings of whoever starts the drill are not those of its workers.
        command.env_clear().args(&self.arguments);
        let Worker { data, clock, .. } = worker;
        if self.by_environment {
            command.env("DRILL_SETTINGS", settings).env("DRILL_DATA", data);
        } else {
            command.arg("--config").arg(settings).arg("--data-dir").arg(data);
            command.arg("--drill-clock").arg(clock);
        }
        command
    }
}

impl Crew {
    /// A crew of workers that are not running yet, with a data folder each.
    pub(super) fn new(
        program: Program,
        settings: PathBuf,
        folders: &[PathBuf],
        has_quota: bool,
    ) -> Result<Self, DrillError> {
        let worker = |data: &PathBuf| Worker {
            data: data.clone(),
            log: data.with_extension("log"),
            clock: data.with_extension("clock"),
            child: tokio::sync::Mutex::default(),
            door: Mutex::default(),
        };
        // A second call in the same process changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST).build();
        let http = client.map_err(|error| DrillError::SetUp(io::Error::other(error)))?;
        let workers = folders.iter().map(worker).collect();
        Ok(Self { program, settings, has_quota, workers, http })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Starts a worker and returns once it answers.
    pub(super) async fn start(&self, index: usize) -> Result<(), DrillError> {
        self.launch(index).await?;
        self.answers(index).await
    }

    /// Starts a worker and does not wait for it.
    pub(super) async fn launch(&self, index: usize) -> Result<(), DrillError> {
        let Some(worker) = self.workers.get(index) else { return Ok(()) };
        *lock(&worker.door) = None;
        drop(std::fs::remove_file(worker.data.join("server.json")));
        let log = OpenOptions::new().create(true).append(true).open(&worker.log)?;
        let mut command = self.program.command(&self.settings, worker, self.has_quota);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        *worker.child.lock().await = Some(command.spawn()?);
        Ok(())
    }

    /// Returns once a worker that was launched answers.
    pub(super) async fn answers(&self, index: usize) -> Result<(), DrillError> {
        let Some(worker) = self.workers.get(index) else { return Ok(()) };
        let found = async {
            loop {
                if let Some(file) = server_file::read(&worker.data) {
                    let (url, token) = (file.url, file.token);
                    return Ok(Door { url, token, run: file.run });
                }
                let ended = match &mut *worker.child.lock().await {
                    Some(child) => child.try_wait()?,
                    None => None,
                };
                if let Some(status) = ended {
                    return Err(worker.does_not_start(&format!("ended with {status}")));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let door = match tokio::time::timeout(PATIENCE, found).await {
            Ok(door) => door?,
            Err(_) => return Err(worker.does_not_start("says nothing")),
        };
        *lock(&worker.door) = Some(door);
        Ok(())
    }

    /// Makes the clock of a worker wrong by so many seconds, now and after its next start.
    pub(super) fn set_clock(&self, index: usize, seconds: i64) -> io::Result<()> {
        let Some(worker) = self.workers.get(index) else { return Ok(()) };
        // In one piece, so that nobody reads half a number.
        let new = worker.clock.with_extension("new");
        std::fs::write(&new, seconds.to_string())?;
        std::fs::rename(&new, &worker.clock)
    }

    /// The process of a worker, if it runs.
    pub(super) async fn process(&self, index: usize) -> Option<u32> {
        self.workers.get(index)?.child.lock().await.as_ref()?.id()
    }

    /// Ends a worker as a crash would.
    pub(super) async fn kill(&self, index: usize) -> Result<(), DrillError> {
        let Some(worker) = self.workers.get(index) else { return Ok(()) };
        if let Some(mut child) = worker.child.lock().await.take() {
            child.kill().await?;
        }
        *lock(&worker.door) = None;
        Ok(())
    }

    /// Sends a worker a signal, such as `STOP`.
    pub(super) async fn signal(&self, index: usize, name: &str) -> Result<(), DrillError> {
        let Some(id) = self.process(index).await else { return Ok(()) };
        // The shell's own `kill`: there may be no program of this name.
        let kill = format!("kill -{name} {id}");
        let status = Command::new("/bin/sh").args(["-c", &kill]).status().await?;
        match status.success() {
            true => Ok(()),
            false => Err(DrillError::SetUp(io::Error::other(format!("`{kill}` failed")))),
        }
    }

    /// Waits until a worker that was told to has ended; whether it did so in good time and well.
    pub(super) async fn ended(&self, index: usize) -> Result<bool, DrillError> {
        let Some(worker) = self.workers.get(index) else { return Ok(true) };
        *lock(&worker.door) = None;
        let child = worker.child.lock().await.take();
        let Some(mut child) = child else { return Ok(true) };
        if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
            return Ok(status?.success());
        }
        child.kill().await?;
        Ok(false)
    }

    /// Fails if a worker has ended by itself.
    pub(super) async fn all_live(&self) -> Result<(), DrillError> {
        for worker in &self.workers {
            if let Some(child) = &mut *worker.child.lock().await
                && let Some(status) = child.try_wait()?
            {
                let (why, log) = (format!("ended by itself ({status})"), worker.end_of_log());
                return Err(DrillError::Worker(format!(
                    "a worker {why}; its log ends with:\n{log}"
                )));
            }
        }
        Ok(())
    }

    /// How a worker is spoken to, if it runs.
    pub(super) fn door(&self, index: usize) -> Option<Door> {
        self.workers.get(index).and_then(|worker| lock(&worker.door).clone())
    }

    /// Publishes an array of events by a worker; what it answered if it took them.
    pub(super) async fn publish(&self, index: usize, body: Vec<u8>) -> Option<Value> {
        let door = self.door(index)?;
        let url = format!("{}/v1/events?on_reject=keep", door.url);
        let request = self.http.post(url).bearer_auth(&door.token);
        let request = request.header("content-type", "application/cloudevents+json").body(body);
        let answer = request.send().await.ok()?;
        let is_taken = answer.status().as_u16() == 202;
        let answer = answer.json().await.ok()?;
        is_taken.then_some(answer)
    }

    /// What a worker says of a resource; none if it does not.
    pub(super) async fn get(&self, index: usize, path: &str) -> Option<Value> {
        let door = self.door(index)?;
        let request = self.http.get(format!("{}{path}", door.url)).bearer_auth(&door.token);
        let answer = request.send().await.ok()?;
        answer.status().is_success().then_some(())?;
        answer.json().await.ok()
    }
}

impl Worker {
    fn does_not_start(&self, why: &str) -> DrillError {
        DrillError::Worker(format!("a worker {why}; its log ends with:\n{}", self.end_of_log()))
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = log.get(log.len().saturating_sub(LOG_END)..).unwrap_or_default();
        String::from_utf8_lossy(end).into_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
