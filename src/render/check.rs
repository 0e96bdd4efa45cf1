//! Tries every template before anyone is told by it: against its schema, and with its sample.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::letterhead::Letterhead;
use super::presence::{Presence, presence};
use super::{Preview, RenderFault, TemplateFault, Templates, key, part_key};
use crate::model::address::Channel;
use crate::model::catalogue::{Catalogue, EventType};
use crate::model::message::Dialect;
use crate::model::schema;
use crate::text::{Engine, Need, TextFault, Variable};

/// When a sample is rendered; no time makes a variable missing.
const ANY_TIME: Timestamp = Timestamp::UNIX_EPOCH;

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
    /// Checks the templates that `catalogue` uses: that they are there, that they print nothing
    /// that an event may lack, and that each renders its sample in every language and channel.
    ///
    /// What is `known` already, from reading the files, is not told again.
    pub fn check(
        &self,
        catalogue: &Catalogue,
        letterhead: &Letterhead,
        known: &[TemplateFault],
    ) -> Vec<TemplateFault> {
        let mut faults = Vec::new();
        for event_type in catalogue.types.values() {
            for (name, channel) in used_by(event_type) {
                for fault in self.check_one(event_type, (name, channel), letterhead, known) {
                    if !known.contains(&fault) && !faults.contains(&fault) {
                        faults.push(fault);
                    }
                }
            }
        }
        faults
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
        letterhead: &Letterhead,
        known: &[TemplateFault],
    ) -> Vec<TemplateFault> {
        let locale = &self.default_locale;
        let mut faults = Vec::new();
        let path = path_of(name, locale, channel);
        // Without any in the language of the settings, it is the settings that are to be mended.
        let is_known = !self.is_in_other_languages_alone();
        if is_known && !self.has(name, locale, channel) && !self.assets.files.contains_key(&path) {
            let what = format!("is missing; {} tells people by {channel}", event_type.name);
            faults.push(self.fault((path, TextFault::new(what))));
        }
        let samples = self.check_sample(event_type, name);
        let can_be_tried = samples.is_empty() && self.samples.contains_key(name);
        faults.extend(samples);
        for locale in self.locales(name, channel) {
            let mut found = self.check_variables(event_type, &key(name, locale, channel), channel);
            if found.is_empty() && can_be_tried {
                let category = event_type.category;
                let preview = |is_known| Preview {
                    template: name,
                    locale,
                    channel,
                    category,
                    data: None,
                    is_known,
                };
                let mut ways = [true, false].into_iter();
                let tried = ways.find_map(|known| self.try_sample(&preview(known), letterhead));
                // Of a fault that is known, what it leads to says nothing new.
                found.extend(tried.filter(|tried| !known.iter().any(|told| told.is_where(tried))));
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

    /// What keeps a sample from being rendered, if anything does.
    fn try_sample(&self, preview: &Preview<'_>, letterhead: &Letterhead) -> Option<TemplateFault> {
        let rendered = self.preview(preview, letterhead, (Dialect::CommonMark, ANY_TIME));
        let RenderFault { file, fault, .. } = rendered.err()?;
        let message = format!("with its sample: {}", fault.message);
        Some(TemplateFault { file, fault: TextFault { message, ..fault } })
    }
}

/// The templates of an event type's steps, with the channels they are needed on.
pub(super) fn used_by(event_type: &EventType) -> BTreeSet<(&str, Channel)> {
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
