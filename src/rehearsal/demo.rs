//! The demo: the whole product with a believable company, on a clock that is moved by hand.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::post::{Courier, Post, PostError};
use super::{StoreInUse, company, story};
use crate::app::{App, StartError};
use crate::broker::{Playground, Refused};
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::lifecycle::Tasks;
use crate::model::delivery::{Delivery, State};
use crate::model::id::DeliveryId;
use crate::store::{DeliveryFilter, StoreError};
use story::{Act, Expected};

/// What the demo is asked to do.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Where it keeps its store; a folder of its own if none.
    pub data_dir: PathBuf,
    /// Where the API and the console listen.
    pub listen: String,
    /// A PostgreSQL database instead of SQLite.
    pub store_url: Option<String>,
    /// A virtual host of RabbitMQ that the events go through.
    pub amqp_url: Option<String>,
    /// Says nothing; the caller prints the report.
    pub is_quiet: bool,
}

/// What became of the story.
#[derive(Clone, Debug)]
pub struct Report {
    /// The ledger, rejected events and deliveries as JSON.
    pub json: Value,
    /// What did not come about as expected; empty if all did.
    pub failures: Vec<String>,
}

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The app does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is not empty.
    #[error("{0}")]
    NotEmpty(StoreInUse),
    /// The virtual host is not the demo's own, or cannot be used.
    #[error(transparent)]
    Broker(#[from] Refused),
    /// An event did not reach Loa.
    #[error(transparent)]
    Post(#[from] PostError),
    /// Nobody reads what it prints.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// The running app of the demo, and how its events reach it.
pub struct Staged {
    /// The app.
    pub app: App,
    post: Post,
}

impl Staged {
    /// Stops the app, and leaves nothing on a virtual host.
    ///
    /// # Errors
    /// When the broker does not let us clear up.
    pub async fn end(self) -> Result<(), DemoError> {
        let Self { app, post } = self;
        app.stop().await;
        match post {
            Post::ByHand => Ok(()),
            Post::RabbitMq(courier) => Ok(courier.clear().await?),
        }
    }
}

/// When the story begins: a Monday morning in Vietnam.
const BEGINS: &str = "2026-11-23T02:00:00Z";

impl Demo {
    /// Starts the app of the demo, with the company in its store.
    ///
    /// # Errors
    /// When the app does not start, or store or virtual host are not the demo's own.
    pub async fn start(&self) -> Result<Staged, DemoError> {
        let start: Timestamp = BEGINS.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let clock = Clock::manual(start);
        let config = config::load(&self.sources()).map_err(StartError::Faults)?;
        if let Some(store) = super::find_store_in_use(&config).await? {
            return Err(DemoError::NotEmpty(store));
        }
        let broker = config.rabbitmq.clone();
        let playground = match &broker {
            Some(settings) => Some(Playground::claim(settings).await?),
            None => None,
        };
        let app = App::start(config, clock, Tasks::new()).await?;
        company::settle_in(&app.store, start).await?;
        let post = match broker.zip(playground) {
            Some((settings, playground)) => {
                Post::RabbitMq(Box::new(Courier::for_app(&app, &settings, playground).await?))
            }
            None => Post::ByHand,
        };
        Ok(Staged { app, post })
    }

    /// Settings that send everything to the sandbox.
    fn sources(&self) -> Sources {
        let text = "[channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
                    [providers.sandbox]\nkind = \"sandbox\"\nconcurrency = 16\n\
                    [sms.marketing]\nlabel = \"[QC]\"\nwindow = \"07:00-22:00\"\n\
                    stop_text = \"Tu choi: soan TC gui 1234\"\n\
                    [company]\naddress = \"12 Nguyễn Huệ, Quận 1, TP. Hồ Chí Minh\"\n\
                    phone = \"028 3822 1234\"\n\
                    [email]\nfrom_name = \"Cà phê Sao Mai\"\nfrom = \"tin@saomai.example\"\n\
                    dkim = \"relay\"\n";
        let mut sources = Sources::defaults()
            .with_text("demo.toml", text)
            .with_override("data_dir", &self.data_dir.display().to_string(), "--data-dir")
            .with_override("http.listen", &self.listen, "--listen")
            .with_override("http.public_url", &format!("http://{}", self.listen), "--listen")
            .with_override("unsubscribe.secret", &secret(), "the demo");
        if let Some(url) = &self.store_url {
            sources = sources.with_override("store.url", url, "--store");
        }
        if let Some(url) = &self.amqp_url {
            sources = sources.with_override("rabbitmq.url", url, "--amqp");
        }
        sources
    }

    /// Plays the story to its end.
    ///
    /// # Errors
    /// When store or broker fail, or nobody reads what is printed.
    pub async fn play(
        &self,
        staged: &mut Staged,
        out: &mut impl Write,
    ) -> Result<Report, DemoError> {
        let Staged { app, post } = staged;
        let start = app.clock.now();
        let mut stage = Stage { app, post, seen: HashMap::new(), is_quiet: self.is_quiet };
        stage
            .say(out, "The clock stands still and is moved by hand: hours pass within seconds.")?;
        if self.amqp_url.is_some() {
            stage
                .say(out, "Events go through RabbitMQ, and Loa tells there what became of them.")?;
        }
        for act in story::acts(start) {
            stage.act(out, act).await?;
        }
        stage.wait_until(out, start + story::HORIZON).await?;
        let report = stage.report().await?;
        stage.say(out, &format!("\n{}", ledger_lines(&report.json)))?;
        for failure in &report.failures {
            stage.say(out, &format!("  ✗ {failure}"))?;
        }
        Ok(report)
    }
}

/// Says where the console is, and three lines to paste.
///
/// # Errors
/// When nobody reads what is printed.
pub fn farewell(
    out: &mut impl Write,
    data_dir: &std::path::Path,
    address: std::net::SocketAddr,
    login: &str,
) -> std::io::Result<()> {
    let folder = data_dir.display();
    let program = std::env::current_exe()?;
    let loa = program.display();
    writeln!(out, "\nThe console: {login}")?;
    writeln!(
        out,
        "             (works once; another: {loa} users link local --data-dir {folder})"
    )?;
    writeln!(out, "The API:     http://{address}/v1   (token in {folder}/server.json)\n")?;
    writeln!(out, "Publish one, break one, ask why:\n")?;
    let data = r#"{"order_id":"DH-2001","partner_id":"minh-phat","promised_at":"2026-12-04","new_promised_at":"2026-12-08"}"#;
    writeln!(out, "  echo '{data}' | {loa} publish order.delayed --data - --data-dir {folder}")?;
    writeln!(
        out,
        "  echo '{{\"order_id\":7}}' | {loa} publish order.delayed --data - --data-dir {folder}"
    )?;
    writeln!(out, "  {loa} deliveries list --business-key DH-2001 --data-dir {folder}\n")?;
    writeln!(out, "Ctrl-C ends it.")
}

/// A secret for links that only this demo understands.
fn secret() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(40).collect()
}

struct Stage<'a> {
    app: &'a App,
    post: &'a mut Post,
    seen: HashMap<DeliveryId, u32>,
    is_quiet: bool,
}

