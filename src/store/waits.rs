//! Says once that a part of the work waits, and why.

use tracing::{debug, warn};

use crate::store::StoreError;

/// What was said last about one part of the work.
#[derive(Default)]
pub struct Waits {
    said: Option<String>,
}

impl Waits {
    /// The work goes on: the next fault is said again.
    pub fn over(&mut self) {
        self.said = None;
    }

    /// Says that `what` waits; the same fault again is not said again. That the store is away, the
    /// store itself tells for all who wait for it.
    pub fn say(&mut self, what: &str, error: &StoreError) {
        let text = error.to_string();
        if self.has_said(&text) {
            return;
        }
        if error.is_outage() {
            debug!(error = %text, "{what}: {text}");
        } else {
            warn!(error = %text, "{what}: {text}");
        }
    }

    /// The same of what waits for RabbitMQ.
    pub fn say_of_broker(&mut self, what: &str, text: &str) {
        if !self.has_said(text) {
            warn!(error = %text, "{what}: {text}");
        }
    }

    /// Whether this was said last; from now on it is.
    fn has_said(&mut self, text: &str) -> bool {
        if self.said.as_deref() == Some(text) {
            return true;
        }
        self.said = Some(text.to_owned());
        false
    }
}

/// Says it of what is tried anew by itself.
pub fn say(what: &str, error: &StoreError) {
    Waits::default().say(what, error);
}
