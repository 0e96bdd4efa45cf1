//! The room that there is for a store: taken away, and given back.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How large the small file system is, in MiB.
const SIZE: usize = 32;
/// What a process may write to one file while its quota is used up, in bytes.
const QUOTA: u64 = 4 << 10;

/// The disk of one data folder.
pub(crate) enum Room {
    /// A small file system of its own in memory.
    Mounted(PathBuf),
    /// The size of the files that a process may write, where nothing may be mounted.
    Quota,
}

impl Room {
    /// A disk of its own for `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={SIZE}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "loa-test"]).arg(folder);
        match mount.output().is_ok_and(|output| output.status.success()) {
            true => Self::Mounted(folder.to_owned()),
            false => Self::Quota,
        }
    }

    /// Leaves no room; `worker` is the process that writes.
    pub(crate) fn fill(&self, worker: u32) {
        match self {
            Self::Mounted(folder) => {
                let mut ballast = File::create(folder.join("ballast")).unwrap();
                // By pages, until not one more fits.
                while ballast.write_all(&[7; 4096]).is_ok() {}
            }
            Self::Quota => limit(worker, &QUOTA.to_string()),
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self, worker: u32) {
        match self {
            Self::Mounted(folder) => std::fs::remove_file(folder.join("ballast")).unwrap(),
            Self::Quota => limit(worker, "unlimited"),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            drop(Command::new("umount").arg("-l").arg(folder).status());
        }
    }
}

fn limit(worker: u32, soft: &str) {
    let (id, limit) = (format!("--pid={worker}"), format!("--fsize={soft}:unlimited"));
    assert!(Command::new("prlimit").args([id, limit]).status().unwrap().success());
}
