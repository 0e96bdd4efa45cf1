//! Reads values that stand in files of their own, as containers mount secrets.

use std::fs::File;
use std::io::{self, Read};

/// What no value is longer than.
const MAX_BYTES: u64 = 1 << 20;

/// The text of the file at `path` without the line end that editors add.
pub(super) fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
