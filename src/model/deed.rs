//! What somebody did to a delivery or a rejected event: kept, since its state shows only the last
//! of it.

use jiff::Timestamp;
use serde::Serialize;

/// By whom Loa's own deeds are.
pub const LOA: &str = "loa";

/// By whom that is which the command line does, with the token of the data folder.
pub const COMMAND_LINE: &str = "command line";

/// One deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// What.
    pub deed: DeedKind,
    /// Who: [`LOA`] itself, the [`COMMAND_LINE`], `key` and its name, or a user.
    pub by: String,
    /// Why, or what came of it: of a replay Loa's id of the event.
    pub note: Option<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeedKind {
    /// A delivery was reopened.
    Retried,
    /// A delivery was ended.
    Cancelled,
    /// A delivery was held.
    Held,
    /// A delivery's hold was ended.
    Released,
    /// A rejected event was handed in again.
    Replayed,
    /// A rejected event was forgotten.
    Discarded,
}

impl DeedKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Retried,
        Self::Cancelled,
        Self::Held,
        Self::Released,
        Self::Replayed,
        Self::Discarded,
    ];

    /// The word in tables, JSON and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::Released => "released",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.as_str() == word)
    }
}
