//! Fills the settings from the sections, one function a table.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::assets::Assets;
use crate::config::settings::{
    Binding, BreakerSettings, CompanySettings, Config, DefaultSettings, Dkim, EmailSettings,
    HttpSettings, IntakeSettings, LogFormat, LogSettings, Places, ProviderSettings, RabbitSettings,
    RetentionSettings, SendSettings, SmsMarketing, SmsSettings, StoreSettings, Topology,
};
use crate::config::{Section, event_type};
use crate::model::address::{Address, Channel};
use crate::model::id::ProviderName;

/// The least room for an event, in bytes.
const LEAST_SIZE: u64 = 1 << 10;

/// Reads all settings; what has a fault is left empty.
pub(super) fn config(root: &Section) -> Config {
    let event_types = assets(root, "catalogue_dir", Assets::embedded_event_types);
    let (catalogue, catalogue_places) = event_type::read_catalogue(&event_types, root.faults());
    let sending = root.section("send").unwrap_or_else(Section::detached);
    let config = Config {
        data_dir: root.required_text("data_dir").unwrap_or_default().into(),
        store: within(root, "store", store),
        http: within(root, "http", http),
        rabbitmq: within(root, "rabbitmq", rabbitmq),
        intake: within(root, "intake", intake),
        send: send(&sending),
        defaults: within(root, "defaults", defaults),
        company: within(root, "company", company),
        email: within(root, "email", email),
        sms: within(root, "sms", sms),
        unsubscribe_secret: within(root, "unsubscribe", unsubscribe_secret),
        retention: within(root, "retention", retention),
        providers: providers(root, &sending),
        routes: within(root, "channels", routes),
        alarms: root.required("alarms", Section::boolean).unwrap_or_default(),
        log: within(root, "log", log),
        catalogue,
        templates: assets(root, "templates_dir", Assets::embedded_templates),
        places: Places {
            root: root.clone(),
            is_whole: true,
            catalogue: catalogue_places,
            faults: root.faults().clone(),
        },
    };
    sending.finish();
    config
}

/// Reads the table `key` to its end.
fn within<T>(root: &Section, key: &str, read: impl FnOnce(&Section) -> T) -> T {
    let section = root.section(key).unwrap_or_else(Section::detached);
    let settings = read(&section);
    section.finish();
    settings
}

fn assets(root: &Section, key: &str, embedded: impl FnOnce() -> Assets) -> Assets {
    let Some(folder) = root.text(key) else { return embedded() };
    let what = match Assets::from_folder(Path::new(&folder)) {
        Ok(assets) if !assets.files.is_empty() => return assets,
        Ok(_) => format!("the folder `{folder}` is empty"),
        Err(error) => format!("the folder `{folder}` cannot be read: {error}"),
    };
    root.fault(
        key,
        what,
        "name a readable folder with files, or remove the key to use what is built in",
    );
    embedded()
}

fn store(section: &Section) -> StoreSettings {
    let url = section.secret("url");
    if url.as_ref().is_some_and(|url| !has_scheme(url, &["postgres", "postgresql"])) {
        let help = "write postgres://user@host/database, or remove it to use SQLite";
        section.fault("url", "`store.url` is no PostgreSQL URL", help);
    }
    StoreSettings { url, connections: count(section, "connections", 1000) }
}

