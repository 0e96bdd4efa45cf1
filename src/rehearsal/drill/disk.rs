//! A disk that can be full: a small file system where one may be mounted, else a quota of the
//! worker.

use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// How large the file system is while it is not full.
const ROOM: &str = "4g";
/// How often it is tried to leave no room while a worker goes on writing.
const TRIES: usize = 50;
/// What a worker may write to one file while its quota is used up, in bytes.
const QUOTA: u64 = 4 << 10;

/// The disk of one data folder.
pub(super) enum Disk {
    /// A file system of its own in memory, whose size can be changed.
    Mounted(PathBuf),
    /// The size of the files that a process may write.
    Quota,
}

impl Disk {
    /// A disk for `folder`; none where neither may be had.
    pub(super) async fn prepare(folder: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let mode = format!("size={ROOM},mode=700");
        let place = folder.display().to_string();
        if done("mount", &["-t", "tmpfs", "-o", &mode, "loa-drill", &place]).await {
            return Ok(Some(Self::Mounted(folder.to_owned())));
        }
        Ok(done("prlimit", &["--version"]).await.then_some(Self::Quota))
    }

    /// Whether workers must be started so that they outlive a quota that is used up.
    pub(super) fn is_quota(&self) -> bool {
        matches!(self, Self::Quota)
    }

    /// Leaves no room; `worker` is the process that writes.
    pub(super) async fn fill(&self, worker: Option<u32>) -> io::Result<()> {
        match self {
            Self::Mounted(folder) => {
                // A file may grow between the look and the change, which then does not fit.
                for _ in 0..TRIES {
                    if resize(folder, &used(folder)?.to_string()).await.is_ok() {
                        return Ok(());
                    }
                }
                Err(io::Error::other("cannot fill the small file system"))
            }
            Self::Quota => limit(worker, &QUOTA.to_string()).await,
        }
    }

    /// Makes room again.
    pub(super) async fn free(&self, worker: Option<u32>) -> io::Result<()> {
        match self {
            Self::Mounted(folder) => resize(folder, ROOM).await,
            Self::Quota => limit(worker, "unlimited").await,
        }
    }
}

impl Drop for Disk {
    /// Takes the file system away, even if a drill is stopped half-way and workers are still dying.
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            let unmount = std::process::Command::new("umount").arg("-l").arg(folder).status();
            drop(unmount);
        }
    }
}

async fn resize(folder: &Path, size: &str) -> io::Result<()> {
    let options = format!("remount,size={size}");
    let place = folder.display().to_string();
    match done("mount", &["-o", &options, &place]).await {
        true => Ok(()),
        false => Err(io::Error::other(format!("cannot give {place} a size of {size}"))),
    }
}

/// What the files of `folder` take up, in whole pages.
fn used(folder: &Path) -> io::Result<u64> {
    const PAGE: u64 = 4096;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        sum += entry?.metadata()?.len().div_ceil(PAGE) * PAGE;
    }
    // A file system of size nought would be one without a limit.
    Ok(sum.max(PAGE))
}

async fn limit(worker: Option<u32>, soft: &str) -> io::Result<()> {
    let Some(id) = worker else { return Ok(()) };
    let (id, limit) = (format!("--pid={id}"), format!("--fsize={soft}:unlimited"));
    match done("prlimit", &[&id, &limit]).await {
        true => Ok(()),
        false => Err(io::Error::other("cannot set the quota of a worker")),
    }
}

async fn done(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    command.output().await.is_ok_and(|output| output.status.success())
}
