//! The row *smtp*: the provider alone, nothing decoded, planned, rendered or stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::findings::{Figures, Findings, as_float, median};
use super::settings::Stage;
use super::sink::Sinks;
use super::unstored::plan_one;
use super::{Bench, BenchError, usage, work};
use crate::app;
use crate::clock::Clock;
use crate::lifecycle::Tasks;
use crate::model::address::{Address, Channel};
use crate::model::message::{Envelope, Message};
use crate::model::outcome::Verdict;
use crate::pipeline::Rulebook;
use crate::provider::Surroundings;
use crate::send::Desk;
use crate::store::EventFacts;

/// Connections to the relay.
const CONNECTIONS: usize = 16;
/// Mails of a round for each second that it should take.
const MAILS_PER_SECOND: u64 = 6_000;

impl Bench {
    pub(super) async fn smtp(&self, mut tell: impl FnMut(&str)) -> Result<Findings, BenchError> {
        let clock = Clock::system();
        let sinks = Sinks::start(&clock)?;
        let stage = Stage { calls: Some((1, CONNECTIONS)), ..Stage::default() };
        let config = self.config(&sinks, &stage)?;
        let surroundings = Surroundings::new(clock.clone(), &config);
        let desks = app::desks(&config, &surroundings);
        let desk = desks.into_iter().find(|desk| desk.name().as_str() == "email");
        let broken = || BenchError::Broken(config.places.faults.to_string());
        let desk = desk.ok_or_else(broken)?;
        let rulebook = app::rulebook(&config).ok_or_else(broken)?;
        let order = envelope(&rulebook, &desk, &clock)?;
        let short = Envelope { message: shortened(&order.message), ..order.clone() };

        let mut figures = Figures::default();
        figures.count(("connections", "connections"), CONNECTIONS as u64);
        let mails = [("mail of an order", "order", order), ("short mail", "short", short)];
        for (what, key, envelope) in mails {
            let (speed, used) = self.rounds((&desk, &envelope), &sinks, &mut tell).await?;
            tell(&format!("{what}: {speed:.0}/s"));
            let keys = [format!("{key}_per_second"), format!("{key}_cpu_seconds_per_1000")];
            let [per_second, cpu] = keys.each_ref().map(String::as_str);
            figures.add((&format!("{what}, mails/s"), per_second), speed, 0);
            figures.add((&format!("{what}, CPU s per 1,000"), cpu), used, 4);
        }
        figures.count(("peak memory, MiB", "peak_memory_mib"), usage::peak_memory() >> 20);
        Ok(figures.findings("the SMTP provider alone; receivers on loopback"))
    }

    /// Mails a second, and processor seconds for 1,000: the medians of the rounds.
    async fn rounds(
        &self,
        (desk, envelope): (&Arc<Desk>, &Envelope),
        sinks: &Sinks,
        tell: &mut impl FnMut(&str),
    ) -> Result<(f64, f64), BenchError> {
        let clock = Clock::system();
        let (mut speeds, mut used) = (Vec::new(), Vec::new());
        mails(desk, envelope, sinks, self.extent.warm_up).await?;
        let count = (MAILS_PER_SECOND * self.extent.round.as_secs()).max(self.extent.warm_up);
        for round in 1..=self.extent.rounds {
            let own = || usage::process_time().saturating_sub(sinks.time());
            let (began, before) = (clock.monotonic(), own());
            mails(desk, envelope, sinks, count).await?;
            let (ended, after) = (clock.monotonic(), own());
            let speed = as_float(count) / ended.saturating_sub(began).as_secs_f64();
            tell(&format!("round {round}: {speed:.0}/s"));
            speeds.push(speed);
            let cpu = after.saturating_sub(before);
            used.push(cpu.as_secs_f64() * 1_000.0 / as_float(count));
        }
        Ok((median(speeds), median(used)))
    }
}

/// The mail of an order that is on its way, as the renderer makes it.
fn envelope(rulebook: &Rulebook, desk: &Desk, clock: &Clock) -> Result<Envelope, BenchError> {
    let event = work::event("bench.email", Channel::Email, 0, None);
    let (event, planned) = plan_one(rulebook, &work::arrival(event, clock.now()), clock.now())?;
    let facts = EventFacts::of(&event);
    let Some(delivery) = planned.into_iter().next().map(|planned| planned.delivery) else {
        return Err(BenchError::Broken("no delivery was planned".to_owned()));
    };
    let rendered = rulebook
        .render(&delivery, &facts, desk.dialect(), clock.now())
        .map_err(|fault| BenchError::Broken(fault.to_string()))?;
    Ok(Envelope {
        delivery: delivery.id,
        attempt: 1,
        event_type: delivery.event_type,
        at: clock.now(),
        business_key: delivery.business_key,
        to: Address::Email { email: "bench-0@sink.example".to_owned() },
        to_name: delivery.recipient.name,
        data: facts.data,
        message: rendered.message,
    })
}

/// Sends `count` mails, as many at once as there are connections.
async fn mails(
    desk: &Arc<Desk>,
    envelope: &Envelope,
    sinks: &Sinks,
    count: u64,
) -> Result<(), BenchError> {
    let target = sinks.tally.count() + count;
    let (left, refused) = (Arc::new(AtomicU64::new(count)), Arc::new(AtomicU64::new(0)));
    let tasks = Tasks::new();
    for _ in 0..CONNECTIONS {
        let (desk, envelope) = (Arc::clone(desk), envelope.clone());
        let (left, refused) = (Arc::clone(&left), Arc::clone(&refused));
        tasks.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            let Some(mut slot) = desk.wait_for_slot().await else { return };
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                let outcome = desk.send(&envelope, &mut slot).await;
                if !matches!(outcome.verdict, Verdict::Accepted { .. }) {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    tasks.stop(super::bed::PATIENCE).await;
    match refused.load(Ordering::SeqCst) {
        0 => {
            sinks.tally.reach(target).await;
            Ok(())
        }
        count => Err(BenchError::Broken(format!("{count} mails were not taken"))),
    }
}

/// The same mail with a few words for a text.
fn shortened(message: &Message) -> Message {
    let mut message = message.clone();
    if let Message::Email(email) = &mut message {
        let words = "Đơn hàng của Quý công ty đang trên đường giao.";
        (email.text, email.html) = (words.to_owned(), format!("<p>{words}</p>"));
    }
    message
}
