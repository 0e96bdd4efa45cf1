//! How receivers misbehave.

/// What a receiver does with a message instead of taking it and saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Manner {
    /// Says that it gets too much: 429, or 421.
    TooMany,
    /// Says that it is broken: 500, or 451.
    Broken,
    /// Refuses for good: 400, or 550.
    Refuses,
    /// Takes the message and never answers.
    Hangs,
    /// Cuts the connection before it has the message.
    CutsBefore,
    /// Takes the message and cuts the connection instead of answering.
    CutsAfter,
    /// Takes the message and breaks off in the middle of its answer.
    BreaksOff,
    /// Takes the message and answers what nobody can read.
    Garbage,
}

impl Manner {
    /// Every manner.
    pub(super) const ALL: [Self; 8] = [
        Self::TooMany,
        Self::Broken,
        Self::Refuses,
        Self::Hangs,
        Self::CutsBefore,
        Self::CutsAfter,
        Self::BreaksOff,
        Self::Garbage,
    ];

    /// The manner's words in the report.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "receivers say: too many",
            Self::Broken => "receivers say: broken",
            Self::Refuses => "receivers refuse for good",
            Self::Hangs => "receivers hang",
            Self::CutsBefore => "receivers cut before the message",
            Self::CutsAfter => "receivers cut after the message",
            Self::BreaksOff => "receivers break off their answer",
            Self::Garbage => "receivers answer garbage",
        }
    }

    /// Whether the receiver has the message although it did not say so.
    pub(super) fn takes(self) -> bool {
        match self {
            Self::Hangs | Self::CutsAfter | Self::BreaksOff | Self::Garbage => true,
            Self::TooMany | Self::Broken | Self::Refuses | Self::CutsBefore => false,
        }
    }
}
