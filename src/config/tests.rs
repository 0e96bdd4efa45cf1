//! What people write, and what they are told about it.

use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::config::assets::Assets;
use crate::model::address::Channel;

const KINDS: [KindFacts<'static>; 3] = [
    KindFacts { name: "smtp", channels: &[Channel::Email], captures: false },
    KindFacts { name: "slack", channels: &[Channel::Chat], captures: false },
    KindFacts { name: "sandbox", channels: &Channel::ALL, captures: true },
];

/// What the settings `text` get to hear, in a terminal's form.
fn told(text: &str) -> String {
    read(&Sources::defaults().with_text("loa.toml", text)).1.render(false)
}

/// What a catalogue of these files gets to hear.
fn told_of_types(files: &[(&str, &str)]) -> String {
    let faults = Faults::new();
    read_catalogue(&Assets::from_texts("types", files.iter().copied()), &faults);
    faults.render(false)
}

fn lines(faults: &Faults) -> String {
    faults.to_string()
}

#[test]
fn the_built_in_defaults_have_no_fault() {
    let (_, faults) = read(&Sources::defaults());

    assert_eq!(faults.to_string(), "");
}

#[test]
fn no_secret_stands_in_a_dump_of_the_settings() {
    let text = "[store]\nurl = \"postgres://loa:canary@db/loa\"\n\
                [rabbitmq]\nurl = \"amqp://loa:canary@mq/loa\"\n\
                [unsubscribe]\nsecret = \"canary-0123456789abcdef0123456789\"\n\
                [providers.relay]\nkind = \"smtp\"\npassword = \"canary\"\nwrong = 1\n\
                [providers.hook]\nkind = \"slack\"\nurl = \"https://h.slack.com/canary\"\n";
    let sources = Sources::defaults()
        .with_text("loa.toml", text)
        .with_variable("LOA__PROVIDERS__RELAY__USERNAME", "canary")
        .with_override("providers.relay.host", "canary", "--host");

    let (config, faults) = read(&sources);

    let dumped = format!("{sources:?} {config:?} {faults:?}");
    assert!(dumped.contains("REDACTED"), "{dumped}");
    assert!(!dumped.contains("canary"), "{dumped}");
}

#[test]
fn the_built_in_settings_are_complete_when_uncommented() {
    let text = include_str!("../../config/loa.toml");
    let setting = |line: &&str| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let word = bare.split([' ', '=']).next().unwrap_or_default();
        let is_key = bare.contains(" = ")
            && word.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c));
        is_key || bare.starts_with('[')
    };
    // Folders and files that this machine does not have.
    let there = |line: &&str| !line.contains("_dir = \"/etc") && !line.contains("_file = ");
    let bare = |line: &str| line.trim_start_matches("# ").to_owned();
    let all: Vec<_> = text.lines().filter(setting).filter(there).map(bare).collect();
    let uncommented = all.join("\n");

    assert_eq!(told(&uncommented), "");
    assert!(uncommented.contains("\nurl = \"amqp://"));
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_its_place() {
    insta::assert_snapshot!(told(
        r#"
datadir = "data"
http = { listen = "localhost", max_body = "8 mega" }
[sned]
grace = "30s"
[send]
grace = 30
only_to = ["*@us.example", 7]
lease = "1s"
[defaults]
region = "Vietnam"
time_zone = "Asia/Hanoi"
[log]
format = "jsn"
[retention]
keys = "3 days"
[[rabbitmq.bind]]
exchange = "erp"
[providers.relay]
kind = "smtp"
concurrency = 0
rate = "fast"
breaker = { prob = 3 }
"#
    ));
}

#[test]
fn text_that_is_no_toml_is_told_where_it_stops_being_it() {
    insta::assert_snapshot!(told(
        "[http]\nlisten = 127.0.0.1:80\nmax_body = \"1 MiB\nalarms = = true\n"
    ));
}

