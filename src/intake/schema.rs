//! Checks data against the schema of its type; compiled once, asked for reasons only on failure.

use std::collections::HashMap;

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::model::catalogue::Catalogue;
use crate::model::id::EventTypeName;

/// The compiled schemas of a catalogue.
#[derive(Debug)]
pub(super) struct Schemas {
    validators: HashMap<EventTypeName, Validator>,
}

/// How many misfits are told; of the rest only the number.
const TOLD: usize = 5;
/// How many characters of one misfit are told.
const MESSAGE: usize = 300;

/// Where data does not fit.
pub(super) struct Misfit {
    /// JSON pointer into the data, to the first misfit.
    pub(super) pointer: String,
    /// What was expected there, then the further misfits with their own pointers.
    pub(super) message: String,
}

impl Schemas {
    /// Compiles every schema.
    ///
    /// # Errors
    /// The type and fault of a schema that does not compile; `config` refuses such a catalogue.
    pub(super) fn compile(catalogue: &Catalogue) -> Result<Self, String> {
        let compile = |(name, event_type): (&EventTypeName, &_)| {
            let event_type: &crate::model::catalogue::EventType = event_type;
            // A date that is none would be found when the message is rendered, when it is too late.
            let validator = jsonschema::draft202012::options()
                .should_validate_formats(true)
                .build(&event_type.schema)
                .map_err(|error| format!("the schema of {name} does not compile: {error}"))?;
            Ok((name.clone(), validator))
        };
        let validators = catalogue.types.iter().map(compile).collect::<Result<_, String>>()?;
        Ok(Self { validators })
    }

    /// Looks for the misfits of `data`.
    pub(super) fn check(&self, event_type: &EventTypeName, data: &Value) -> Option<Misfit> {
        let validator = self.validators.get(event_type)?;
        if validator.is_valid(data) {
            return None;
        }
        let mut errors = validator.iter_errors(data);
        let first = errors.next()?;
        let mut message = say(&first);
        for next in errors.by_ref().take(TOLD - 1) {
            message = format!("{message}; /data{}: {}", next.instance_path(), say(&next));
        }
        match errors.count() {
            0 => {}
            more => message = format!("{message} (and {more} more)"),
        }
        Some(Misfit { pointer: first.instance_path().to_string(), message })
    }
}

/// What was expected, without the value itself, which may be personal and of any length.
fn say(error: &ValidationError<'_>) -> String {
    error.masked_with("the value").to_string().chars().take(MESSAGE).collect()
}
