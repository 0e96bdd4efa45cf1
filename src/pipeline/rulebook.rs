//! What the steps decide by: catalogue, schemas, routes and templates, replaced as one on reload.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::intake::Decoder;
use crate::model::catalogue::{Catalogue, Category, EventType};
use crate::model::delivery::Delivery;
use crate::model::event::Event;
use crate::model::message::Dialect;
use crate::plan::Rules;
use crate::render::{Letterhead, RenderFault, Rendered, Templates};
use crate::store::EventFacts;

/// Everything that may be reloaded while Loa runs.
pub struct Rulebook {
    /// The event types.
    pub catalogue: Arc<Catalogue>,
    /// Reads arrivals by the catalogue.
    pub decoder: Decoder,
    /// Routes, and what holds where nobody says otherwise.
    pub rules: Rules,
    /// The templates.
    pub templates: Templates,
    /// What every message says of us.
    pub letterhead: Letterhead,
    kept_versions: Mutex<HashSet<String>>,
}

impl Rulebook {
    /// A rulebook of which no template version is kept yet.
    pub fn new(
        catalogue: Arc<Catalogue>,
        decoder: Decoder,
        rules: Rules,
        (templates, letterhead): (Templates, Letterhead),
    ) -> Self {
        let kept_versions = Mutex::default();
        Self { catalogue, decoder, rules, templates, letterhead, kept_versions }
    }

    /// The catalogue's entry for an event.
    pub fn event_type(&self, event: &Event) -> Option<&EventType> {
        self.catalogue.types.get(&event.event_type)
    }

    /// The category of the events that a template tells of: the type of its own name decides, else
    /// the first that uses it.
    pub fn category_of(&self, template: &str) -> Category {
        let types = self.catalogue.types.values();
        let uses = |known: &&EventType| known.steps.iter().any(|step| step.template == template);
        let own = types.clone().find(|known| known.name.as_str() == template);
        let found = own.or_else(|| types.clone().find(uses));
        found.map_or(Category::Transactional, |known| known.category)
    }

    /// Renders a delivery's message.
    ///
    /// # Errors
    /// What is missing, and where in which template.
    pub fn render(
        &self,
        delivery: &Delivery,
        event: &EventFacts,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<Rendered, RenderFault> {
        self.templates.render(delivery, event, &self.letterhead, (dialect, now))
    }

    /// Whether a template version is not known to be in the store yet.
    pub(super) fn is_new_version(&self, version: &str) -> bool {
        !self.kept_versions.lock().unwrap_or_else(PoisonError::into_inner).contains(version)
    }

    /// Remembers that a template version is in the store.
    pub(super) fn remember_version(&self, version: &str) {
        let mut kept = self.kept_versions.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(version.to_owned());
    }
}
