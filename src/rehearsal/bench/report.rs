//! The figures of a run, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::bed::Way;
use super::findings::{Findings, as_float, median, percentile, round};
use super::pace::PACE;
use crate::model::address::Channel;

/// What one run of the benchmark found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The store, as people know it.
    pub(super) store: String,
    /// How events came in.
    pub(super) intake: &'static str,
    /// The figures of each channel.
    pub(super) channels: Vec<ChannelReport>,
    /// How many events a second the queue took while it was filled, if there is one.
    pub(super) filled_per_second: Option<f64>,
    /// The most memory that was resident, in bytes, receivers included.
    pub(super) peak_memory: u64,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Messages.
    pub(super) count: u64,
    /// From the first to the last.
    pub(super) took: Duration,
    /// Processor time without the receivers'.
    pub(super) used: Duration,
}

/// All measurements of one channel.
#[derive(Clone, Debug)]
pub(super) struct ChannelReport {
    channel: Channel,
    samples: BTreeMap<Way, Vec<Sample>>,
    pub(super) pace: Option<PaceReport>,
}

/// Latency at a steady pace.
#[derive(Clone, Debug)]
pub(super) struct PaceReport {
    /// From handing in to the receiver, in order of size.
    took: Vec<Duration>,
    /// Processor seconds for 1,000 messages at this pace.
    used: f64,
}

impl Sample {
    /// Messages a second.
    pub(super) fn per_second(&self) -> f64 {
        self.messages() / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Processor seconds for 1,000 messages.
    fn used_per_1000(&self) -> f64 {
        self.used.as_secs_f64() * 1_000.0 / self.messages().max(1.0)
    }

    fn messages(&self) -> f64 {
        as_float(self.count)
    }
}

impl ChannelReport {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, samples: BTreeMap::new(), pace: None }
    }

    pub(super) fn add(&mut self, way: Way, sample: Sample) {
        self.samples.entry(way).or_default().push(sample);
    }

    /// The latest round in a few words.
    pub(super) fn last_round(&self) -> String {
        let last = |way| self.samples.get(&way).and_then(|samples| samples.last());
        let speed = |way| last(way).map_or(0.0, Sample::per_second);
        format!(
            "unstored {:.0}/s, accept {:.0}/s, durable {:.0}/s",
            speed(Way::Unstored),
            speed(Way::Accept),
            speed(Way::Durable)
        )
    }

    /// How fast the durable way is beside the unstored one: the median of the rounds.
    fn ratio(&self) -> f64 {
        let (durable, unstored) = (self.of(Way::Durable), self.of(Way::Unstored));
        let rounds = durable.iter().zip(unstored);
        median(rounds.map(|(durable, unstored)| durable.per_second() / unstored.per_second()))
    }

    fn of(&self, way: Way) -> &[Sample] {
        self.samples.get(&way).map_or(&[], Vec::as_slice)
    }

    fn way(&self, way: Way) -> (f64, f64) {
        let samples = || self.of(way).iter();
        (median(samples().map(Sample::per_second)), median(samples().map(Sample::used_per_1000)))
    }

    fn json(&self) -> Value {
        let way = |way| {
            let (per_second, used) = self.way(way);
            json!({ "per_second": round(per_second, 0), "cpu_seconds_per_1000": round(used, 3) })
        };
        let messages = |way| self.of(way).iter().map(|sample| sample.count).sum::<u64>();
        json!({
            "a": way(Way::Unstored), "b": way(Way::Accept), "c": way(Way::Durable),
            "messages": messages(Way::Durable),
            "paced": self.pace.as_ref().map(PaceReport::json),
        })
    }
}

impl PaceReport {
    pub(super) fn new(mut took: Vec<Duration>, used: f64) -> Self {
        took.sort_unstable();
        Self { took, used }
    }

    /// The time within which `percent` of the messages came, in milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.took, percent)
    }

    fn json(&self) -> Value {
        json!({
            "per_second": PACE, "messages": self.took.len(),
            "p50_ms": round(self.percentile(50), 1), "p90_ms": round(self.percentile(90), 1),
            "p99_ms": round(self.percentile(99), 1), "worst_ms": round(self.percentile(100), 1),
            "cpu_seconds_per_1000": round(self.used, 3),
        })
    }
}

impl Report {
    /// The whole of it.
    pub(super) fn findings(&self) -> Findings {
        Findings {
            titles: Self::TITLES.to_vec(),
            rows: self.rows(),
            lines: self.lines(),
            json: self.json(),
        }
    }

    /// The figures for programs.
    fn json(&self) -> Value {
        let by_channel = |value: &dyn Fn(&ChannelReport) -> Value| -> Value {
            let pairs = self.channels.iter();
            pairs.map(|one| (one.channel.as_str().to_owned(), value(one))).collect()
        };
        json!({
            "store": self.store, "intake": self.intake,
            "ratio": by_channel(&|one| json!(round(one.ratio(), 3))),
            "channels": by_channel(&ChannelReport::json),
            "published_per_second": self.filled_per_second.map(|filled| round(filled, 0)),
            "peak_memory_mib": self.peak_memory >> 20,
        })
    }

    /// The rows of a table for people, below [`Report::TITLES`].
    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for one in &self.channels {
            let names = [
                (Way::Unstored, "a  unstored"),
                (Way::Accept, "b  accept alone"),
                (Way::Durable, "c  durable"),
            ];
            for (way, name) in names {
                let (per_second, used) = one.way(way);
                let ratio = match way {
                    Way::Durable => format!("{:.2}", one.ratio()),
                    Way::Unstored | Way::Accept => String::new(),
                };
                let figures = [format!("{per_second:.0}"), format!("{used:.3}"), ratio];
                rows.push(
                    [vec![one.channel.to_string(), name.to_owned()], figures.to_vec()].concat(),
                );
            }
        }
        rows
    }

    /// What the columns of [`Report::rows`] are.
    const TITLES: [&str; 5] = ["channel", "way", "messages/s", "CPU s per 1,000", "c ÷ a"];

    /// Lines for people below the table.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for one in &self.channels {
            let Some(pace) = &one.pace else { continue };
            lines.push(format!(
                "{}: at {PACE} events a second p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms; CPU {:.2} s \
                 per 1,000",
                one.channel,
                pace.percentile(50),
                pace.percentile(99),
                pace.percentile(100),
                pace.used
            ));
        }
        if let Some(filled) = self.filled_per_second {
            lines.push(format!(
                "the queue took {filled:.0} events a second, each confirmed, before it was emptied"
            ));
        }
        lines.push(format!("peak memory {} MiB, receivers included", self.peak_memory >> 20));
        lines.push(format!("{}; events {}; the ledger closes", self.store, self.intake));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64, seconds: u64) -> Sample {
        Sample { count, took: Duration::from_secs(seconds), used: Duration::from_secs(1) }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds() {
        let mut report = ChannelReport::new(Channel::Chat);
        for (unstored, durable) in [(1, 2), (1, 4), (1, 1)] {
            report.add(Way::Unstored, sample(1_000, unstored));
            report.add(Way::Durable, sample(1_000, durable));
        }
        let report = Report {
            store: "SQLite".to_owned(),
            intake: "handed in",
            channels: vec![report],
            filled_per_second: None,
            peak_memory: 5 << 20,
        };

        let json = report.json();

        assert_eq!(json["ratio"]["chat"], 0.5);
        assert_eq!(json["channels"]["chat"]["c"]["per_second"], 500.0);
        assert_eq!(json["peak_memory_mib"], 5);
    }
}