impl Stage<'_> {
    fn say(&self, out: &mut impl Write, line: &str) -> std::io::Result<()> {
        if self.is_quiet { Ok(()) } else { writeln!(out, "{line}") }
    }

    async fn act(&mut self, out: &mut impl Write, act: Act) -> Result<(), DemoError> {
        let now = self.app.clock.now();
        if let Some(outage) = act.outage {
            self.app.surroundings.outages.begin("sandbox".into(), now + outage);
        }
        self.say(out, &format!("\n{} {}", clock_face(now), act.says))?;
        for line in self.post.hand_in(self.app, act.bytes, now).await? {
            self.say(out, &line)?;
        }
        if act.outage.is_none() {
            self.app.pipeline.run_until_idle().await?;
        }
        self.tell_changes(out).await?;
        // A second between acts, so that lists show their order.
        self.app.clock.advance(Duration::from_secs(1));
        Ok(())
    }

    /// Moves the clock from one due moment to the next, up to `end`.
    async fn wait_until(&mut self, out: &mut impl Write, end: Timestamp) -> Result<(), DemoError> {
        loop {
            let next = self.app.pipeline.run_until_idle().await?;
            self.tell_changes(out).await?;
            let Some(next) = next.filter(|next| *next <= end) else { return Ok(()) };
            let leap = next.duration_since(self.app.clock.now());
            if leap >= SignedDuration::from_mins(1) {
                let line = format!("\n{} … {} later", clock_face(next), words(leap));
                self.say(out, &line)?;
            }
            self.app.clock.advance_to(next);
        }
    }

    /// One line for each delivery that changed since the last look.
    async fn tell_changes(&mut self, out: &mut impl Write) -> Result<(), DemoError> {
        let mut deliveries =
            self.app.store.deliveries(DeliveryFilter::default(), None, 1000).await?;
        deliveries.reverse();
        for delivery in deliveries {
            if self.seen.insert(delivery.id, delivery.version) != Some(delivery.version) {
                self.say(out, &delivery_line(&delivery))?;
            }
        }
        Ok(())
    }

    async fn report(&self) -> Result<Report, DemoError> {
        let store = &self.app.store;
        let ledger = store.ledger().await?;
        let rejected = store.rejected_events(None, 1000).await?;
        let deliveries = store.deliveries(DeliveryFilter::default(), None, 1000).await?;
        let mut failures = Vec::new();
        for discrepancy in store.audit().await? {
            failures.push(format!("the audit finds {discrepancy:?}"));
        }
        if !ledger.closes {
            failures.push("the ledger does not close".to_owned());
        }
        for expected in story::expected() {
            let (what, wanted, found) = match expected {
                Expected::Deliveries(kind, state, reason, wanted) => {
                    let fits = |delivery: &&Delivery| {
                        delivery.event_type.as_str() == kind
                            && delivery.state == state
                            && delivery.reason == reason
                    };
                    let found = deliveries.iter().filter(fits).count() as u64;
                    (format!("{kind} {} ({})", state.as_str(), reason.as_str()), wanted, found)
                }
                Expected::Rejected(reason, wanted) => {
                    let found = rejected.iter().filter(|r| r.rejection.reason == reason).count();
                    (format!("rejected as {}", reason.as_str()), wanted as u64, found as u64)
                }
                Expected::Repeats(wanted) => {
                    let found = ledger.events.repeats.unsigned_abs();
                    ("repeats".to_owned(), wanted.unsigned_abs(), found)
                }
            };
            if found < wanted {
                failures.push(format!("{what}: {found}, expected at least {wanted}"));
            }
        }
        let mut figures = json!({ "planned": ledger.deliveries.planned, "closes": ledger.closes });
        for (state, count) in &ledger.deliveries.states {
            figures[*state] = json!(count);
        }
        let listed: Vec<Value> = deliveries.iter().map(delivery_json).collect();
        let json = json!({
            "ledger": figures, "rejected": rejected.len(), "deliveries": listed,
            "events": ledger.events, "failures": failures,
        });
        Ok(Report { json, failures })
    }
}

