//! The settings as checked types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

use crate::config::assets::Assets;
use crate::config::{Faults, Section};
use crate::model::address::Channel;
use crate::model::catalogue::Catalogue;
use crate::model::id::{EventTypeName, ProviderName, StepName};
use crate::model::window::Window;

pub use crate::telemetry::LogFormat;

/// All settings of one Loa.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that Loa writes to.
    pub data_dir: PathBuf,
    /// Where events and deliveries are kept.
    pub store: StoreSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// The broker; none means events come by HTTP and CLI only.
    pub rabbitmq: Option<RabbitSettings>,
    /// How events are taken in.
    pub intake: IntakeSettings,
    /// How deliveries are sent.
    pub send: SendSettings,
    /// What holds for recipients that say nothing else.
    pub defaults: DefaultSettings,
    /// The company in whose name messages go out.
    pub company: CompanySettings,
    /// How emails look from outside.
    pub email: EmailSettings,
    /// How text messages are written.
    pub sms: SmsSettings,
    /// Signs the links by which people unsubscribe; none means such links cannot be made.
    pub unsubscribe_secret: Option<SecretString>,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// The ways out, by name.
    pub providers: BTreeMap<ProviderName, ProviderSettings>,
    /// The provider that a channel uses unless a step names another.
    pub routes: BTreeMap<Channel, ProviderName>,
    /// Whether Loa raises its own alarms as events.
    pub alarms: bool,
    /// Logging.
    pub log: LogSettings,
    /// The event types.
    pub catalogue: Catalogue,
    /// The files that templates are read from.
    pub templates: Assets,
    /// Where things stand, for checks that come later.
    pub places: Places,
}

/// Where things stand that later checks may find fault with, and the list they add to.
#[derive(Clone, Debug)]
pub struct Places {
    /// The whole settings.
    pub root: Section,
    /// Whether every source could be read; else only the built-in defaults stand here.
    pub is_whole: bool,
    /// Where event types and steps stand.
    pub catalogue: CataloguePlaces,
    /// The list that all faults are in.
    pub faults: Faults,
}

/// Where event types and steps stand.
#[derive(Clone, Debug, Default)]
pub struct CataloguePlaces {
    /// The file of each event type.
    pub files: BTreeMap<EventTypeName, Section>,
    /// The table of each step.
    pub steps: BTreeMap<(EventTypeName, StepName), Section>,
}

/// Where events and deliveries are kept.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// A `postgres://` URL; none means SQLite in `loa.db` of the data folder.
    pub url: Option<SecretString>,
    /// How many connections to PostgreSQL are kept at most.
    pub connections: usize,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// How people outside reach this Loa; links in messages begin with it.
    pub public_url: Option<Url>,
    /// The longest request body in bytes.
    pub max_body: u64,
    /// Allows to listen beyond loopback without TLS in front.
    pub allow_plain_http: bool,
    /// How long one request may take.
    pub timeout: Duration,
}

/// The broker and what is declared there.
#[derive(Clone, Debug)]
pub struct RabbitSettings {
    /// An `amqp://` or `amqps://` URL, with its password.
    pub url: SecretString,
    /// The topic exchange that events come through.
    pub exchange: String,
    /// The quorum queue that Loa consumes.
    pub queue: String,
    /// The exchange for what the broker itself drops.
    pub dead_letter_exchange: String,
    /// The queue behind it.
    pub dead_letter_queue: String,
    /// The topic exchange that status events go to.
    pub status_exchange: String,
    /// How many events the broker hands over before the first is acknowledged.
    pub prefetch: u16,
    /// Whether missing exchanges and queues are declared.
    pub topology: Topology,
    /// Bindings of the queue to exchanges that already exist.
    pub bind: Vec<Binding>,
    /// How often both sides prove that they are alive.
    pub heartbeat: Duration,
}

/// What Loa does about exchanges and queues that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Declares them.
    Declare,
    /// Only checks them, and says what is missing.
    Check,
}

/// A binding of the intake queue to an exchange that already exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The routing key or pattern.
    pub routing_key: String,
}

