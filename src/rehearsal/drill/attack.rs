//! Carries faults out, and notes what was in flight at each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::process::Command;

use super::DrillError;
use super::crew::Crew;
use super::disk::Disk;
use super::fault::{Fault, Kind};
use super::ground::Ground;
use super::press::Press;
use super::receivers::Receivers;
use crate::clock::Clock;
use crate::model::id::{DeliveryId, RunId};
use crate::rehearsal::proxy::Proxy;
use crate::store::Onlooker;

/// How long what was under way in the database when a process stopped may take to end.
const SETTLE: Duration = Duration::from_millis(100);
/// How far a clock jumps, in seconds.
const HOUR: i64 = 3600;
/// How many events come again at once.
const AGAIN: usize = 60;
/// How long the database may take to answer the drill itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that can be attacked.
pub(super) struct Attack<'a> {
    pub(super) crew: Arc<Crew>,
    pub(super) receivers: Receivers,
    pub(super) ground: Ground,
    pub(super) onlooker: Onlooker,
    pub(super) press: Arc<Press>,
    pub(super) controls: Controls,
    /// The disk of the SQLite file, if it can be full.
    pub(super) disk: Option<&'a Disk>,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    /// How far the clocks of all workers have come to be ahead of the machine's.
    pub(super) seconds_ahead: i64,
}

/// Programs that take `restart`.
#[derive(Clone, Debug, Default)]
pub(super) struct Controls {
    pub(super) broker: Option<String>,
    pub(super) store: Option<String>,
}

/// A fault that was carried out.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    /// What was done.
    pub(super) kind: Kind,
    /// When it began and ended, by the monotonic clock of the drill.
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// The deliveries that were in flight, and may therefore be repeated.
    pub(super) in_flight: BTreeSet<DeliveryId>,
    /// A promise that it broke by itself: a stop that took longer than its grace.
    pub(super) broke: Option<String>,
}

