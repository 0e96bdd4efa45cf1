//! JSON Schema as Loa checks data by it: draft 2020-12, and formats count.

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::model::address::Address;

/// Compiles `schema`.
///
/// A date that is none would be found when the message is rendered, when it is too late. What an
/// email address is, [`Address`] says, here as everywhere.
///
/// # Errors
/// The fault of a schema that does not compile.
pub fn compile(schema: &Value) -> Result<Validator, ValidationError<'_>> {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .with_format("email", |text: &str| Address::email(text).is_ok())
        .build(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_email_address_is_what_the_directory_takes_as_one() {
        let validator = compile(&json!({ "format": "email" })).unwrap();

        for text in
            ["lan@minhphat.example", "đức@x.example", "lan+erp@x.example", "nope", "@x", "a b@x"]
        {
            assert_eq!(validator.is_valid(&json!(text)), Address::email(text).is_ok(), "{text}");
        }
        assert!(validator.is_valid(&json!("đức@x.example")));
        assert!(!validator.is_valid(&json!("nope")));
    }
}
