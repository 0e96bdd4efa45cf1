//! Reads values that stand in files of their own, as containers mount secrets.

use std::fs::File;
use std::io::{self, Read};

/// What no value is longer than.
const MAX_BYTES: u64 = 1 << 20;

/// Why there is no value.
pub(super) enum Unread {
    /// There is no such file, or none that this process may read.
    NoFile(io::Error),
    /// The file is there; this is wrong with what it holds, and this is what to do.
    Unfit(&'static str, &'static str),
}

/// The text of the file at `path` without the line end that editors add.
pub(super) fn read(path: &str) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(Unread::NoFile)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Unread::Unfit("is longer than 1 MiB", "name the file of this one value"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| {
        let help = "write it as text; random bytes for instance by `openssl rand -base64 32`";
        Unread::Unfit("is not UTF-8", help)
    })?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