impl Attack<'_> {
    /// Carries one fault out and heals it.
    pub(super) async fn strike(&mut self, fault: Fault) -> Result<Struck, DrillError> {
        let mut struck = Struck {
            kind: fault.kind,
            began: self.clock.monotonic(),
            ended: Duration::ZERO,
            in_flight: BTreeSet::new(),
            broke: None,
        };
        match fault.kind {
            Kind::Kill | Kind::KillAtStart | Kind::Stop | Kind::Terminate => {
                self.strike_worker(fault, &mut struck).await?;
            }
            Kind::BrokerCut => self.cut(self.ground.broker.as_ref(), fault.lasts).await,
            Kind::BrokerSilent => self.silence(self.ground.broker.as_ref(), fault.lasts).await,
            Kind::BrokerRestart => restart(self.controls.broker.as_ref()).await?,
            Kind::StoreCut | Kind::StoreSilent | Kind::StoreRestart => {
                self.strike_store(fault, &mut struck).await?;
            }
            Kind::ReceiversCut | Kind::ReceiversAway => {
                self.receivers.http.freeze();
                self.receivers.smtp.freeze();
                self.look(None, &mut struck).await?;
                self.receivers.close();
                tokio::time::sleep(fault.lasts).await;
                self.receivers.open();
            }
            Kind::Receivers(manner) => {
                self.receivers.tally.behave(Some(manner));
                tokio::time::sleep(fault.lasts).await;
                self.receivers.tally.behave(None);
            }
            Kind::Again => self.press.publish_again(AGAIN, &mut self.rng).await,
            Kind::DiskFull => self.strike_disk(fault.lasts, &mut struck).await?,
            Kind::ClockAhead | Kind::ClockBehind => self.strike_clock(fault).await?,
        }
        struck.ended = self.clock.monotonic();
        Ok(struck)
    }

    /// Makes everything well again, whatever state it is in.
    pub(super) fn heal(&self) {
        self.receivers.tally.behave(None);
        self.receivers.open();
        self.ground.broker.iter().chain(&self.ground.store).for_each(Proxy::open);
    }

    async fn strike_worker(&self, fault: Fault, struck: &mut Struck) -> Result<(), DrillError> {
        let (crew, worker) = (&self.crew, fault.worker);
        match fault.kind {
            Kind::KillAtStart => {
                crew.kill(worker).await?;
                self.look(Some(worker), struck).await?;
                crew.launch(worker).await?;
                tokio::time::sleep(fault.lasts).await;
                crew.kill(worker).await?;
                self.look(Some(worker), struck).await?;
                crew.start(worker).await
            }
            Kind::Stop => {
                crew.signal(worker, "STOP").await?;
                tokio::time::sleep(SETTLE).await;
                self.look(Some(worker), struck).await?;
                tokio::time::sleep(fault.lasts).await;
                crew.signal(worker, "CONT").await
            }
            Kind::Terminate => {
                let run = crew.door(worker).and_then(|door| door.run);
                crew.signal(worker, "TERM").await?;
                self.look_at(run, struck).await?;
                tokio::time::sleep(SETTLE).await;
                self.look_at(run, struck).await?;
                if !crew.ended(worker).await? {
                    struck.broke = Some("a worker did not end well after SIGTERM".to_owned());
                }
                self.look_at(run, struck).await?;
                crew.start(worker).await
            }
            _ => {
                crew.kill(worker).await?;
                self.look(Some(worker), struck).await?;
                crew.start(worker).await
            }
        }
    }

    async fn strike_disk(&self, lasts: Duration, struck: &mut Struck) -> Result<(), DrillError> {
        let Some(disk) = self.disk else { return Ok(()) };
        let worker = self.crew.process(0).await;
        disk.fill(worker).await?;
        self.look(None, struck).await?;
        tokio::time::sleep(lasts).await;
        self.look(None, struck).await?;
        Ok(disk.free(worker).await?)
    }

    /// A clock that was behind comes right again. One that was ahead does not: what it has planned is
    /// due by it, and the others are then found to have been behind.
    async fn strike_clock(&mut self, fault: Fault) -> Result<(), DrillError> {
        let right = self.seconds_ahead;
        let wrong = match fault.kind {
            Kind::ClockAhead => right + HOUR,
            _ => right - HOUR,
        };
        self.crew.set_clock(fault.worker, wrong)?;
        tokio::time::sleep(fault.lasts).await;
        self.seconds_ahead = right.max(wrong);
        for worker in 0..self.crew.len() {
            self.crew.set_clock(worker, self.seconds_ahead)?;
        }
        Ok(())
    }

    /// What is in flight is looked at when the fault begins and when it ends: what is claimed at the
    /// beginning and recorded at the end is not repeated.
    async fn strike_store(&self, fault: Fault, struck: &mut Struck) -> Result<(), DrillError> {
        let Some(proxy) = &self.ground.store else { return Ok(()) };
        match fault.kind {
            Kind::StoreRestart => {
                self.look(None, struck).await?;
                restart(self.controls.store.as_ref()).await?;
                return self.look(None, struck).await;
            }
            Kind::StoreSilent => proxy.freeze(),
            _ => proxy.close(),
        }
        self.look(None, struck).await?;
        tokio::time::sleep(fault.lasts).await;
        self.look(None, struck).await?;
        proxy.close();
        proxy.open();
        Ok(())
    }

    async fn cut(&self, proxy: Option<&Proxy>, lasts: Duration) {
        let Some(proxy) = proxy else { return };
        proxy.close();
        tokio::time::sleep(lasts).await;
        proxy.open();
    }

    async fn silence(&self, proxy: Option<&Proxy>, lasts: Duration) {
        let Some(proxy) = proxy else { return };
        proxy.freeze();
        tokio::time::sleep(lasts).await;
        proxy.close();
        proxy.open();
    }

    /// Notes what is claimed by `worker`, or by all.
    async fn look(&self, worker: Option<usize>, struck: &mut Struck) -> Result<(), DrillError> {
        let others = (0..self.crew.len()).filter(|index| Some(*index) != worker);
        let others: Vec<RunId> = others.filter_map(|index| self.crew.door(index)?.run).collect();
        for (delivery, run) in self.claimed().await? {
            if worker.is_none() || !others.contains(&run) {
                struck.in_flight.insert(delivery);
            }
        }
        Ok(())
    }

    /// Notes what is claimed by a run.
    async fn look_at(&self, wanted: Option<RunId>, struck: &mut Struck) -> Result<(), DrillError> {
        let claimed = self.claimed().await?.into_iter();
        let wanted = claimed.filter(|(_, run)| wanted.is_none_or(|wanted| wanted == *run));
        struck.in_flight.extend(wanted.map(|(delivery, _)| delivery));
        Ok(())
    }

    async fn claimed(&self) -> Result<Vec<(DeliveryId, RunId)>, DrillError> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.onlooker.claimed().await {
                Err(error) if error.is_temporary() && tokio::time::Instant::now() < end => {
                    tokio::time::sleep(SETTLE).await;
                }
                found => return Ok(found?),
            }
        }
    }
}

async fn restart(control: Option<&String>) -> Result<(), DrillError> {
    let Some(control) = control else { return Ok(()) };
    let status = Command::new(control).arg("restart").status().await?;
    match status.success() {
        true => Ok(()),
        false => Err(DrillError::Worker(format!("`{control} restart` failed: {status}"))),
    }
}
