//! One version of one template: everything that decides what it says, kept so that a message can
//! be shown again exactly as it was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::helpers::Words;
use super::{Entry, Origin, TemplateFault, Templates};
use crate::config::assets::Assets;
use crate::model::address::Channel;
use crate::text::TextFault;

/// What the engines compile, with layout and partials included.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    /// The HTML of an email; else the whole text.
    pub(super) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<EmailParts>,
}

/// What only emails have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EmailParts {
    pub(super) subject: String,
    pub(super) preheader: String,
    /// The text part.
    pub(super) text: String,
}

/// A version as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    template: String,
    locale: String,
    channel: Channel,
    parts: Parts,
    words: BTreeMap<String, String>,
}

/// A version's name, and its source as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) source: String,
}

impl Version {
    pub(super) fn of(
        (template, locale, channel): (&str, &str, Channel),
        parts: &Parts,
        words: Option<&BTreeMap<String, String>>,
    ) -> Self {
        let stored = Stored {
            template: template.to_owned(),
            locale: locale.to_owned(),
            channel,
            parts: parts.clone(),
            words: words.cloned().unwrap_or_default(),
        };
        // Strings and maps of strings always serialise.
        let source = serde_json::to_string(&stored).unwrap_or_default();
        let hash = digest(&SHA256, source.as_bytes());
        let id = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { id, source }
    }
}

impl Templates {
    /// The templates of one stored version alone, to show again what was sent by it.
    ///
    /// # Errors
    /// When the source is not one that [`Templates::source`] gave.
    pub fn of_version(source: &str) -> Result<Self, TemplateFault> {
        let fault = |fault| TemplateFault { file: "stored template version".to_owned(), fault };
        let stored: Stored = serde_json::from_str(source)
            .map_err(|error| fault(TextFault::new(format!("not a template version: {error}"))))?;
        let Stored { template, locale, channel, parts, words } = stored;
        let known = Arc::new(Words::from([(locale.clone(), words.clone())]));
        let nowhere = Assets::from_texts("stored", []);
        let mut templates = Self::empty(&known, &locale, &nowhere);
        let key = super::key(&template, &locale, channel);
        let origin = Origin::of_file("template version");
        templates.add(&key, channel, &parts, &origin).map_err(|(_, text)| fault(text))?;
        let version = Version::of((&template, &locale, channel), &parts, Some(&words));
        templates.entries.insert(key, Entry { version, origin });
        Ok(templates)
    }
}