fn delivery_json(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "type": delivery.event_type, "step": delivery.step,
        "recipient": delivery.recipient_key, "channel": delivery.channel,
        "state": delivery.state, "reason": delivery.reason, "attempts": delivery.attempts,
        "business_key": delivery.business_key,
    })
}

fn delivery_line(delivery: &Delivery) -> String {
    let sign = match delivery.state {
        State::Sent | State::Delivered => "✉",
        State::Waiting => "…",
        State::Held => "‖",
        State::Failed | State::Bounced => "✗",
        State::Skipped | State::Expired | State::Cancelled => "–",
    };
    let who = delivery.recipient.name.as_deref().unwrap_or(&delivery.recipient_key);
    let (channel, state) = (delivery.channel.as_str(), delivery.state.as_str());
    let detail = delivery.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let tries = match delivery.attempts {
        0 | 1 => String::new(),
        tries => format!(", {tries} tries"),
    };
    let when = if delivery.state == State::Waiting {
        format!(" until {}", clock_face(delivery.due_at))
    } else {
        String::new()
    };
    let reason = delivery.reason.as_str();
    format!("    {sign} {channel:<5} {who:<18} {state}{when} ({reason}{tries}){detail}")
}

fn ledger_lines(report: &Value) -> String {
    let ledger = &report["ledger"];
    let figures: Vec<String> = State::ALL
        .iter()
        .map(|state| format!("{} {}", ledger[state.as_str()], state.as_str()))
        .collect();
    let events = &report["events"];
    let verdict = if ledger["closes"] == json!(true) { "closes" } else { "DOES NOT CLOSE" };
    format!(
        "events      {} received = {} planned + {} planning + {} rejected + {} repeats\n\
         deliveries  {} planned = {}\nThe ledger {verdict}.",
        events["received"],
        events["planned"],
        events["planning"],
        events["rejected"],
        events["repeats"],
        ledger["planned"],
        figures.join(" + "),
    )
}

/// The time in Vietnam, where the story takes place.
fn clock_face(moment: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::get("Asia/Ho_Chi_Minh").unwrap_or(jiff::tz::TimeZone::UTC);
    moment.to_zoned(zone).strftime("%a %H:%M").to_string()
}

fn words(duration: SignedDuration) -> String {
    let minutes = duration.as_mins();
    match minutes {
        0..60 => format!("{minutes} min"),
        _ if minutes % 60 == 0 => format!("{} h", minutes / 60),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}
