//! What may happen, and how often.

use proptest::prelude::*;

/// One thing that happens. Numbers pick one of what there is then.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// A batch of events comes, perhaps some that came before.
    Accept(Vec<Coming>),
    /// A worker claims what is due at a provider.
    Claim { provider: usize, limit: usize },
    /// A claimed delivery asks gate and window, and is handed to its provider.
    Begin { pick: usize },
    /// The provider answers.
    Answer { pick: usize, answer: Answer, random: f64 },
    /// The worker of one claim begins to stand still; the leases of the others are renewed.
    Renew { stalled: usize },
    /// Time passes.
    Wait { seconds: u64 },
    /// Claims whose lease is over are taken over; the process may die before it records them.
    TakeOver { dies: bool },
    /// The process is killed and started again; whether a message that was on its way arrived.
    Kill { arrives: bool },
    /// An operator repairs one delivery.
    Repair { pick: usize, repair: Repairing },
    /// An operator puts a provider on hold, or lets it go on.
    HoldProvider { provider: usize, held: bool },
    /// An address is suppressed, or may be used again.
    Suppress { contact: usize, suppressed: bool },
    /// A contact says yes or no to marketing.
    Consent { contact: usize, granted: bool },
    /// Expiry, retention and counters.
    Sweep,
}

/// One event that comes in.
#[derive(Clone, Debug)]
pub(super) struct Coming {
    /// Its type, by number.
    pub(super) kind: usize,
    /// The publisher's id.
    pub(super) id: u8,
    /// The order that it is about.
    pub(super) order: u8,
    /// How long ago it happened.
    pub(super) minutes_old: u32,
}

/// What a provider answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Accepted,
    Refused,
    BadAddress,
    Later(Option<u64>),
    Misconfigured,
    /// Nobody knows; whether the message arrived.
    Unknown {
        arrived: bool,
    },
}

/// What an operator does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Repairing {
    Retry,
    Cancel,
    Hold,
    Release,
}

/// Histories of so many deeds.
pub(super) fn history(deeds: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(deed(), deeds)
}

fn deed() -> impl Strategy<Value = Deed> {
    let pick = 0..8_usize;
    prop_oneof![
        12 => prop::collection::vec(coming(), 1..4).prop_map(Deed::Accept),
        16 => (0..3_usize, 1..6_usize)
            .prop_map(|(provider, limit)| Deed::Claim { provider, limit }),
        20 => pick.clone().prop_map(|pick| Deed::Begin { pick }),
        20 => (pick.clone(), answer(), 0.0..1.0_f64)
            .prop_map(|(pick, answer, random)| Deed::Answer { pick, answer, random }),
        4 => (0..4_usize).prop_map(|stalled| Deed::Renew { stalled }),
        10 => prop_oneof![4 => 1..90_u64, 2 => 90..900_u64, 1 => 900..20_000_u64]
            .prop_map(|seconds| Deed::Wait { seconds }),
        5 => any::<bool>().prop_map(|dies| Deed::TakeOver { dies }),
        3 => any::<bool>().prop_map(|arrives| Deed::Kill { arrives }),
        6 => (pick, repairing()).prop_map(|(pick, repair)| Deed::Repair { pick, repair }),
        2 => (0..3_usize, any::<bool>())
            .prop_map(|(provider, held)| Deed::HoldProvider { provider, held }),
        2 => (0..3_usize, any::<bool>())
            .prop_map(|(contact, suppressed)| Deed::Suppress { contact, suppressed }),
        2 => (0..3_usize, any::<bool>())
            .prop_map(|(contact, granted)| Deed::Consent { contact, granted }),
        4 => Just(Deed::Sweep),
    ]
}

fn coming() -> impl Strategy<Value = Coming> {
    (0..4_usize, 0..8_u8, 0..3_u8, 0..40_u32).prop_map(|(kind, id, order, minutes_old)| Coming {
        kind,
        id,
        order,
        minutes_old,
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => Just(Answer::Accepted),
        1 => Just(Answer::Refused),
        1 => Just(Answer::BadAddress),
        3 => prop::option::of(1..3_000_u64).prop_map(Answer::Later),
        1 => Just(Answer::Misconfigured),
        3 => any::<bool>().prop_map(|arrived| Answer::Unknown { arrived }),
    ]
}

fn repairing() -> impl Strategy<Value = Repairing> {
    prop_oneof![
        3 => Just(Repairing::Retry),
        1 => Just(Repairing::Cancel),
        1 => Just(Repairing::Hold),
        2 => Just(Repairing::Release),
    ]
}
