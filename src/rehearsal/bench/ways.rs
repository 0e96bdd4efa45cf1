//! The row *ways*: the same work unstored, accepted only, and durable, turn by turn.

use tokio::process::Command;

use super::bed::{Bed, PATIENCE, Way, events_for};
use super::findings::Findings;
use super::report::ChannelReport;
use super::settings::Stage;
use super::sink::Sinks;
use super::{Bench, BenchError};
use crate::clock::Clock;
use crate::model::address::Channel;

impl Bench {
    pub(super) async fn ways(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let sinks = Sinks::start(&Clock::system())?;
        let (app, playground) = self.open(&sinks, &Stage::default()).await?;
        let mut bed = Bed::new(&app, &sinks).await?;
        let mut channels = Vec::new();
        for channel in [Channel::Chat, Channel::Email] {
            tell(&format!("{channel}: warming up"));
            channels.push(self.channel(&mut bed, channel, &mut tell).await?);
        }
        let report = bed.report(channels).await?;
        drop(bed);
        app.stop().await;
        if let Some(playground) = playground {
            playground.clear().await?;
        }
        Ok(report.findings())
    }

    async fn channel(
        &self,
        bed: &mut Bed<'_>,
        channel: Channel,
        tell: &mut impl FnMut(&str),
    ) -> Result<ChannelReport, BenchError> {
        let extent = self.extent;
        bed.measure(Way::Unstored, channel, extent.warm_up).await?;
        let first = bed.measure(Way::Durable, channel, extent.warm_up).await?;
        let count = events_for(&first, extent);
        let mut report = ChannelReport::new(channel);
        for round in 1..=extent.rounds {
            for way in [Way::Unstored, Way::Accept, Way::Durable] {
                report.add(way, bed.measure(way, channel, count).await?);
            }
            let rounds = extent.rounds;
            tell(&format!("{channel}: round {round} of {rounds}: {}", report.last_round()));
        }
        if !write_back().await {
            tell("`sync` did not run: the system may write what the rounds left during the pace");
        }
        report.pace = Some(bed.pace(channel, extent.paced).await?);
        Ok(report)
    }
}

/// Has the system write what the rounds left in its cache, on this machine; says whether it did. It
/// would do so by itself half a minute later, all at once, and a commit that then waits for the disk
/// is no matter of the pace.
async fn write_back() -> bool {
    let mut sync = Command::new("sync");
    let done = tokio::time::timeout(PATIENCE, sync.kill_on_drop(true).status()).await;
    matches!(done, Ok(Ok(status)) if status.success())
}
