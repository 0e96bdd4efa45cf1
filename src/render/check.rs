//! Tries every template before anyone is told by it: against its schema, and with its sample.

use std::collections::BTreeSet;
use std::iter;

use jiff::Timestamp;
use serde_json::Value;

use super::letterhead::Letterhead;
use super::presence::{Presence, presence};
use super::{Preview, RenderFault, TemplateFault, Templates, key, part_key};
use crate::model::address::Channel;
use crate::model::catalogue::{Catalogue, Category, EventType};
use crate::model::message::Dialect;
use crate::model::schema;
use crate::text::{Engine, Need, TextFault, Variable};

/// When a sample is rendered; no time makes a variable missing.
const ANY_TIME: Timestamp = Timestamp::UNIX_EPOCH;

/// What templates are tried with.
#[derive(Clone, Copy)]
struct Trial<'a> {
    letterhead: &'a Letterhead,
    /// The faults that reading the files has found.
    known: &'a [TemplateFault],
}

/// The file of a template, below the templates' folder.
pub(super) fn path_of(name: &str, locale: &str, channel: Channel) -> String {
    let file = match channel {
        Channel::Email => "email.mjml",
        Channel::Chat => "chat.md",
        Channel::Sms => "sms.txt",
    };
    format!("messages/{name}/{locale}/{file}")
}

impl Templates {
    /// Checks that the templates that `catalogue` uses are there, and of all there are, used or
    /// not, that they print nothing that an event may lack and that each renders its sample in
    /// every language and channel.
    ///
    /// One of no event type is tried with its sample alone, if it has one: see
    /// [`Templates::only_read`].
    ///
    /// What is `known` already, from reading the files, is not told again.
    pub fn check(
        &self,
        catalogue: &Catalogue,
        letterhead: &Letterhead,
        known: &[TemplateFault],
    ) -> Vec<TemplateFault> {
        let trial = Trial { letterhead, known };
        let of_types = catalogue.types.values().flat_map(|event_type| {
            let templates = self.of_type(event_type).into_iter();
            templates.flat_map(move |template| self.check_one(event_type, template, trial))
        });
        let of_none =
            self.of_no_type(catalogue).into_iter().filter_map(|(name, locale, channel)| {
                let has_sample = self.samples.contains_key(name);
                let place = (name, locale, channel);
                has_sample.then(|| self.try_sample(place, Category::Transactional, trial)).flatten()
            });
        let mut faults = Vec::new();
        for fault in of_types.chain(of_none) {
            if !known.contains(&fault) && !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        faults
    }

    /// How many templates could only be read: no event type uses them, and they have no sample.
    pub fn only_read(&self, catalogue: &Catalogue) -> usize {
        let of_none = self.of_no_type(catalogue).into_iter();
        of_none.filter(|(name, _, _)| !self.samples.contains_key(*name)).count()
    }

    /// The templates of an event type's name and of its steps: on the channels they are needed on,
    /// and on those they are written for all the same.
    pub(super) fn of_type<'a>(&self, event_type: &'a EventType) -> BTreeSet<(&'a str, Channel)> {
        let names = names_of(event_type).flat_map(|name| Channel::ALL.map(|on| (name, on)));
        let written = names.filter(|(name, on)| !self.locales(name, *on).is_empty());
        used_by(event_type).into_iter().chain(written).collect()
    }

    /// The templates that no event type has the name of or uses, in each language.
    fn of_no_type(&self, catalogue: &Catalogue) -> Vec<(&str, &str, Channel)> {
        let known: BTreeSet<_> = catalogue.types.values().flat_map(names_of).collect();
        let others = self.list().filter(|(name, _, _)| !known.contains(name));
        others.filter_map(|(name, locale, on)| Some((name, locale, on.parse().ok()?))).collect()
    }

    /// Whether there are templates, and none of them is written in the default language.
    pub fn is_in_other_languages_alone(&self) -> bool {
        let languages = self.languages();
        !languages.is_empty() && !languages.contains(self.default_locale.as_str())
    }

    /// The languages in which any message is written.
    pub fn languages(&self) -> BTreeSet<&str> {
        let below = self.assets.files.keys().filter_map(|path| path.strip_prefix("messages/"));
        let parts = below.filter_map(|path| path.split_once('/')?.1.split_once('/'));
        parts.map(|(language, _)| language).collect()
    }

    /// The languages in which a template is written for a channel.
    pub fn locales(&self, name: &str, channel: Channel) -> Vec<&str> {
        let wanted = channel.as_str();
        let of_template = self.list().filter(|(known, _, on)| *known == name && *on == wanted);
        of_template.map(|(_, locale, _)| locale).collect()
    }

    fn check_one(
        &self,
        event_type: &EventType,
        (name, channel): (&str, Channel),
        trial: Trial<'_>,
    ) -> Vec<TemplateFault> {
        let locale = &self.default_locale;
        let mut faults = Vec::new();
        let path = path_of(name, locale, channel);
        let is_used = used_by(event_type).contains(&(name, channel));
        // Without any in the language of the settings, it is the settings that are to be mended.
        let is_needed = is_used && !self.is_in_other_languages_alone();
        if is_needed && !self.has(name, locale, channel) && !self.assets.files.contains_key(&path) {
            let what = format!("is missing; {} tells people by {channel}", event_type.name);
            faults.push(self.fault((path, TextFault::new(what))));
        }
        let samples = self.check_sample(event_type, name);
        let can_be_tried = samples.is_empty() && self.samples.contains_key(name);
        faults.extend(samples);
        for locale in self.locales(name, channel) {
            let mut found = self.check_variables(event_type, &key(name, locale, channel), channel);
            if found.is_empty() && can_be_tried {
                found.extend(self.try_sample((name, locale, channel), event_type.category, trial));
            }
            faults.extend(found);
        }
        faults
    }

