//! The HTTP API, version 1: JSON in, JSON out, problem details for what goes wrong.

pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod ledger;
pub(super) mod providers;
pub(super) mod rejected;
pub(super) mod users;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::problem::Problem;
use crate::store::Cursor;

/// The most rows of one page.
const MAX_LIMIT: u32 = 500;

/// Which page of a list is wanted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    limit: Option<u32>,
    after: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).clamp(1, MAX_LIMIT)
    }

    fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.after else { return Ok(None) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (at, id) = text.split_once(' ')?;
            let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
            Some(Cursor { at, id: id.parse().ok()? })
        };
        let fault = || Problem::bad_request("?after", "not a cursor; take `next` of a page");
        read().ok_or_else(fault).map(Some)
    }
}

/// The cursor behind a row, if the page is full.
fn next(is_full: bool, at: Timestamp, id: uuid::Uuid) -> Option<String> {
    is_full.then(|| URL_SAFE_NO_PAD.encode(format!("{} {id}", at.as_microsecond())))
}
