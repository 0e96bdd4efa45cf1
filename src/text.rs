//! Handlebars engines, one per escaping, bounded in depth and size.
//!
//! An engine holds compiled templates by name. Strict mode is on, so a variable that is missing is
//! a fault; `null` counts as missing. Partials, decorators and deep nesting are refused when a
//! template is added, since two partials that call each other abort a whole process.

mod bounds;
mod escape;

use std::panic::{AssertUnwindSafe, catch_unwind};

use handlebars::{Context, Handlebars, RenderErrorReason, Template, TemplateErrorReason};
use serde_json::Value;

use bounds::{Bounded, check_shape, check_tags};

pub use handlebars::{Helper, HelperDef, RenderContext, RenderError, ScopedJson};

/// How text from data becomes harmless in the place it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// For HTML.
    Html,
    /// For CommonMark: data never becomes markup, a link or a mention.
    CommonMark,
    /// For a JSON string.
    Json,
    /// For plain text: nothing is changed.
    None,
}

/// Compiled templates that share an escaping.
pub struct Engine {
    handlebars: Handlebars<'static>,
}

/// What is wrong with a template, or with what it is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(.line, .column))]
pub struct TextFault {
    /// Line in the template, from 1.
    pub line: Option<usize>,
    /// Column in the template, from 1.
    pub column: Option<usize>,
    /// What is wrong, and with which variable.
    pub message: String,
}

fn place(line: &Option<usize>, column: &Option<usize>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!("line {line} column {column}: "),
        (Some(line), None) => format!("line {line}: "),
        (None, _) => String::new(),
    }
}

impl TextFault {
    fn new(message: impl Into<String>) -> Self {
        Self { line: None, column: None, message: message.into() }
    }
}

impl Engine {
    /// An engine without templates.
    pub fn new(escaping: Escaping) -> Self {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.set_prevent_indent(true);
        match escaping {
            Escaping::Html => handlebars.register_escape_fn(handlebars::html_escape),
            Escaping::CommonMark => handlebars.register_escape_fn(escape::common_mark),
            Escaping::Json => handlebars.register_escape_fn(escape::json),
            Escaping::None => handlebars.register_escape_fn(handlebars::no_escape),
        }
        Self { handlebars }
    }

    /// Gives templates a helper.
    pub fn add_helper(&mut self, name: &str, helper: impl HelperDef + Send + Sync + 'static) {
        self.handlebars.register_helper(name, Box::new(helper));
    }

    /// Compiles a template under a name.
    ///
    /// # Errors
    /// The place of what does not compile or is refused.
    pub fn add(&mut self, name: &str, source: &str) -> Result<(), TextFault> {
        check_tags(source)?;
        let template = Template::compile(source).map_err(|error| TextFault {
            line: error.pos().map(|(line, _)| line),
            column: error.pos().map(|(_, column)| column),
            message: compile_message(error.reason()),
        })?;
        check_shape(&template)?;
        self.handlebars.register_template(name, template);
        Ok(())
    }

    /// Whether there is a template of this name.
    pub fn has(&self, name: &str) -> bool {
        self.handlebars.has_template(name)
    }

    /// Renders a template to at most `max_bytes`.
    ///
    /// # Errors
    /// The place and the variable that is missing, or that the output grew too long.
    pub fn render(
        &self,
        name: &str,
        context: &Context,
        max_bytes: usize,
    ) -> Result<String, TextFault> {
        let mut out = Bounded::new(max_bytes);
        let render = || self.handlebars.render_with_context_to_write(name, context, &mut out);
        // A panic of the library must not take more than this one message with it.
        match catch_unwind(AssertUnwindSafe(render)) {
            Ok(Ok(())) => out.into_text(),
            Ok(Err(_)) if out.is_full() => {
                Err(TextFault::new(format!("the text grew beyond {max_bytes} bytes")))
            }
            Ok(Err(error)) => Err(render_fault(&error)),
            Err(_) => Err(TextFault::new("the template engine broke down on this template")),
        }
    }
}

/// Data as templates see it: `null` is taken out, so that it counts as missing.
///
/// # Errors
/// Never in practice: every JSON value is a context.
pub fn context(mut data: Value) -> Result<Context, TextFault> {
    drop_nulls(&mut data);
    Context::wraps(data).map_err(|error| TextFault::new(error.to_string()))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
fn compile_message(reason: &TemplateErrorReason) -> String {
    match reason {
        TemplateErrorReason::InvalidSyntax(_) => {
            "this is not handlebars; look for a tag that is not closed".to_owned()
        }
        other => other.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
fn render_fault(error: &RenderError) -> TextFault {
    let message = match error.reason() {
        RenderErrorReason::MissingVariable(Some(path)) => format!("`{path}` is missing"),
        RenderErrorReason::MissingVariable(None) => "a variable is missing".to_owned(),
        other => other.to_string(),
    };
    TextFault { line: error.line_no, column: error.column_no, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(escaping: Escaping, source: &str, data: Value) -> Result<String, TextFault> {
        let mut engine = Engine::new(escaping);
        engine.add("t", source)?;
        engine.render("t", &context(data).unwrap(), 1000)
    }

    #[test]
    fn a_missing_variable_is_a_fault_that_names_it_and_its_place() {
        let fault = render(Escaping::None, "Hello\n{{recipient.name}},", json!({"recipient": {}}));

        let fault = fault.unwrap_err();
        assert_eq!(fault.line, Some(2));
        assert!(fault.message.contains("recipient.name"), "{}", fault.message);
    }

    #[test]
    fn null_counts_as_missing() {
        assert!(render(Escaping::None, "{{name}}", json!({"name": null})).is_err());
        let guarded = render(Escaping::None, "{{#if name}}x{{/if}}-", json!({"name": null}));
        assert_eq!(guarded.unwrap(), "-");
    }

    #[test]
    fn data_never_becomes_markup() {
        let data = || json!({"x": "<b>\"&' [a](http://x) @all *y*"});

        let html = render(Escaping::Html, "{{x}}", data()).unwrap();
        let json = render(Escaping::Json, r#"{"x":"{{x}}"}"#, data()).unwrap();

        assert!(!html.contains('<'));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), data());
    }

    #[test]
    fn endless_output_is_cut_off() {
        let many = json!({"a": vec![1; 2000]});

        let fault = render(Escaping::None, "{{#each a}}{{this}}{{/each}}", many).unwrap_err();

        assert!(fault.message.contains("beyond 1000 bytes"));
    }

    #[test]
    fn what_could_abort_the_process_is_refused_when_added() {
        let deep = format!("{}{}", "{{#if a}}".repeat(100), "{{/if}}".repeat(100));
        let inline = "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}";

        for source in [deep.as_str(), inline, "{{> other}}"] {
            assert!(render(Escaping::None, source, json!({"a": 1})).is_err(), "{source}");
        }
    }
}
