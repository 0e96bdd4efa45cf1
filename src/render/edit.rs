//! A template as somebody would like to have it, tried before it is saved.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::path_of;
use super::{TemplateFault, Templates, key};
use crate::config::assets::Assets;
use crate::model::address::Channel;
use crate::model::catalogue::Catalogue;

/// One template in one language on one channel, with the text that it shall have.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The template's name.
    pub template: &'a str,
    /// The language.
    pub locale: &'a str,
    /// The channel.
    pub channel: Channel,
    /// The whole text of its file.
    pub text: &'a str,
}

impl Templates {
    /// The edited template by itself, with the layouts, partials and words of the others, checked
    /// against the event types that it tells of.
    ///
    /// # Errors
    /// Everything that is wrong with it, by line and column.
    pub fn edited(
        &self,
        edit: &Edit<'_>,
        catalogue: &Catalogue,
    ) -> Result<Self, Vec<TemplateFault>> {
        let Edit { template, locale, channel, text } = *edit;
        let sample = format!("messages/{template}/sample.json");
        let is_kept = |path: &str| !path.starts_with("messages/") || path == sample;
        let kept = self.assets.files.iter().filter(|(path, _)| is_kept(path));
        let mut files: BTreeMap<_, _> =
            kept.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        files.insert(path_of(template, locale, channel), text.as_bytes().to_vec());
        let assets = Assets { files: Arc::new(files), ..self.assets.clone() };
        let edited = Self::load(&assets, &self.default_locale)?;
        let mut faults = Vec::new();
        for event_type in catalogue.types.values() {
            if edited.of_type(event_type).contains(&(template, channel)) {
                let key = key(template, locale, channel);
                faults.extend(edited.check_variables(event_type, &key, channel));
            }
        }
        if faults.is_empty() { Ok(edited) } else { Err(faults) }
    }
}
