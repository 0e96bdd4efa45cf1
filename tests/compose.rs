//! The Dockerfile and docker-compose.yml say what the binary takes.
//!
//! Nothing here needs Docker: both files are read, and compared with each other and with the
//! settings as Loa itself reads them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use loa::config::{Config, Sources};
use secrecy::ExposeSecret;
use url::Url;
use yaml_rust2::{Yaml, YamlLoader};

type Environment = BTreeMap<String, String>;

#[test]
fn the_image_runs_the_binary_of_this_package_without_rights() {
    let last_stage = dockerfile().pop().unwrap();

    let name = env!("CARGO_PKG_NAME");
    assert_eq!(last_stage.words("ENTRYPOINT"), [name]);
    assert_eq!(last_stage.words("CMD"), ["run"]);
    assert!(last_stage.one("COPY").ends_with(&format!("/usr/local/bin/{name}")));
    let user = last_stage.one("USER");
    let (user, group) = user.split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
}

#[test]
fn the_image_is_built_with_the_rust_that_the_package_asks_for() {
    let first_stage = dockerfile().remove(0);

    let image = first_stage.one("FROM");
    let version = image.strip_prefix("rust:").and_then(|tag| tag.split_once('-')).unwrap().0;
    assert!(env!("CARGO_PKG_RUST_VERSION").starts_with(version), "{image}");
    assert!(first_stage.one("RUN").contains("--locked"));
}

#[test]
fn the_image_listens_where_it_says_and_keeps_its_data_in_its_volume() {
    let last_stage = dockerfile().pop().unwrap();

    let config = config(&last_stage.environment());

    assert!(config.http.listen.ip().is_unspecified());
    assert_eq!(config.http.listen.port().to_string(), last_stage.one("EXPOSE"));
    assert_eq!(config.data_dir, Path::new(last_stage.one("VOLUME")));
}

#[test]
fn loa_is_handed_settings_that_it_takes() {
    let config = config(&environment_of_loa());

    let compose = compose();
    let store = Url::parse(config.store.url.as_ref().unwrap().expose_secret()).unwrap();
    let rabbitmq = config.rabbitmq.as_ref().unwrap();
    let rabbitmq = Url::parse(rabbitmq.url.expose_secret()).unwrap();
    let of_postgres = environment(&compose, "postgres");
    let of_rabbitmq = environment(&compose, "rabbitmq");
    assert_eq!(store.host_str(), Some("postgres"));
    assert_eq!(store.username(), of_postgres["POSTGRES_USER"]);
    assert_eq!(store.password(), Some(of_postgres["POSTGRES_PASSWORD"].as_str()));
    assert_eq!(store.path().trim_start_matches('/'), of_postgres["POSTGRES_DB"]);
    assert_eq!(rabbitmq.host_str(), Some("rabbitmq"));
    assert_eq!(rabbitmq.username(), of_rabbitmq["RABBITMQ_DEFAULT_USER"]);
    assert_eq!(rabbitmq.password(), Some(of_rabbitmq["RABBITMQ_DEFAULT_PASS"].as_str()));
}

#[test]
fn each_channel_has_a_provider_and_email_goes_to_the_mail_catcher() {
    let handed = environment_of_loa();

    let config = config(&handed);

    assert_eq!(config.routes.len(), 3, "email, chat and sms: {:?}", config.routes);
    for provider in config.routes.values() {
        assert!(config.providers.contains_key(provider), "no provider {provider:?}");
    }
    let host = &handed["LOA__PROVIDERS__RELAY__HOST"];
    assert!(services(&compose()).contains(host), "there is no service {host}");
}

#[test]
fn a_setting_that_does_not_exist_would_be_found() {
    let mut handed = environment_of_loa();
    handed.insert("LOA__HTTP__LISTENS".to_owned(), "0.0.0.0:8080".to_owned());

    let faults = loa::config::load(&sources(&handed)).unwrap_err();

    assert!(faults.to_string().contains("LOA__HTTP__LISTENS"), "{faults}");
}

#[test]
fn the_published_port_of_loa_is_the_one_it_listens_on() {
    let compose = compose();
    let port = config(&environment_of_loa()).http.listen.port();

    let published = list(&compose["services"]["loa"]["ports"]);

    assert_eq!(published, [format!("127.0.0.1:{port}:{port}")]);
}

#[test]
fn nothing_is_published_beyond_this_machine() {
    let compose = compose();

    for service in services(&compose) {
        for port in list(&compose["services"][service.as_str()]["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{service}: {port}");
        }
    }
}

