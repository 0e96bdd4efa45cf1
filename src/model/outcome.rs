//! What one try at one provider came to.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::id::{DeliveryId, ProviderName};
use crate::model::mask::masked;

/// What a provider made of one message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The class of the answer.
    pub verdict: Verdict,
    /// The answer itself.
    pub answer: Answer,
    /// The message as its receiver would see it, when the provider is a sandbox or `only_to`
    /// captured it.
    pub captured: Option<Value>,
}

/// The classes of answers; everything else about a provider is detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway took it over, under this message id if it gave one.
    Accepted {
        /// The gateway's own id of the message.
        message_id: Option<String>,
    },
    /// The gateway will never take this message.
    Refused,
    /// Not now.
    Later {
        /// The time the gateway asked for.
        after: Option<Duration>,
        /// What is not ready.
        obstacle: Obstacle,
    },
    /// The address does not exist or must not be used.
    BadAddress,
    /// Credentials, URL or account are wrong: our fault, not the delivery's.
    Misconfigured,
    /// The connection broke after the message was handed over.
    Unknown,
}

/// What is not ready when a gateway asks for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The provider: it asked that it be not called at all for a while.
    Provider,
    /// This call: something went wrong on the way or on the provider's side.
    Call,
    /// The receiver: its mailbox is full, or its side wants to see the message twice. It says
    /// nothing about the provider.
    Receiver,
}

/// The word of a verdict, as attempts, metrics and filters know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictClass {
    /// See [`Verdict::Accepted`].
    Accepted,
    /// See [`Verdict::Refused`].
    Refused,
    /// See [`Verdict::Later`].
    Later,
    /// See [`Verdict::BadAddress`].
    BadAddress,
    /// See [`Verdict::Misconfigured`].
    Misconfigured,
    /// See [`Verdict::Unknown`].
    Unknown,
}

impl VerdictClass {
    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Refused,
        Self::Later,
        Self::BadAddress,
        Self::Misconfigured,
        Self::Unknown,
    ];

    /// The class's word in tables, JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Later => "later",
            Self::BadAddress => "bad_address",
            Self::Misconfigured => "misconfigured",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl Verdict {
    /// The verdict's class.
    pub fn class(&self) -> VerdictClass {
        match self {
            Self::Accepted { .. } => VerdictClass::Accepted,
            Self::Refused => VerdictClass::Refused,
            Self::Later { .. } => VerdictClass::Later,
            Self::BadAddress => VerdictClass::BadAddress,
            Self::Misconfigured => VerdictClass::Misconfigured,
            Self::Unknown => VerdictClass::Unknown,
        }
    }

    /// The same as it may be kept: what the gateway says in it is bounded and has no control
    /// characters.
    #[must_use]
    pub fn kept(self) -> Self {
        match self {
            Self::Accepted { message_id } => {
                let kept = message_id.map(|id| clean(&id, MAX_ID_CHARS));
                Self::Accepted { message_id: kept.filter(|id| !id.is_empty()) }
            }
            Self::Refused
            | Self::Later { .. }
            | Self::BadAddress
            | Self::Misconfigured
            | Self::Unknown => self,
        }
    }

    /// An acceptance without an id of the gateway's own.
    pub fn accepted() -> Self {
        Self::Accepted { message_id: None }
    }

    /// A call that failed and may be made again.
    pub fn later() -> Self {
        Self::Later { after: None, obstacle: Obstacle::Call }
    }

    /// A receiver that is not ready yet.
    pub fn later_for_receiver() -> Self {
        Self::Later { after: None, obstacle: Obstacle::Receiver }
    }

    /// Whether it says that the provider itself fails.
    pub fn blames_provider(&self) -> bool {
        match self {
            Self::Later { obstacle, .. } => *obstacle != Obstacle::Receiver,
            Self::Unknown => true,
            Self::Accepted { .. } | Self::Refused | Self::BadAddress | Self::Misconfigured => false,
        }
    }
}

/// The longest answer text that is kept, in characters.
pub const MAX_ANSWER_CHARS: usize = 500;
/// The longest code of a gateway's that is kept, in characters.
const MAX_CODE_CHARS: usize = 64;
/// The longest id of a gateway's that is kept, in characters.
const MAX_ID_CHARS: usize = 200;

/// A provider's own words, bounded, without secrets and control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The provider's code: `250`, `550 5.1.1`, `429`, `CodeResult 99`.
    pub code: Option<String>,
    /// What it said, or what broke.
    pub text: String,
}

impl Answer {
    /// Keeps the beginnings of `code` and `text`; control characters become spaces.
    pub fn new(code: Option<String>, text: &str) -> Self {
        let code = code.map(|code| clean(&code, MAX_CODE_CHARS));
        Self { code, text: clean(text, MAX_ANSWER_CHARS) }
    }
}

/// The most of a gateway's own words that a hold's cause repeats, in characters.
const MAX_QUOTE_CHARS: usize = 160;

/// Why a provider is put on hold that gave this answer: what is wrong, what it said, and what to
/// do.
///
/// Everybody who looks at the provider reads it, so it names nobody's address.
pub fn hold_cause(answer: &Answer) -> String {
    let code = answer.code.as_deref().unwrap_or_default();
    let (what, help) = match code.split(' ').next().unwrap_or_default() {
        "401" | "403" | "530" | "534" | "535" | "538" => {
            ("its gateway refuses the credentials", "correct them")
        }
        "404" | "410" => ("its gateway knows no such URL", "correct `url`"),
        "301" | "302" | "303" | "307" | "308" => {
            ("its gateway has moved to another URL", "write that one as `url`")
        }
        "not" => ("it cannot be called", "correct its settings"),
        _ => ("its gateway does not serve it as it is set up", "correct its settings or account"),
    };
    let said: String = masked(answer.text.trim()).chars().take(MAX_QUOTE_CHARS).collect();
    let code = match code {
        code if code.is_empty() || code.starts_with("not ") => String::new(),
        code => format!(" ({code})"),
    };
    let said = if said.is_empty() { said } else { format!(": \"{said}\"") };
    format!("misconfigured: {what}{code}{said}; {help}, then test and release it")
}

/// The first `most` characters of what a gateway said, with spaces for control characters.
fn clean(text: &str, most: usize) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(most).map(visible).collect()
}

/// One try of a delivery at one provider, as it is kept.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery that was tried.
    pub delivery: DeliveryId,
    /// The how-manieth try, from 1; a misconfigured provider's answer repeats the number.
    pub number: u32,
    /// The provider that was asked.
    pub provider: ProviderName,
    /// When the try began.
    pub started_at: Timestamp,
    /// When the answer came or the wait ended.
    pub finished_at: Timestamp,
    /// The class of the answer.
    pub class: VerdictClass,
    /// The answer.
    pub answer: Answer,
    /// The template version that was rendered: enough to show again what was sent.
    pub template_version: Option<String>,
}
