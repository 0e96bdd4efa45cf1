//! The message of a delivery, for people who want to read it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Pipeline;
use crate::model::message::Dialect;
use crate::render::{RenderFault, Rendered, Templates};
use crate::store::{DeliveryStory, StoreError};

/// The message of a delivery, as far as it can be told.
#[derive(Clone, Debug)]
pub enum Reread {
    /// What a sandbox captured at its last try.
    Captured(Value),
    /// What was handed to the provider, rendered again by the very template that made it.
    Sent(Value),
    /// What would go out as things stand now.
    Preview(Value),
    /// It does not render.
    Faulty(RenderFault),
}

impl Pipeline {
    /// The message of a delivery: captured, as it was sent, or as it would be sent now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn reread(&self, story: &DeliveryStory) -> Result<Reread, StoreError> {
        if let Some((_, message)) = story.captured.last() {
            return Ok(Reread::Captured(message.clone()));
        }
        let mut versions =
            story.attempts.iter().rev().filter_map(|attempt| {
                Some((attempt.template_version.clone()?, attempt.started_at))
            });
        if let Some((version, at)) = versions.next()
            && let Some(source) = self.store.find_template_version(version).await?
            && let Ok(templates) = Templates::of_version(&source)
        {
            return Ok(self.read_by(&templates, story, at, Reread::Sent));
        }
        let rulebook = self.acceptor.rulebook();
        Ok(self.read_by(&rulebook.templates, story, self.clock.now(), Reread::Preview))
    }

    fn read_by(
        &self,
        templates: &Templates,
        story: &DeliveryStory,
        at: Timestamp,
        found: fn(Value) -> Reread,
    ) -> Reread {
        let delivery = &story.delivery;
        let station = delivery.provider.as_ref().and_then(|name| self.desks.find(name));
        let dialect = station.map_or(Dialect::Plain, |station| station.desk.dialect());
        let rulebook = self.acceptor.rulebook();
        let message = templates.render(delivery, &story.event, &rulebook.letterhead, (dialect, at));
        match message {
            // A message always serialises.
            Ok(Rendered { message, .. }) => {
                found(serde_json::to_value(message).unwrap_or_else(|_| json!({})))
            }
            Err(fault) => Reread::Faulty(fault),
        }
    }
}