#[test]
fn every_service_has_a_health_check_and_loa_waits_for_all_of_them() {
    let compose = compose();
    let image = dockerfile().pop().unwrap();
    let mut others = services(&compose);
    assert!(others.remove("loa"));

    for service in &others {
        let check = list(&compose["services"][service.as_str()]["healthcheck"]["test"]);
        assert_eq!(check.first().map(String::as_str), Some("CMD"), "{service}");
        assert!(check.len() > 1, "{service}");
    }
    let (_, check) = image.one("HEALTHCHECK").split_once("CMD ").unwrap();
    assert_eq!(words(check), [env!("CARGO_PKG_NAME"), "health"]);
    let waits = compose["services"]["loa"]["depends_on"].as_hash().unwrap();
    let awaited: BTreeSet<_> = waits.keys().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(awaited, others);
    for (service, how) in waits {
        assert_eq!(how["condition"].as_str(), Some("service_healthy"), "{service:?}");
    }
}

#[test]
fn every_volume_is_declared_and_used() {
    let compose = compose();
    let declared: BTreeSet<_> =
        compose["volumes"].as_hash().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    let mounted: Vec<_> = services(&compose)
        .iter()
        .flat_map(|service| list(&compose["services"][service.as_str()]["volumes"]))
        .collect();

    let used = mounted.iter().map(|volume| volume.split_once(':').unwrap().0).collect();

    assert_eq!(declared, used);
    assert!(mounted.contains(&format!("loa:{}", dockerfile().pop().unwrap().one("VOLUME"))));
}

#[test]
fn a_stop_leaves_loa_its_grace() {
    let grace = config(&environment_of_loa()).send.grace;

    let compose = compose();
    let allowed = compose["services"]["loa"]["stop_grace_period"].as_str().unwrap();

    let seconds: u64 = allowed.strip_suffix('s').unwrap().parse().unwrap();
    assert!(seconds > grace.as_secs(), "{allowed} is less than {grace:?}");
}

/// The instructions of one stage of the Dockerfile, as keyword and the rest.
struct Stage(Vec<(String, String)>);

impl Stage {
    fn one(&self, keyword: &str) -> &str {
        let found: Vec<_> = self.0.iter().filter(|(word, _)| word == keyword).collect();
        assert_eq!(found.len(), 1, "{keyword} should stand once in a stage: {found:?}");
        &found[0].1
    }

    fn words(&self, keyword: &str) -> Vec<String> {
        words(self.one(keyword))
    }

    fn environment(&self) -> Environment {
        let pairs = self.one("ENV").split_whitespace();
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// What an exec form such as `["loa", "run"]` says.
fn words(exec_form: &str) -> Vec<String> {
    serde_json::from_str(exec_form).unwrap()
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn dockerfile() -> Vec<Stage> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut stages = Vec::new();
    for (keyword, rest) in lines.map(|line| line.split_once(' ').unwrap()) {
        if keyword == "FROM" {
            stages.push(Stage(Vec::new()));
        }
        let stage = stages.last_mut().unwrap();
        stage.0.push((keyword.to_owned(), rest.trim().to_owned()));
    }
    assert_eq!(stages.len(), 2, "one stage builds, one runs");
    stages
}

fn compose() -> Yaml {
    YamlLoader::load_from_str(&read("docker-compose.yml")).unwrap().remove(0)
}

fn services(compose: &Yaml) -> BTreeSet<String> {
    let services = compose["services"].as_hash().unwrap();
    services.keys().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn list(yaml: &Yaml) -> Vec<String> {
    let items = yaml.as_vec().into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn environment(compose: &Yaml, service: &str) -> Environment {
    let pairs = compose["services"][service]["environment"].as_hash().unwrap().iter();
    // Docker takes texts only: a bare number or a bare yes would not be what it seems.
    let text = |yaml: &Yaml| yaml.as_str().unwrap_or_else(|| panic!("quote {yaml:?}")).to_owned();
    pairs.map(|(name, value)| (text(name), text(value))).collect()
}

/// What Loa finds in its environment: the image's, then docker-compose.yml's.
fn environment_of_loa() -> Environment {
    let mut handed = dockerfile().pop().unwrap().environment();
    handed.extend(environment(&compose(), "loa"));
    handed
}

fn sources(environment: &Environment) -> Sources {
    let start = Sources::defaults();
    environment.iter().fold(start, |sources, (name, value)| sources.with_variable(name, value))
}

fn config(environment: &Environment) -> Config {
    loa::config::load(&sources(environment)).unwrap_or_else(|faults| panic!("{faults}"))
}
