//! What is done to a running Loa, and when: chosen by a seed, so that it can be chosen again.

use std::time::Duration;

use fastrand::Rng;

use super::manner::Manner;

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// SIGKILL to a worker, which is started anew.
    Kill,
    /// SIGKILL to a worker that has only just been started.
    KillAtStart,
    /// SIGSTOP to a worker until its leases have run out, then SIGCONT.
    Stop,
    /// SIGTERM to a worker under load, which is started anew.
    Terminate,
    /// Every connection to the broker is cut, and new ones are refused.
    BrokerCut,
    /// Connections to the broker stay open, and nothing comes through.
    BrokerSilent,
    /// The broker itself is restarted.
    BrokerRestart,
    /// Every connection to the database is cut, and new ones are refused.
    StoreCut,
    /// Connections to the database stay open, and nothing comes through.
    StoreSilent,
    /// The database itself is restarted.
    StoreRestart,
    /// Every connection to the receivers is cut.
    ReceiversCut,
    /// The receivers refuse connections.
    ReceiversAway,
    /// The receivers misbehave.
    Receivers(Manner),
    /// The disk of the store is full.
    DiskFull,
    /// A worker's clock is an hour ahead.
    ClockAhead,
    /// A worker's clock is an hour behind.
    ClockBehind,
    /// Events that came before come again, out of order, from two publishers.
    Again,
}

impl Kind {
    /// The fault's word in the report.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::KillAtStart => "kill -9 at start",
            Self::Stop => "stopped longer than its leases",
            Self::Terminate => "terminated under load",
            Self::BrokerCut => "broker cut",
            Self::BrokerSilent => "broker half-open",
            Self::BrokerRestart => "broker restarted",
            Self::StoreCut => "database cut",
            Self::StoreSilent => "database half-open",
            Self::StoreRestart => "database restarted",
            Self::ReceiversCut => "receivers cut",
            Self::ReceiversAway => "receivers refuse connections",
            Self::Receivers(manner) => manner.as_str(),
            Self::DiskFull => "disk full",
            Self::ClockAhead => "clock an hour ahead",
            Self::ClockBehind => "clock an hour behind",
            Self::Again => "events published again",
        }
    }

    /// Whether a process was killed or a connection cut.
    pub(super) fn is_kill_or_cut(self) -> bool {
        match self {
            Self::Kill
            | Self::KillAtStart
            | Self::Stop
            | Self::Terminate
            | Self::BrokerCut
            | Self::BrokerSilent
            | Self::BrokerRestart
            | Self::StoreCut
            | Self::StoreSilent
            | Self::StoreRestart
            | Self::ReceiversCut => true,
            Self::ReceiversAway
            | Self::Receivers(_)
            | Self::DiskFull
            | Self::ClockAhead
            | Self::ClockBehind
            | Self::Again => false,
        }
    }

    /// Whether something that was being sent may be sent again by it. What the broker has in flight
    /// are events, which come again to Loa and are planned once; a clock alone repeats nothing.
    pub(super) fn may_repeat(self) -> bool {
        match self {
            Self::Kill
            | Self::KillAtStart
            | Self::Stop
            | Self::Terminate
            | Self::StoreCut
            | Self::StoreSilent
            | Self::StoreRestart
            | Self::ReceiversCut
            | Self::ReceiversAway
            | Self::DiskFull => true,
            Self::Receivers(manner) => manner.takes(),
            Self::BrokerCut
            | Self::BrokerSilent
            | Self::BrokerRestart
            | Self::ClockAhead
            | Self::ClockBehind
            | Self::Again => false,
        }
    }

    /// How often it is chosen, beside one that is chosen once.
    fn weight(self) -> usize {
        match self {
            Self::Kill => 6,
            Self::StoreCut | Self::BrokerCut | Self::ReceiversCut => 4,
            Self::Terminate | Self::KillAtStart => 2,
            Self::Stop
            | Self::BrokerSilent
            | Self::BrokerRestart
            | Self::StoreSilent
            | Self::StoreRestart
            | Self::ReceiversAway
            | Self::Receivers(_)
            | Self::DiskFull
            | Self::ClockAhead
            | Self::ClockBehind
            | Self::Again => 1,
        }
    }

    /// How long it lasts, at least and at most, in milliseconds.
    fn bounds(self) -> (u64, u64) {
        match self {
            Self::Kill
            | Self::ReceiversCut
            | Self::Terminate
            | Self::Again
            | Self::BrokerRestart
            | Self::StoreRestart => (0, 1),
            Self::KillAtStart => (5, 400),
            Self::Stop => (6_000, 7_000),
            Self::BrokerCut | Self::StoreCut | Self::ReceiversAway => (50, 1_200),
            Self::BrokerSilent => (2_500, 3_500),
            Self::StoreSilent => (500, 2_500),
            Self::Receivers(_) => (300, 1_000),
            Self::DiskFull | Self::ClockAhead | Self::ClockBehind => (1_000, 2_000),
        }
    }
}