    /// What a template prints though an event of this type may lack it.
    pub(super) fn check_variables(
        &self,
        event_type: &EventType,
        key: &str,
        channel: Channel,
    ) -> Vec<TemplateFault> {
        let Some(entry) = self.entries.get(key) else { return Vec::new() };
        let origin = &entry.origin;
        let faults = |engine: &Engine, key: &str| -> Vec<TextFault> {
            let variables = engine.variables(key);
            variables.iter().filter_map(|variable| judge(event_type, variable)).collect()
        };
        let body = match channel {
            Channel::Email => faults(&self.html, key),
            Channel::Chat => faults(&self.chat, key),
            Channel::Sms => faults(&self.plain, key),
        };
        let body = body.into_iter().map(|fault| origin.of_body(fault));
        let parts = ["subject", "preheader"].into_iter().flat_map(|part| {
            let found = faults(&self.plain, &part_key(key, part));
            found.into_iter().map(move |fault| origin.of_part(part, fault))
        });
        body.chain(parts).map(|fault| self.fault(fault)).collect()
    }

    /// Whether a template has a sample, and one that its event could bring.
    fn check_sample(&self, event_type: &EventType, name: &str) -> Vec<TemplateFault> {
        if let Some(sample) = self.samples.get(name) {
            let faults = against_schema(&event_type.schema, &sample.data).into_iter();
            let placed = faults.map(|what| (sample.path.clone(), TextFault::new(what)));
            return placed.map(|fault| self.fault(fault)).collect();
        }
        let path = format!("messages/{name}/sample.json");
        if self.assets.files.contains_key(&path) {
            return Vec::new();
        }
        let what = "is missing; put an example of the event's data there";
        vec![self.fault((path, TextFault::new(what)))]
    }

    /// What keeps a sample from being rendered, for somebody known or unknown, if anything does.
    fn try_sample(
        &self,
        (template, locale, channel): (&str, &str, Channel),
        category: Category,
        trial: Trial<'_>,
    ) -> Option<TemplateFault> {
        let moment = (Dialect::CommonMark, ANY_TIME);
        let fault_for = |is_known| {
            let preview = Preview { template, locale, channel, category, data: None, is_known };
            self.preview(&preview, trial.letterhead, moment).err()
        };
        let RenderFault { file, fault, .. } = [true, false].into_iter().find_map(fault_for)?;
        let message = format!("with its sample: {}", fault.message);
        let tried = TemplateFault { file, fault: TextFault { message, ..fault } };
        // Of a fault that is known, what it leads to says nothing new.
        let is_new = !trial.known.iter().any(|told| told.is_where(&tried));
        is_new.then_some(tried)
    }
}

/// The names of the templates that tell of an event type: its own, and those of its steps.
fn names_of(event_type: &EventType) -> impl Iterator<Item = &str> {
    let steps = event_type.steps.iter().map(|step| step.template.as_str());
    iter::once(event_type.name.as_str()).chain(steps)
}

/// The templates of an event type's steps, with the channels they are needed on.
fn used_by(event_type: &EventType) -> BTreeSet<(&str, Channel)> {
    let steps = event_type.steps.iter();
    steps
        .flat_map(|step| step.channels.iter().map(|channel| (step.template.as_str(), *channel)))
        .collect()
}

/// What is wrong with using a variable, if anything is.
fn judge(event_type: &EventType, variable: &Variable) -> Option<TextFault> {
    let name = variable.name();
    let way = |length| Variable {
        path: variable.path.iter().take(length).cloned().collect(),
        ..variable.clone()
    };
    let what = match presence(&event_type.schema, &variable.path, &variable.given) {
        Presence::Always => return None,
        Presence::Maybe(_) if variable.need == Need::Question => return None,
        Presence::Maybe(length) => {
            let may_be_missing = way(length).name();
            let and = if may_be_missing == name { "it" } else { &format!("`{may_be_missing}`") };
            format!(
                "`{name}` is printed, but {and} may be missing from {}: put this into \
                 {{{{#if {may_be_missing}}}}}, or require it in the schema",
                event_type.name
            )
        }
        Presence::Unknown(length) => {
            let unknown = way(length).name();
            format!("`{unknown}` is nothing that {} has; correct the name", event_type.name)
        }
    };
    Some(TextFault::at(variable.line, variable.column, what))
}

/// Where a sample breaks its schema; a schema that does not compile is the catalogue's fault.
fn against_schema(schema: &Value, sample: &Value) -> Vec<String> {
    let Ok(validator) = schema::compile(schema) else { return Vec::new() };
    let faults = validator.iter_errors(sample);
    faults
        .map(|error| {
            let place = error.instance_path().to_string();
            format!("the sample breaks the schema at `{place}`: {error}")
        })
        .collect()
}
