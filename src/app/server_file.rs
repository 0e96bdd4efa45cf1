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
    let (url, token) = (format!("http://{address}"), token.to_owned());
    let file = ServerFile { url, token, run: Some(run) };
    std::fs::create_dir_all(folder)?;
    let path = folder.join(NAME);
    // A file that is there already may be readable by others.
    drop(std::fs::remove_file(&path));
    let mut out =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    out.write_all(serde_json::to_string_pretty(&file)?.as_bytes())
}

/// Reads the file that a running Loa left in `folder`, if there is one.
pub fn read(folder: &Path) -> Option<ServerFile> {
    let text = std::fs::read_to_string(folder.join(NAME)).ok()?;
    serde_json::from_str(&text).ok()
}