/// One fault of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is done.
    pub(super) kind: Kind,
    /// To which worker, where it is one.
    pub(super) worker: usize,
    /// How long after the fault before it, with everything well.
    pub(super) after: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
}

/// `count` faults of the `possible` kinds for so many `workers`, as `seed` has it.
///
/// Kills and cuts come first, then the others, each kind before any comes again.
pub(super) fn schedule(seed: u64, count: usize, possible: &[Kind], workers: usize) -> Vec<Fault> {
    let mut rng = Rng::with_seed(seed);
    let mut kinds = possible.to_vec();
    rng.shuffle(&mut kinds);
    kinds.sort_by_key(|kind| !kind.is_kill_or_cut());
    let weighted: Vec<Kind> =
        possible.iter().flat_map(|kind| std::iter::repeat_n(*kind, kind.weight())).collect();
    while kinds.len() < count
        && let Some(kind) = rng.choice(&weighted)
    {
        kinds.push(*kind);
    }
    kinds.truncate(count);
    let mut choose = |kind: Kind| {
        let (least, most) = kind.bounds();
        Fault {
            kind,
            worker: rng.usize(..workers.max(1)),
            after: Duration::from_millis(rng.u64(20..400)),
            lasts: Duration::from_millis(rng.u64(least..most)),
        }
    };
    kinds.into_iter().map(&mut choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::drill::Extent;

    const KINDS: [Kind; 4] = [Kind::Kill, Kind::Stop, Kind::Again, Kind::ReceiversCut];

    #[test]
    fn the_same_seed_chooses_the_same_faults() {
        let chosen = schedule(7, 40, &KINDS, 2);

        assert_eq!(chosen, schedule(7, 40, &KINDS, 2));
        assert_ne!(chosen, schedule(8, 40, &KINDS, 2));
        assert!(chosen.iter().any(|fault| fault.worker == 1));
    }

    #[test]
    fn kills_and_cuts_come_first_and_every_kind_before_any_comes_again() {
        for seed in 0..20 {
            let chosen = schedule(seed, 10, &KINDS, 1);
            let mut first: Vec<_> = chosen.iter().take(4).map(|fault| fault.kind).collect();
            assert_eq!(first.last(), Some(&Kind::Again), "seed {seed}");
            first.sort_unstable();
            first.dedup();

            assert_eq!(first.len(), 4, "seed {seed}");
        }
    }

    /// Every fault there is.
    fn all_kinds() -> Vec<Kind> {
        let mut all = vec![Kind::Kill, Kind::KillAtStart, Kind::Stop, Kind::Terminate];
        all.extend([Kind::BrokerCut, Kind::BrokerSilent, Kind::BrokerRestart]);
        all.extend([Kind::StoreCut, Kind::StoreSilent, Kind::StoreRestart]);
        all.extend([Kind::ReceiversCut, Kind::ReceiversAway, Kind::DiskFull]);
        all.extend([Kind::ClockAhead, Kind::ClockBehind, Kind::Again]);
        all.extend(Manner::ALL.map(Kind::Receivers));
        all
    }

    #[test]
    fn what_a_quick_drill_has_planned_leaves_time_for_the_rest_of_its_minute() {
        let quick = Extent::QUICK;
        let longest = all_kinds().iter().map(|kind| kind.bounds().1).max().unwrap();
        let longest = Duration::from_millis(longest);

        // Whatever holds it up, no fault begins after this, and none goes on beyond the minute.
        assert!(quick.within + longest <= Duration::from_secs(50), "{:?}", quick.within + longest);
        for seed in 0..500 {
            let planned = schedule(seed, quick.faults, &all_kinds(), 2);
            let lasts: Duration = planned.iter().map(|fault| fault.after + fault.lasts).sum();
            assert!(lasts <= quick.within, "seed {seed} needs {lasts:?}");
        }
    }
}
