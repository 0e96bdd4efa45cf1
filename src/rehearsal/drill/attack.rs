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
/// How often it is looked at what a worker does while it ends.
const GLANCE: Duration = Duration::from_millis(20);
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
        let (worker, lasts) = (fault.worker, fault.lasts);
        let (broker, store) = (self.ground.broker.as_ref(), self.ground.store.as_ref());
        match fault.kind {
            Kind::Kill => self.kill(worker, None, &mut struck).await?,
            Kind::KillAtStart => self.kill(worker, Some(lasts), &mut struck).await?,
            Kind::Stop => self.stop(worker, lasts, &mut struck).await?,
            Kind::Terminate => self.terminate(worker, &mut struck).await?,
            Kind::BrokerCut => cut(broker, lasts).await,
            Kind::BrokerSilent => silence(broker, lasts).await,
            Kind::BrokerRestart => restart(self.controls.broker.as_ref()).await?,
            // What is in flight is looked at when the fault begins and when it ends: what is
            // claimed at the beginning and recorded at the end is not repeated.
            Kind::StoreCut | Kind::StoreSilent | Kind::StoreRestart => {
                self.look(None, &mut struck).await?;
                match fault.kind == Kind::StoreRestart {
                    true => restart(self.controls.store.as_ref()).await?,
                    false if fault.kind == Kind::StoreCut => cut(store, lasts).await,
                    false => silence(store, lasts).await,
                }
                self.look(None, &mut struck).await?;
            }
            Kind::ReceiversCut | Kind::ReceiversAway => self.close(lasts, &mut struck).await?,
            Kind::Receivers(manner) => {
                self.receivers.tally.behave(Some(manner));
                tokio::time::sleep(lasts).await;
                self.receivers.tally.behave(None);
            }
            Kind::Again => self.press.publish_again(AGAIN, &mut self.rng).await,
            Kind::DiskFull => self.fill_disk(lasts, &mut struck).await?,
            Kind::ClockAhead => self.move_clock(worker, (HOUR, lasts)).await?,
            Kind::ClockBehind => self.move_clock(worker, (-HOUR, lasts)).await?,
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

    /// Kills a worker, and once more after `again` if it is to be hit at its start.
    async fn kill(
        &self,
        worker: usize,
        again: Option<Duration>,
        struck: &mut Struck,
    ) -> Result<(), DrillError> {
        self.crew.kill(worker).await?;
        self.look(Some(worker), struck).await?;
        if let Some(after) = again {
            self.crew.launch(worker).await?;
            tokio::time::sleep(after).await;
            self.crew.kill(worker).await?;
            self.look(Some(worker), struck).await?;
        }
        self.crew.start(worker).await
    }

    async fn stop(
        &self,
        worker: usize,
        lasts: Duration,
        struck: &mut Struck,
    ) -> Result<(), DrillError> {
        self.crew.signal(worker, "STOP").await?;
        tokio::time::sleep(SETTLE).await;
        self.look(Some(worker), struck).await?;
        tokio::time::sleep(lasts).await;
        self.crew.signal(worker, "CONT").await
    }

    /// Until it has ended it claims and sends, and what it stops waiting for is unknown: it is
    /// looked at all the time.
    async fn terminate(&self, worker: usize, struck: &mut Struck) -> Result<(), DrillError> {
        let run = self.crew.door(worker).and_then(|door| door.run);
        self.crew.signal(worker, "TERM").await?;
        let ended = self.crew.ended(worker);
        tokio::pin!(ended);
        let has_ended_well = loop {
            self.look_at(run, struck).await?;
            tokio::select! {
                ended = &mut ended => break ended?,
                () = tokio::time::sleep(GLANCE) => {}
            }
        };
        if !has_ended_well {
            struck.broke = Some("a worker did not end well after SIGTERM".to_owned());
        }
        self.look_at(run, struck).await?;
        self.crew.start(worker).await
    }

    /// Nothing comes through any more when it is looked at what is in flight.
    async fn close(&self, lasts: Duration, struck: &mut Struck) -> Result<(), DrillError> {
        self.receivers.http.freeze().await;
        self.receivers.smtp.freeze().await;
        self.look(None, struck).await?;
        self.receivers.close();
        tokio::time::sleep(lasts).await;
        self.receivers.open();
        Ok(())
    }

    async fn fill_disk(&self, lasts: Duration, struck: &mut Struck) -> Result<(), DrillError> {
        let Some(disk) = self.disk else { return Ok(()) };
        let worker = self.crew.process(0).await;
        disk.fill(worker).await?;
        self.look(None, struck).await?;
        tokio::time::sleep(lasts).await;
        self.look(None, struck).await?;
        Ok(disk.free(worker).await?)
    }

    /// A clock that was behind comes right again. One that was ahead does not: what it has planned
    /// is due by it, and the others are then found to have been behind.
    async fn move_clock(
        &mut self,
        worker: usize,
        (seconds, lasts): (i64, Duration),
    ) -> Result<(), DrillError> {
        let right = self.seconds_ahead;
        self.crew.set_clock(worker, right + seconds)?;
        tokio::time::sleep(lasts).await;
        self.seconds_ahead = right.max(right + seconds);
        for worker in 0..self.crew.len() {
            self.crew.set_clock(worker, self.seconds_ahead)?;
        }
        Ok(())
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

async fn cut(proxy: Option<&Proxy>, lasts: Duration) {
    let Some(proxy) = proxy else { return };
    proxy.close();
    tokio::time::sleep(lasts).await;
    proxy.open();
}

async fn silence(proxy: Option<&Proxy>, lasts: Duration) {
    let Some(proxy) = proxy else { return };
    proxy.freeze().await;
    tokio::time::sleep(lasts).await;
    proxy.close();
    proxy.open();
}

async fn restart(control: Option<&String>) -> Result<(), DrillError> {
    let Some(control) = control else { return Ok(()) };
    let status = Command::new(control).arg("restart").status().await?;
    match status.success() {
        true => Ok(()),
        false => Err(DrillError::Worker(format!("`{control} restart` failed: {status}"))),
    }
}
