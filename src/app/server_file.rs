//! `server.json`: how the command line finds the Loa that runs on a data folder.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::id::RunId;

/// The file's name in the data folder.
const NAME: &str = "server.json";

/// Where a running Loa listens, and the token that opens its API.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServerFile {
    /// The address of its API.
    pub url: String,
    /// The token to send as `Authorization: Bearer`.
    pub token: String,
    /// What the claims of this process are known by in the store.
    #[serde(default)]
    pub run: Option<RunId>,
}

/// Leaves the file, readable by its owner alone.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn write(
    folder: &Path,
    (address, run): (SocketAddr, RunId),
    token: &str,
) -> std::io::Result<()> {
    let (url, token) = (format!("http://{}", reached_at(address)), token.to_owned());
    let file = ServerFile { url, token, run: Some(run) };
    std::fs::create_dir_all(folder)?;
    let path = folder.join(NAME);
    // A file that is there already may be readable by others.
    drop(std::fs::remove_file(&path));
    let mut out =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    out.write_all(serde_json::to_string_pretty(&file)?.as_bytes())
}

/// The address by which this machine reaches what listens on `address`.
pub fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Takes the file away if it is this run's; whoever looks for it then finds that none runs.
pub(super) fn remove(folder: &Path, run: RunId) {
    if read(folder).is_some_and(|file| file.run == Some(run)) {
        // A folder that cannot be written any more is no reason not to end.
        std::fs::remove_file(folder.join(NAME)).ok();
    }
}

/// Reads the file that a running Loa left in `folder`, if there is one.
pub fn read(folder: &Path) -> Option<ServerFile> {
    let text = std::fs::read_to_string(folder.join(NAME)).ok()?;
    serde_json::from_str(&text).ok()
}
