//! The row *ways*: the same work unstored, accepted only, and durable, turn by turn.

use super::bed::{Bed, Way, events_for};
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
        report.pace = Some(bed.pace(channel, extent.paced).await?);
        Ok(report)
    }
}
