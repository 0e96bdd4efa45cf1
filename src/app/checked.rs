//! Everything that can be checked without a store, with every fault at once; made into parts where
//! it is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::template_place;
use crate::clock::Clock;
use crate::config::{Config, Faults, KindFacts, Place, check_config};
use crate::intake::Decoder;
use crate::model::address::Channel;
use crate::model::catalogue::Catalogue;
use crate::model::id::ProviderName;
use crate::pipeline::Rulebook;
use crate::plan::{Routes, Rules};
use crate::provider::{self, KINDS, Surroundings};
use crate::render::{Company, Letterhead, TemplateFault, Templates, Unsubscribe};
use crate::send::Desk;
use crate::send::only_to::OnlyTo;

/// Settings, catalogue and templates without a fault that stops the start, and what is made of
/// them.
pub struct Checked {
    /// The settings.
    pub config: Arc<Config>,
    pub(super) surroundings: Surroundings,
    pub(super) desks: Vec<Arc<Desk>>,
    pub(super) rulebook: Rulebook,
}

impl Checked {
    /// Checks everything, whatever is wrong with `config` already.
    ///
    /// # Errors
    /// All faults.
    pub fn of(config: Config, clock: &Clock) -> Result<Self, Faults> {
        let surroundings = Surroundings::new(clock.clone(), &config);
        let desks = match config.places.faults.has_errors() {
            // What could not be read is empty there, and nothing to make a desk of.
            true => find_provider_faults(&config, &surroundings),
            false => desks(&config, &surroundings),
        };
        check(&config);
        let rulebook = rulebook(&config).filter(|_| !config.places.faults.has_errors());
        let Some(rulebook) = rulebook else { return Err(config.places.faults.clone()) };
        Ok(Self { config: Arc::new(config), surroundings, desks, rulebook })
    }
}

/// Notes what is wrong with the settings of each provider; makes no desk.
fn find_provider_faults(config: &Config, surroundings: &Surroundings) -> Vec<Arc<Desk>> {
    for settings in config.providers.values() {
        provider::build(settings, surroundings);
    }
    Vec::new()
}

/// Makes a desk for each provider; what is wrong with one goes to the config's faults.
pub fn desks(config: &Config, surroundings: &Surroundings) -> Vec<Arc<Desk>> {
    let only_to = OnlyTo::new(&config.send.only_to);
    let desk = |settings: &crate::config::ProviderSettings| {
        let provider = provider::build(settings, surroundings)?;
        let kind = provider::find_kind(&settings.kind)?;
        let clock = surroundings.clock.clone();
        let way = (provider, kind.dialect);
        Some(Arc::new(Desk::new(settings.clone(), way, only_to.clone(), clock)))
    };
    config.providers.values().filter_map(desk).collect()
}

/// Everything that can be checked without a store; faults go to the config's list.
pub fn check(config: &Config) {
    let kinds: Vec<KindFacts<'_>> = KINDS
        .iter()
        .map(|kind| KindFacts {
            name: kind.name,
            channels: kind.channels,
            captures: kind.name == "sandbox",
        })
        .collect();
    check_config(config, &kinds);
}

/// What the steps decide by; faults of templates and schemas go to the config's list.
pub fn rulebook(config: &Config) -> Option<Rulebook> {
    let faults = &config.places.faults;
    let catalogue = Arc::new(config.catalogue.clone());
    let note = |found: Vec<TemplateFault>| {
        for fault in found {
            let place = template_place::of_fault(config, &fault);
            faults.error(place, fault.fault.message, "mend the template");
        }
    };
    let (templates, found) = Templates::read(&config.templates, &config.defaults.locale);
    let letterhead = letterhead(config);
    // What cannot be read is told once, and the rest is tried all the same.
    let tried = templates.check(&catalogue, &letterhead, &found);
    let is_read = found.is_empty();
    note(found);
    note(tried);
    check_language(config, &templates);
    // After the templates, so that the faults of both are told at once.
    let decoder = decoder(config, &catalogue)?;
    let rules = Rules {
        routes: routes(config),
        locale: config.defaults.locale.clone(),
        time_zone: config.defaults.time_zone.clone(),
        region: config.defaults.region.clone(),
    };
    is_read.then(|| Rulebook::new(catalogue, decoder, rules, (templates, letterhead)))
}

/// One fault of the settings instead of one for each template, where none is in their language.
fn check_language(config: &Config, templates: &Templates) {
    let locale = &config.defaults.locale;
    // One that is no language was told where it stands.
    if locale.is_empty() || !templates.is_in_other_languages_alone() {
        return;
    }
    let Some(section) = config.places.root.section("defaults") else { return };
    let what =
        format!("`defaults.locale` is `{locale}`, and no message is written in that language");
    let languages: Vec<_> = templates.languages().into_iter().collect();
    let help = format!(
        "write one of {}, or add the templates of every message in it",
        languages.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ")
    );
    section.fault("locale", what, help);
}

/// What reads arrivals; none if a schema does not compile, which was told where it stands.
fn decoder(config: &Config, catalogue: &Arc<Catalogue>) -> Option<Decoder> {
    let faults = &config.places.faults;
    let decoder = Decoder::new(Arc::clone(catalogue), config.intake.max_event_size);
    let tell = |what: String| {
        if !faults.has_errors() {
            let place = Place::Named("catalogue".to_owned());
            faults.error(place, what, "mend the schema of this event type");
        }
    };
    decoder.map_err(tell).ok()
}

fn letterhead(config: &Config) -> Letterhead {
    let company = config.company.clone();
    let links = config.http.public_url.clone().zip(config.unsubscribe_secret.clone());
    Letterhead {
        company: Company {
            name: company.name.unwrap_or_else(|| config.email.from_name.clone()),
            address: company.address,
            phone: company.phone,
        },
        email: config.email.clone(),
        sms: config.sms.clone(),
        unsubscribe: links.map(|(public_url, secret)| Unsubscribe { public_url, secret }),
    }
}

/// The routes of `config`; a channel that only one provider serves goes that way.
fn routes(config: &Config) -> Routes {
    let serves = |settings: &crate::config::ProviderSettings| -> BTreeSet<Channel> {
        provider::find_kind(&settings.kind)
            .map(|kind| kind.channels.iter().copied().collect())
            .unwrap_or_default()
    };
    let providers: BTreeMap<ProviderName, BTreeSet<Channel>> =
        config.providers.iter().map(|(name, settings)| (name.clone(), serves(settings))).collect();
    let mut defaults = config.routes.clone();
    for channel in Channel::ALL {
        let mut serving = providers.iter().filter(|(_, channels)| channels.contains(&channel));
        if let (Some((only, _)), None) = (serving.next(), serving.next()) {
            defaults.entry(channel).or_insert_with(|| only.clone());
        }
    }
    Routes { providers, defaults }
}
