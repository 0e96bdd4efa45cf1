//! Reads settings, catalogue and templates anew while Loa runs; a fault keeps the last good ones.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::App;
use crate::config::{self, Config, Faults, Severity, Sources};
use crate::pipeline::Station;
use crate::provider::{self, Provider, Surroundings};

/// What is built once, at the start: another value takes effect with the next start.
const FIXED: [&str; 11] = [
    "alarms",
    "data_dir",
    "http",
    "intake",
    "log",
    "providers",
    "rabbitmq",
    "retention",
    "send",
    "store",
    "unsubscribe",
];

impl App {
    /// Takes over catalogue, templates, senders, defaults and routes as they are now, and what
    /// providers keep in files of its own, such as secrets.
    ///
    /// All of them or, if anything has a fault, none. What a fault of a template held is released.
    pub async fn reload(&self, sources: &Sources) {
        let (mut config, faults) = config::read(sources);
        if !is_sound(&config, &faults, self) {
            return;
        }
        for key in changed(&self.config, &config) {
            warn!("the setting `{key}` has changed; it takes effect when Loa is started again");
        }
        let renewed = self.renewed(&config);
        keep_what_is_fixed(&self.config, &mut config);
        super::check(&config);
        let rulebook = super::rulebook(&config).filter(|_| !faults.has_errors());
        let Some(rulebook) = rulebook else { return tell(&faults) };
        let types = rulebook.catalogue.types.len();
        let templates = rulebook.templates.list().count();
        self.rulebook.store(Arc::new(rulebook));
        info!("read everything anew: {types} event types, {templates} templates");
        for (station, provider) in renewed {
            station.desk.renew(provider);
            let name = station.desk.name();
            info!(provider = %name, "provider {name} has read its files anew");
        }
        self.release_render_held().await;
    }

    /// Those of the running providers whose settings are the same but for what stands in files of
    /// its own, such as secrets, each made anew.
    fn renewed(&self, read: &Config) -> Vec<(Arc<Station>, Arc<dyn Provider>)> {
        let section = |config: &Config| config.places.root.section("providers");
        let (Some(running), Some(now)) = (section(&self.config), section(read)) else {
            return Vec::new();
        };
        let renew = |station: &Arc<Station>| {
            let name = station.desk.name();
            let settings = read.providers.get(name)?;
            let is_same = running.says_the_same(&now, name.as_str());
            let is_due = is_same && settings.section.reads_files();
            let provider = is_due.then(|| provider::build(settings, &self.surroundings))??;
            Some((Arc::clone(station), provider))
        };
        self.pipeline.desks().stations().filter_map(renew).collect()
    }

    /// Releases what a fault of a template held: what is loaded now may be mended.
    pub(super) async fn release_render_held(&self) {
        match self.pipeline.release_render_held().await {
            Ok(0) => {}
            Ok(count) => info!(count, "released {count} deliveries that a template's fault held"),
            Err(error) => warn!(%error, "could not release what a template's fault held: {error}"),
        }
    }
}

/// Whether settings and catalogue could be started with; if not, tells that and what is wrong with
/// the templates.
fn is_sound(config: &Config, faults: &Faults, app: &App) -> bool {
    let surroundings = Surroundings::new(app.clock.clone(), config);
    for settings in config.providers.values() {
        provider::build(settings, &surroundings);
    }
    super::check(config);
    if !faults.has_errors() {
        return true;
    }
    super::rulebook(config);
    tell(faults);
    false
}

/// Logs each fault with its place.
fn tell(faults: &Faults) {
    for fault in faults.sorted().iter().filter(|fault| fault.severity == Severity::Error) {
        error!(error = %fault, "what was read anew has a fault: {fault}");
    }
    error!("everything stays as it was; mend the faults above and send SIGHUP again");
}

/// The settings that differ from those that Loa was started with, of those that are fixed.
fn changed(running: &Config, read: &Config) -> Vec<&'static str> {
    let (running, read) = (&running.places.root, &read.places.root);
    FIXED.into_iter().filter(|key| !running.says_the_same(read, key)).collect()
}

fn keep_what_is_fixed(running: &Config, read: &mut Config) {
    read.http = running.http.clone();
    read.intake = running.intake.clone();
    read.providers = running.providers.clone();
    read.unsubscribe_secret.clone_from(&running.unsubscribe_secret);
}
