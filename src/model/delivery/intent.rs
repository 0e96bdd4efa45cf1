//! What is asked of a delivery while it is being sent; it takes effect when its answer comes.

use super::{Reason, State};

/// What is asked of a delivery that somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// An event came that makes it unwanted.
    CancelOvertaken,
    /// The next channel took over.
    CancelForFallback,
    /// An operator does not want it.
    CancelByOperator,
    /// An operator holds it.
    HoldByOperator,
}

impl Intent {
    /// Every intent.
    pub const ALL: [Self; 4] = [
        Self::CancelOvertaken,
        Self::CancelForFallback,
        Self::CancelByOperator,
        Self::HoldByOperator,
    ];

    /// The intent's word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CancelOvertaken => "cancel:overtaken",
            Self::CancelForFallback => "cancel:fallback",
            Self::CancelByOperator => "cancel:operator",
            Self::HoldByOperator => "hold:operator",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == word)
    }

    /// Where it leads.
    pub fn leads_to(self) -> (State, Reason) {
        match self {
            Self::CancelOvertaken => (State::Cancelled, Reason::Overtaken),
            Self::CancelForFallback => (State::Cancelled, Reason::FallbackTookOver),
            Self::CancelByOperator => (State::Cancelled, Reason::CancelledByOperator),
            Self::HoldByOperator => (State::Held, Reason::Operator),
        }
    }
}