/// How events are taken in.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Events above this many bytes are rejected.
    pub max_event_size: u64,
    /// How many events one transaction takes at most.
    pub batch: usize,
    /// How long a batch waits to fill while a large one is committed.
    pub batch_wait: Duration,
}

/// How deliveries are sent.
#[derive(Clone, Debug)]
pub struct SendSettings {
    /// Address patterns such as `*@us.example`; everything else is captured. Empty allows all.
    pub only_to: Vec<String>,
    /// How long a stop waits for what is in flight.
    pub grace: Duration,
    /// How long a claim lasts unless renewed.
    pub lease: Duration,
    /// Allows providers to reach private and loopback addresses.
    pub allow_private_addresses: bool,
}

/// What holds for recipients that say nothing else.
#[derive(Clone, Debug)]
pub struct DefaultSettings {
    /// BCP 47 language tag.
    pub locale: String,
    /// ISO 3166 region for national phone numbers.
    pub region: String,
    /// The zone for windows and dates.
    pub time_zone: TimeZone,
}

/// The company in whose name messages go out.
#[derive(Clone, Debug)]
pub struct CompanySettings {
    /// Its name; none means the sender's name of emails.
    pub name: Option<String>,
    /// Its postal address, in one line, for the foot of emails.
    pub address: Option<String>,
    /// Its phone number as people write it, for the foot of emails.
    pub phone: Option<String>,
}

/// How emails look from outside.
#[derive(Clone, Debug)]
pub struct EmailSettings {
    /// The sender's name.
    pub from_name: String,
    /// The sender's address.
    pub from: String,
    /// Where answers go; none means to the sender.
    pub reply_to: Option<String>,
    /// The right side of message ids; none means the sender's domain.
    pub message_id_domain: Option<String>,
    /// Who signs for the sender's domain; none is worth a warning.
    pub dkim: Option<Dkim>,
}

/// Who puts the DKIM signature on emails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dkim {
    /// The relay that Loa hands its emails to.
    Relay,
}

/// How text messages are written.
#[derive(Clone, Debug)]
pub struct SmsSettings {
    /// Whether accents are taken off, so that more letters fit in a part.
    pub strip_diacritics: bool,
    /// The most parts of one message.
    pub max_parts: u32,
    /// What the law asks of advertising; none means no marketing by SMS.
    pub marketing: Option<SmsMarketing>,
}

/// What the law asks of advertising by SMS.
#[derive(Clone, Debug)]
pub struct SmsMarketing {
    /// What the text begins with, in Vietnam `[QC]`.
    pub label: String,
    /// When it may be sent.
    pub window: Window,
    /// How to stop it, at the end of the text.
    pub stop_text: String,
}

/// How long things are kept.
#[derive(Clone, Debug)]
pub struct RetentionSettings {
    /// Final deliveries, their events and attempts.
    pub deliveries: Duration,
    /// Keys of events, by which repeats are known.
    pub keys: Duration,
    /// Keys that were derived from the bytes of events without an id.
    pub derived_keys: Duration,
    /// Rejected events.
    pub rejected: Duration,
    /// Messages that the sandbox captured.
    pub captured: Duration,
}

/// One configured way out.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Its name.
    pub name: ProviderName,
    /// Its kind, such as `smtp`.
    pub kind: String,
    /// How many calls run at once.
    pub concurrency: usize,
    /// Calls a second over all processes; none means no limit.
    pub rate: Option<f64>,
    /// How many calls may go at once after a pause, within the rate.
    pub burst: u32,
    /// The deadline of one call.
    pub timeout: Duration,
    /// When calls stop for a while.
    pub breaker: BreakerSettings,
    /// The table, from which the kind reads its own keys before it calls `finish`.
    pub section: Section,
}

/// When calls to a provider stop for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How many of the last calls are looked at.
    pub window: u32,
    /// It stays closed below this many calls.
    pub least_calls: u32,
    /// It opens when this share of them failed, in percent.
    pub failure_percent: u32,
    /// How long it stays open before a probe.
    pub open_for: Duration,
    /// How many probes must succeed to close it.
    pub probes: u32,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A `tracing` filter such as `info` or `loa=debug,lapin=warn`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}
