//! Turns a delivery into a message in its recipient's language.
//!
//! Rendering is late, so that a mended template repairs what is waiting. A missing variable is a
//! fault that holds the delivery; nothing is ever sent with a hole in it.

mod assembly;
mod chat;
mod check;
mod compose;
mod edit;
mod email;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod helpers;
mod letterhead;
mod load;
mod numbers;
mod origin;
mod presence;
mod preview;
pub mod sms;
mod tag;
mod text_part;
mod version;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::config::assets::Assets;
use crate::model::address::Channel;
use crate::model::delivery::Delivery;
use crate::model::message::{Dialect, Message};
use crate::store::EventFacts;
use crate::text::{Engine, TextFault};

use assembly::PlacedFault;
use compose::Facts;
use origin::Origin;
use version::Version;

pub use edit::Edit;
pub use letterhead::{Company, Letterhead, Unsubscribe};
pub use load::TemplateFault;
pub use preview::Preview;

/// All templates, compiled.
pub struct Templates {
    html: Engine,
    chat: Engine,
    plain: Engine,
    entries: BTreeMap<String, Entry>,
    samples: BTreeMap<String, Sample>,
    default_locale: String,
    /// The files they were read from.
    assets: Assets,
}

/// One template in one language on one channel.
struct Entry {
    version: Version,
    origin: Origin,
}

/// The data that a template is tried with.
struct Sample {
    path: String,
    data: Value,
}

/// A rendered message, and the version of the template that made it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The message.
    pub message: Message,
    /// Names the version; see [`Templates::source`].
    pub template_version: String,
}

/// Why a delivery does not render.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RenderFault {
    /// The template, its language and channel.
    pub template: String,
    /// The file at fault: the template's own, or a layout or partial that it includes.
    pub file: String,
    /// What is wrong, and where in the file.
    pub fault: TextFault,
}

impl fmt::Display for RenderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = TemplateFault { file: self.file.clone(), fault: self.fault.clone() };
        write!(f, "template {}: {place}", self.template)
    }
}

/// The name of a template in the engines.
fn key(name: &str, locale: &str, channel: Channel) -> String {
    format!("{name}/{locale}/{channel}")
}

/// The name of another part of an email in the engine for plain text.
fn part_key(key: &str, part: &str) -> String {
    format!("{key} {part}")
}

impl Templates {
    /// The language in which a template speaks to `locale`: its own, its family's, the default.
    pub fn locale_for(&self, name: &str, channel: Channel, locale: &str) -> Option<String> {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let wanted = [locale, language, self.default_locale.as_str()];
        let found = wanted.into_iter().find(|locale| self.has(name, locale, channel));
        found.map(str::to_owned)
    }

    /// Whether there is a template in exactly this language.
    pub fn has(&self, name: &str, locale: &str, channel: Channel) -> bool {
        self.entries.contains_key(&key(name, locale, channel))
    }

    /// The sample data of a message.
    pub fn sample(&self, name: &str) -> Option<&Value> {
        self.samples.get(name).map(|sample| &sample.data)
    }

    /// Every template as name, language and channel.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.entries.keys().filter_map(|key| {
            let mut parts = key.split('/');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
    }

    /// The source of a version, to be kept for [`Templates::of_version`].
    pub fn source(&self, version: &str) -> Option<&str> {
        let found = self.entries.values().find(|entry| entry.version.id == version);
        found.map(|entry| entry.version.source.as_str())
    }

    /// Renders the message of a delivery.
    ///
    /// # Errors
    /// What is missing and where.
    pub fn render(
        &self,
        delivery: &Delivery,
        event: &EventFacts,
        letterhead: &Letterhead,
        (dialect, now): (Dialect, Timestamp),
    ) -> Result<Rendered, RenderFault> {
        let facts = Facts::of(delivery, event, now);
        self.render_facts(&facts, letterhead, dialect)
    }

    fn render_facts(
        &self,
        facts: &Facts<'_>,
        letterhead: &Letterhead,
        dialect: Dialect,
    ) -> Result<Rendered, RenderFault> {
        let (name, channel) = (facts.template, facts.channel);
        let found = self.locale_for(name, channel, facts.locale);
        let Some((locale, entry)) = found.and_then(|locale| {
            Some((locale.clone(), self.entries.get(&key(name, &locale, channel))?))
        }) else {
            let locale = facts.locale;
            let message = format!("there is none for {channel} in {locale} or the default");
            let template = key(name, locale, channel);
            let file = self.name_of(&check::path_of(name, &self.default_locale, channel));
            return Err(RenderFault { template, file, fault: TextFault::new(message) });
        };
        let key = key(name, &locale, channel);
        let message = self.compose((&key, &locale), facts, letterhead, dialect);
        match message.map_err(|fault| fault.placed(&entry.origin)) {
            Ok(message) => Ok(Rendered { message, template_version: entry.version.id.clone() }),
            Err((path, fault)) => {
                Err(RenderFault { template: key, file: self.name_of(&path), fault })
            }
        }
    }

    /// A file's name as people know it.
    fn name_of(&self, path: &str) -> String {
        self.assets.name_of(path)
    }

    fn fault(&self, (path, fault): PlacedFault) -> TemplateFault {
        TemplateFault { file: self.name_of(&path), fault }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod load_tests;