fn http(section: &Section) -> HttpSettings {
    let listen = section.required("listen", |section, key| {
        section.parsed(key, "an address and port such as \"127.0.0.1:8080\"")
    });
    let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let allow_plain_http = section.required("allow_plain_http", Section::boolean).unwrap_or(false);
    if !listen.ip().is_loopback() && !allow_plain_http {
        let help = "listen on 127.0.0.1 behind something that speaks TLS, or set \
                    http.allow_plain_http = true if that is so in this network";
        section.fault("listen", format!("`http.listen` is {listen}, which others can reach"), help);
    }
    HttpSettings {
        listen,
        public_url: section.parsed_by(
            "public_url",
            "a URL such as \"https://loa.example.com\"",
            web_url,
        ),
        max_body: size(section, "max_body"),
        allow_plain_http,
        timeout: section.required("timeout", Section::time_limit).unwrap_or_default(),
    }
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn rabbitmq(section: &Section) -> Option<RabbitSettings> {
    let text = |key| section.required_text(key).unwrap_or_default();
    let url = section.secret("url");
    if url.as_ref().is_some_and(|url| !has_scheme(url, &["amqp", "amqps"])) {
        let help = "write amqp://user:password@host:5672/%2f, or amqps:// for TLS";
        section.fault("url", "`rabbitmq.url` is no AMQP URL", help);
    }
    let topology = [("declare", Topology::Declare), ("check", Topology::Check)];
    let settings = |url| RabbitSettings {
        url,
        exchange: text("exchange"),
        queue: text("queue"),
        dead_letter_exchange: text("dead_letter_exchange"),
        dead_letter_queue: text("dead_letter_queue"),
        status_exchange: text("status_exchange"),
        prefetch: section.required("prefetch", |s, key| s.number(key, 1, 65_535)).unwrap_or(1),
        topology: section
            .required("topology", |section, key| section.choice(key, &topology))
            .unwrap_or(Topology::Check),
        bind: section.sections("bind").iter().filter_map(binding).collect(),
        heartbeat: section.required("heartbeat", Section::duration).unwrap_or_default(),
    };
    // Read even without a URL, so that faults show before someone adds one.
    let settings = settings(url.clone().unwrap_or_default());
    url.map(|_| settings)
}

fn binding(section: &Section) -> Option<Binding> {
    let exchange = section.required_text("exchange");
    let routing_key = section.required_text("routing_key");
    section.finish();
    Some(Binding { exchange: exchange?, routing_key: routing_key? })
}

fn intake(section: &Section) -> IntakeSettings {
    IntakeSettings {
        max_event_size: size(section, "max_event_size"),
        batch: count(section, "batch", 10_000),
        batch_wait: section.required("batch_wait", Section::duration).unwrap_or_default(),
    }
}

fn send(section: &Section) -> SendSettings {
    let (grace, lease) = (
        section.required("grace", Section::duration).unwrap_or_default(),
        section.required("lease", Section::duration).unwrap_or_default(),
    );
    if section.has("lease") && lease.as_secs() < 5 {
        let help = "write at least \"5s\": a lease is renewed at a third of it";
        section.fault("lease", "`send.lease` is too short to be renewed in time", help);
    }
    let only_to = section.required("only_to", Section::list).unwrap_or_default();
    let allow_private = section.required("allow_private_addresses", Section::boolean);
    let allow_private_addresses = allow_private.unwrap_or_default();
    SendSettings { only_to, grace, lease, allow_private_addresses }
}

fn defaults(section: &Section) -> DefaultSettings {
    let zone = section.required("time_zone", |section, key| {
        let expected = "an IANA zone such as \"Asia/Ho_Chi_Minh\"";
        section.parsed_by(key, expected, |text| TimeZone::get(text).ok())
    });
    let region = section.required("region", |section, key| {
        let expected = "two capital letters such as \"VN\"";
        let is_region =
            |text: &str| text.len() == 2 && text.chars().all(|c| c.is_ascii_uppercase());
        section.parsed_by(key, expected, |text| is_region(text).then(|| text.to_owned()))
    });
    let locale = section.required("locale", |section, key| {
        section.parsed::<icu_locale_core::Locale>(key, "a language tag such as \"vi\" or \"en-GB\"")
    });
    DefaultSettings {
        locale: locale.map(|locale| locale.to_string()).unwrap_or_default(),
        region: region.unwrap_or_default(),
        time_zone: zone.unwrap_or(TimeZone::UTC),
    }
}

fn company(section: &Section) -> CompanySettings {
    CompanySettings {
        name: section.text("name"),
        address: section.text("address"),
        phone: section.text("phone"),
    }
}

fn email(section: &Section) -> EmailSettings {
    let address = |section: &Section, key: &str| {
        let expected = "an email address such as \"loa@example.com\"";
        section.parsed_by(key, expected, |text| Address::email(text).ok().map(|a| a.value()))
    };
    EmailSettings {
        from_name: section.required("from_name", Section::text).unwrap_or_default(),
        from: section.required("from", address).unwrap_or_default(),
        reply_to: address(section, "reply_to"),
        message_id_domain: section.text("message_id_domain"),
        dkim: section.choice("dkim", &[("relay", Dkim::Relay)]),
    }
}

fn sms(section: &Section) -> SmsSettings {
    let max_parts = section.required("max_parts", |section, key| section.number(key, 1, 255));
    SmsSettings {
        strip_diacritics: section
            .required("strip_diacritics", Section::boolean)
            .unwrap_or_default(),
        max_parts: max_parts.unwrap_or(1),
        marketing: section.section("marketing").and_then(|section| sms_marketing(&section)),
    }
}

fn sms_marketing(section: &Section) -> Option<SmsMarketing> {
    let label = section.required_text("label");
    let window = section.required("window", Section::window);
    let stop_text = section.required_text("stop_text");
    section.finish();
    Some(SmsMarketing { label: label?, window: window?, stop_text: stop_text? })
}

fn unsubscribe_secret(section: &Section) -> Option<SecretString> {
    let secret = section.secret("secret")?;
    if secret.expose_secret().len() < 32 {
        let help =
            "write 32 random characters or more: who guesses it can withdraw anyone's consent";
        section.fault("secret", "`unsubscribe.secret` is too short", help);
    }
    Some(secret)
}

fn retention(section: &Section) -> RetentionSettings {
    let age = |key| section.required(key, Section::duration).unwrap_or_default();
    let settings = RetentionSettings {
        deliveries: age("deliveries"),
        keys: age("keys"),
        derived_keys: age("derived_keys"),
        rejected: age("rejected"),
        captured: age("captured"),
    };
    if settings.keys < settings.deliveries {
        let help = "keep keys at least as long as deliveries, or a repeat is planned again";
        section.fault("keys", "`retention.keys` is shorter than `retention.deliveries`", help);
    }
    settings
}

fn providers(root: &Section, send: &Section) -> BTreeMap<ProviderName, ProviderSettings> {
    let defaults = ProviderDefaults {
        concurrency: count(send, "concurrency", 1000),
        timeout: send.required("timeout", Section::time_limit).unwrap_or_default(),
        breaker: breaker(&send.section("breaker").unwrap_or_else(Section::detached), None),
    };
    let named = root.named_sections("providers").into_iter();
    named.filter_map(|(name, section)| provider(&name, section, &defaults)).collect()
}

/// What holds for providers that say nothing else.
struct ProviderDefaults {
    concurrency: usize,
    timeout: std::time::Duration,
    breaker: BreakerSettings,
}

fn provider(
    name: &str,
    section: Section,
    defaults: &ProviderDefaults,
) -> Option<(ProviderName, ProviderSettings)> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_plain) {
        let help = "use letters, digits, - and _ only: the name stands in addresses and URLs";
        section.faults().error(
            section.place().clone(),
            format!("`{name}` is no provider name"),
            help,
        );
    }
    let kind = section.required_text("kind");
    let rate = section.rate("rate");
    let name = ProviderName::from(name);
    let breaker = section
        .section("breaker")
        .map_or(defaults.breaker, |section| breaker(&section, Some(defaults.breaker)));
    let settings = ProviderSettings {
        name: name.clone(),
        kind: kind?,
        concurrency: section.number("concurrency", 1, 1000).unwrap_or(defaults.concurrency),
        rate,
        burst: section.number("burst", 1, 1_000_000).unwrap_or_else(|| default_burst(rate)),
        timeout: section.time_limit("timeout").unwrap_or(defaults.timeout),
        breaker,
        section,
    };
    Some((name, settings))
}

