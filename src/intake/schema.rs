//! Checks data against the schema of its type; compiled once, asked for reasons only on failure.

mod faults;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::Value;

use self::faults::faults;
use crate::model::catalogue::Catalogue;
use crate::model::id::EventTypeName;
use crate::model::schema;

/// The compiled schemas of a catalogue.
#[derive(Debug)]
pub(super) struct Schemas {
    validators: HashMap<EventTypeName, Validator>,
}

/// How many misfits are told; of the rest only the number.
const TOLD: usize = 5;

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
            let validator = schema::compile(&event_type.schema)
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
        let mut told = Vec::new();
        while told.len() < TOLD
            && let Some(error) = errors.next()
        {
            told.extend(faults(&error));
        }
        let more = told.len().saturating_sub(TOLD) + errors.count();
        let mut told = told.into_iter().take(TOLD);
        let first = told.next()?;
        let mut message = first.message();
        for next in told {
            message = format!("{message}; /data{}: {}", next.pointer, next.message());
        }
        if more > 0 {
            message = format!("{message} (and {more} more)");
        }
        Some(Misfit { pointer: first.pointer, message })
    }
}
