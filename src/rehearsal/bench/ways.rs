//! The row *ways*: the same work unstored, accepted only, and durable, turn by turn.

use super::bed::{Bed, Way};
use super::findings::Findings;
use super::report::{ChannelReport, Sample};
use super::settings::Stage;
use super::sink::Sinks;
use super::{Bench, BenchError, Extent, refuse_store_in_use};
use crate::app::App;
use crate::broker::Playground;
use crate::clock::Clock;
use crate::lifecycle::Tasks;
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

    /// The app on an empty store, and an empty virtual host if events come by a broker.
    pub(super) async fn open(
        &self,
        sinks: &Sinks,
        stage: &Stage,
    ) -> Result<(App, Option<Playground>), BenchError> {
        let config = self.config(sinks, stage)?;
        refuse_store_in_use(&config).await?;
        let playground = match &config.rabbitmq {
            Some(settings) => Some(Playground::claim(settings).await?),
            None => None,
        };
        // One clock for both, or latencies would be off by what lies between two beginnings.
        let app = App::build(config, sinks.tally.clock(), Tasks::new()).await?;
        Ok((app, playground))
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

/// As many events as take about a round at the pace of `sample`.
pub(super) fn events_for(sample: &Sample, extent: Extent) -> u64 {
    let events = sample.per_second() * extent.round.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded between 0 and 500,000 just before"
    )]
    let events = events.clamp(0.0, 500_000.0) as u64;
    events.max(extent.warm_up)
}