/// Asserts that no form of the faults of `text` shows a canary, and that there are `least` faults.
fn assert_no_canary(text: &str, least: usize) {
    let (config, faults) = read(&Sources::defaults().with_text("loa.toml", text));
    for provider in config.providers.values() {
        assert!(provider.section.secret("password").is_none());
        provider.section.finish();
    }

    let shown = [faults.render(true), faults.to_string(), serde_json::to_string(&faults).unwrap()];

    assert!(faults.sorted().len() >= least, "{}", shown[1]);
    for text in shown {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn no_fault_shows_a_secret() {
    assert_no_canary(
        r#"
unsubscribe = "canary-1"
[providers.relay]
kind = "smtp"
pasword = "canary-2"
password = ["canary-3"]
[providers.other]
kind = "smtp"
password_file = "canary-4"
[store]
url = "canary-5"
[http]
timeout = { prot = 3, password = "canary-6" }
[rabbitmq]
nested = { deep = "canary-7" }
url = "canary-8"
heartbeat = """
soon"""
"#,
        8,
    );
}

#[test]
fn no_fault_of_a_broken_file_shows_a_secret() {
    assert_no_canary("[store]\nurl = canary-1\n", 1);
    assert_no_canary("[store]\nurl = \"canary-1\n[http]\nlisten = 1", 1);
    assert_no_canary("[http]\nlisten = \"\"\"\n[store]\nurl = \"canary-1\"\n", 1);
    assert_no_canary("a = 1 b = \"canary-1\"\n", 1);
}

#[test]
fn the_environment_overrules_the_file_and_names_itself_in_faults() {
    let sources = Sources::defaults()
        .with_text(
            "loa.toml",
            "[http]\nlisten = \"127.0.0.1:1\"\n[providers.team-chat]\nkind = \"slack\"",
        )
        .with_variable("LOA__HTTP__LISTEN", "127.0.0.1:2")
        .with_variable("LOA__ALARMS", "false")
        .with_variable("LOA__SEND__ONLY_TO", "*@us.example, +84900*")
        .with_variable("LOA__INTAKE__BATCH", "7")
        .with_variable("LOA__RABBITMQ__URL", "amqp://localhost")
        .with_variable("LOA__RABBITMQ__BIND", r#"[{ exchange = "erp", routing_key = "order.#" }]"#)
        .with_variable("LOA__PROVIDERS__TEAM_CHAT__RATE", "1/s")
        .with_variable("LOA__SEND__GRACE", "soon")
        .with_variable("LOA__UNSUBSCRIBE__SECRET", "short")
        .with_variable("LOA__HTPP__LISTEN", "127.0.0.1:3");

    let (config, faults) = read(&sources);

    assert_eq!(config.http.listen.port(), 2);
    assert!(!config.alarms);
    assert_eq!(config.send.only_to, ["*@us.example", "+84900*"]);
    assert_eq!(config.intake.batch, 7);
    assert_eq!(config.rabbitmq.unwrap().bind[0].exchange, "erp");
    assert_eq!(config.providers[&"team-chat".into()].rate, Some(1.0));
    insta::assert_snapshot!(lines(&faults));
}

#[test]
fn a_variable_that_was_left_empty_takes_no_bound_away() {
    for empty in ["", " ", ","] {
        let sources = Sources::defaults()
            .with_text("loa.toml", "[send]\nonly_to = [\"*@us.example\"]")
            .with_variable("LOA__SEND__ONLY_TO", empty);

        assert!(load(&sources).is_err(), "`{empty}`");
    }
    let meant = Sources::defaults().with_variable("LOA__SEND__ONLY_TO", "[]");
    assert_eq!(load(&meant).unwrap().send.only_to, [""; 0]);
}

#[test]
fn a_limit_that_leaves_no_time_or_room_is_a_fault() {
    for (table, key) in [
        ("http", "timeout = \"0s\""),
        ("http", "max_body = \"0\""),
        ("send", "timeout = \"0s\""),
        ("intake", "max_event_size = \"0\""),
        ("providers.x", "kind = \"slack\"\ntimeout = \"0s\""),
    ] {
        let (_, faults) = read(&Sources::defaults().with_text("t", &format!("[{table}]\n{key}")));

        assert!(faults.has_errors(), "{table}: {key}");
    }
}

#[test]
fn a_value_may_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, "amqp://loa:secret@rabbit\n").unwrap();
    let in_file = Sources::defaults()
        .with_text("loa.toml", &format!("[rabbitmq]\nurl_file = \"{}\"", path.display()));
    let in_variable = Sources::defaults()
        .with_text("loa.toml", "[rabbitmq]\nurl = \"amqp://elsewhere\"")
        .with_variable("LOA__RABBITMQ__URL_FILE", path.as_os_str());

    for sources in [in_file, in_variable] {
        let config = load(&sources).unwrap();
        assert_eq!(config.rabbitmq.unwrap().url.expose_secret(), "amqp://loa:secret@rabbit");
    }
}

#[test]
fn an_override_comes_last_and_faults_name_who_said_it() {
    let sources = Sources::defaults()
        .with_variable("LOA__HTTP__LISTEN", "127.0.0.1:2")
        .with_override("http.listen", "nowhere", "--listen");

    let (_, faults) = read(&sources);

    insta::assert_snapshot!(lines(&faults), @r#"--listen: `http.listen` is `nowhere`; write an address and port such as "127.0.0.1:8080""#);
}

#[test]
fn listening_where_others_reach_it_needs_a_word() {
    let open = Sources::defaults().with_text("loa.toml", "[http]\nlisten = \"0.0.0.0:80\"");
    let allowed = open.clone().with_variable("LOA__HTTP__ALLOW_PLAIN_HTTP", "true");

    assert!(load(&open).is_err());
    assert!(load(&allowed).is_ok());
}

#[test]
fn providers_take_what_they_do_not_say_from_send() {
    let text = "[send]\nconcurrency = 3\n[providers.relay]\nkind = \"smtp\"\nbreaker.probes = 9\nhost = \"h\"";
    let config = load(&Sources::defaults().with_text("loa.toml", text)).unwrap();

    let relay = &config.providers[&"relay".into()];
    assert_eq!(relay.concurrency, 3);
    assert_eq!(relay.timeout, Duration::from_secs(30));
    assert_eq!((relay.breaker.probes, relay.breaker.least_calls), (9, 10));
    assert_eq!(relay.section.required_text("host").as_deref(), Some("h"));
    relay.section.finish();
    assert!(config.places.faults.is_empty());
}

#[test]
fn a_missing_settings_file_is_one_clear_fault() {
    let (_, faults) = read(&Sources::defaults().with_file("/nowhere/loa.toml"));

    insta::assert_snapshot!(lines(&faults), @"/nowhere/loa.toml: the settings file cannot be read: No such file or directory (os error 2); name a readable file by --config or LOA_CONFIG");
}

#[test]
fn an_empty_catalogue_is_a_fault_and_not_a_loa_that_knows_no_event() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    let sources = Sources::defaults().with_override("catalogue_dir", &path, "the test");

    let (_, faults) = read(&sources);

    let text = lines(&faults);
    assert!(text.contains(&format!("the folder `{path}` is empty")), "{text}");
}

const GOOD: &str = r#"
description = "An order comes later than promised."
category = "transactional"
expiry = "2 days"
business_key = "/order_id"
[[steps]]
name = "tell"
to = ["partner:buyer", "segment:/audience"]
channels = ["email", "sms"]
[schema]
type = "object"
required = ["order_id"]
[schema.properties]
order_id = { type = "string" }
audience = { type = "string" }
"#;

#[test]
fn an_event_type_is_read_with_its_defaults() {
    let faults = Faults::new();

    let (catalogue, _) =
        read_catalogue(&Assets::from_texts("types", [("order.late.toml", GOOD)]), &faults);

    assert_eq!(faults.to_string(), "");
    insta::assert_debug_snapshot!(catalogue.find("order.late").unwrap());
}

#[test]
fn every_fault_of_an_event_type_is_told_at_once_with_its_place() {
    let broken = r#"
name = "Order Late"
descripton = "Slip."
category = "transactionel"
lane = "fast"
expiry = "soon"
business_key = "order_id"
partner = "/partner"
id_from = ["/order_id", "no"]
effect = "company"
[retry]
first = "1h"
cap = "10min"
max_attempts = 0
[mapping]
id = "/docNo"
[[steps]]
name = "tell"
to = ["everyone", "teams:operators", "segment:/who"]
channels = ["emial", "sms", "sms"]
strategy = "fallback"
window = "Mon-Sat 18:00-08:00"
at = "2 days around /promised_at"
after = "4h"
unless = ["order.shiped"]
provider = "x"
[steps.providers]
chat = "team-chat"
[[steps]]
name = "tell"
to = []
channels = ["email"]
fallback_after = "10min"
[schema]
type = "objekt"
required = "order_id"
[schema.properties]
order_id = { type = "string", pattern = "[" }
partner_id = { minLength = -1 }
"#;

    insta::assert_snapshot!(told_of_types(&[
        ("broken.toml", broken),
        ("order.shipped.toml", GOOD),
        ("twin.toml", &format!("name = \"order.shipped\"\n{GOOD}")),
        ("not toml.toml", "= 3"),
        ("no name.toml", GOOD),
        ("README.md", "not a type"),
    ]));
}

#[test]
fn a_schema_that_does_not_compile_is_told_at_its_place() {
    let pattern = GOOD.replace(r#"{ type = "string" }"#, r#"{ type = "string", pattern = "[" }"#);
    let reference = GOOD.replace(r#"{ type = "string" }"#, r##"{ "$ref" = "#/$defs/nothing" }"##);

    insta::assert_snapshot!(told_of_types(&[("a.toml", &pattern), ("b.toml", &reference)]));
}

#[test]
fn what_does_not_fit_between_types_is_told() {
    let unless = GOOD.replace("channels =", "unless = [\"b\", \"c\", \"d\"]\nchannels =");
    let mapped = format!("{GOOD}\n[mapping]\nrouting_key = \"erp.late\"");
    let keyless = GOOD.replace("business_key = \"/order_id\"\n", "");

    insta::assert_snapshot!(told_of_types(&[
        ("a.toml", &unless),
        ("b.toml", &format!("{mapped}\n")),
        ("c.toml", &keyless),
        ("e.toml", &mapped),
    ]));
}

#[test]
fn checks_name_what_no_single_value_shows() {
    let folder = tempfile::tempdir().unwrap();
    let marketing = GOOD.replace("transactional", "marketing");
    let named = format!(
        "{GOOD}\n[[steps]]\nname = \"chat\"\nto = [\"manager\"]\nchannels = [\"chat\"]\nproviders.chat = \"team-cha\""
    );
    std::fs::write(folder.path().join("offer.toml"), marketing).unwrap();
    std::fs::write(folder.path().join("order.late.toml"), named).unwrap();
    let text = r#"
[email]
from = "loa@us.example"
[channels]
email = "realy"
chat = "relay"
[providers.relay]
kind = "smtp"
[providers.gateway]
kind = "smss"
"#;
    let sources = Sources::defaults().with_text("loa.toml", text).with_override(
        "catalogue_dir",
        &folder.path().display().to_string(),
        "--catalogue",
    );

    let (config, faults) = read(&sources);
    check_config(&config, &KINDS);

    let told = lines(&faults).replace(&folder.path().display().to_string(), "types");
    insta::assert_snapshot!(told);
}

#[test]
fn a_sandbox_for_all_channels_passes_the_checks() {
    let text = r#"
[http]
public_url = "http://localhost:8080"
[unsubscribe]
secret = "0123456789abcdef0123456789abcdef"
[sms.marketing]
label = "[QC]"
window = "07:00-22:00"
stop_text = "Tu choi: TC gui 1234"
[channels]
email = "sandbox"
chat = "sandbox"
sms = "sandbox"
[providers.sandbox]
kind = "sandbox"
"#;
    let (config, faults) = read(&Sources::defaults().with_text("loa.toml", text));

    check_config(&config, &KINDS);

    assert_eq!(faults.to_string(), "");
}

proptest! {
    // Each case reads the whole built-in catalogue too.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_breaks_the_reading(text in "(\\PC|\n|\\[|=|\"|'|\\{|,|#){0,200}") {
        let (_, faults) = read(&Sources::defaults().with_text("loa.toml", &text));
        faults.render(true);
        faults.to_string();
        told_of_types(&[("any.toml", &text)]);
    }

    #[test]
    fn no_value_breaks_the_reading(
        key in prop::sample::select(vec!["expiry", "to", "business_key", "channels", "at", "schema", "window", "name"]),
        value in "(\\PC){0,20}|-?[0-9]{1,25}|\\[.{0,6}\\]|\\{.{0,6}\\}|\"\\PC{0,12}\"",
    ) {
        let in_step = format!("{GOOD}\n[[steps]]\n{key} = {value}\n");
        told_of_types(&[("any.toml", &in_step), ("other.toml", &format!("{key} = {value}\n{GOOD}"))]);
    }

    #[test]
    fn no_variable_breaks_the_reading(name in "[A-Z_]{0,30}", value in "\\PC{0,20}") {
        let sources = Sources::defaults().with_variable(&format!("LOA__{name}"), &value);
        read(&sources).1.render(false);
    }
}