/// What a tenth of a second of the rate allows: no second has many more calls than the rate.
fn default_burst(rate: Option<f64>) -> u32 {
    let rate = (rate.unwrap_or(1.0) / 10.0).ceil().clamp(1.0, 1_000_000.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between one and a million"
    )]
    let burst = rate as u32;
    burst
}

/// The breaker of one table, where keys that are absent are taken from `common`.
fn breaker(section: &Section, common: Option<BreakerSettings>) -> BreakerSettings {
    let number = |key: &str, most: i64, common: Option<u32>| match common {
        Some(common) => section.number(key, 1, most).unwrap_or(common),
        None => section.required(key, |section, key| section.number(key, 1, most)).unwrap_or(1),
    };
    let open_for = match common {
        Some(common) => section.duration("open_for").unwrap_or(common.open_for),
        None => section.required("open_for", Section::duration).unwrap_or_default(),
    };
    let settings = BreakerSettings {
        window: number("window", 10_000, common.map(|c| c.window)),
        least_calls: number("least_calls", 10_000, common.map(|c| c.least_calls)),
        failure_percent: number("failure_percent", 100, common.map(|c| c.failure_percent)),
        open_for,
        probes: number("probes", 100, common.map(|c| c.probes)),
    };
    section.finish();
    settings
}

fn routes(section: &Section) -> BTreeMap<Channel, ProviderName> {
    let named = Channel::ALL.into_iter().filter_map(|channel| {
        let provider = section.text(channel.as_str())?;
        Some((channel, ProviderName::from(provider)))
    });
    named.collect()
}

fn log(section: &Section) -> LogSettings {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = section.required("level", |section, key| {
        let expected = "a filter such as \"info\" or \"loa=debug,lapin=warn\"";
        section.parsed_by(key, expected, |text| {
            crate::telemetry::read_filter(text).ok().map(|_| text.to_owned())
        })
    });
    let format = section.required("format", |section, key| section.choice(key, &formats));
    LogSettings {
        level: level.unwrap_or_else(|| "info".to_owned()),
        format: format.unwrap_or(LogFormat::Auto),
    }
}

/// A size that must be there and in which an event has room.
fn size(section: &Section, key: &str) -> u64 {
    let size = section.required(key, Section::size).unwrap_or(LEAST_SIZE);
    if size < LEAST_SIZE {
        let what = format!("`{}.{key}` is too small for any event", section.path());
        section.fault(key, what, "write at least \"1 KiB\"");
    }
    size
}

/// A number from one to `most` that must be there.
fn count(section: &Section, key: &str, most: i64) -> usize {
    section.required(key, |section, key| section.number(key, 1, most)).unwrap_or(1)
}

/// Whether a URL parses and begins with one of `schemes`.
fn has_scheme(url: &SecretString, schemes: &[&str]) -> bool {
    Url::parse(url.expose_secret()).is_ok_and(|url| schemes.contains(&url.scheme()))
}
