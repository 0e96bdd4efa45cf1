//! Handlebars engines, one per escaping, bounded in depth, size and rounds of loops.
//!
//! An engine holds compiled templates by name. Strict mode is on, so a variable that is missing is
//! a fault; `null` counts as missing. Partials, decorators, unknown helpers and deep nesting are
//! refused when a template is added, since two partials that call each other abort a whole
//! process. What strict mode lets through (`{{#if missing}}`) shows in [`Engine::variables`].

#![expect(clippy::wildcard_enum_match_arm, reason = "most enums here are another crate's")]

mod bounds;
mod escape;
mod rounds;
mod tags;
mod variables;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use handlebars::{Context, Handlebars, RenderErrorReason, Template, TemplateErrorReason};
use serde_json::Value;

use bounds::{Bounded, Shape};
use tags::check_tags;

pub use handlebars::{Helper, HelperDef, RenderContext, RenderError, ScopedJson};
pub use variables::{Need, Step, Variable};

/// The helpers that every engine has.
const BUILT_IN: [&str; 15] = [
    "if", "unless", "each", "with", "lookup", "raw", "eq", "ne", "gt", "gte", "lt", "lte", "and",
    "or", "not",
];

/// How text from data becomes harmless in the place it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// For HTML: text and quoted attributes. Nothing may be printed unescaped.
    Html,
    /// For CommonMark: data never becomes markup, a link or a mention. Nothing may be printed
    /// unescaped.
    CommonMark,
    /// For a JSON string.
    Json,
    /// For one part of a URL's path or query.
    Url,
    /// For plain text: nothing is changed.
    None,
}

impl Escaping {
    fn function(self) -> fn(&str) -> String {
        match self {
            Self::Html => handlebars::html_escape,
            Self::CommonMark => escape::common_mark,
            Self::Json => escape::json,
            Self::Url => escape::url,
            Self::None => handlebars::no_escape,
        }
    }

    /// Writes `text` so that it is harmless in this place.
    pub fn escape(self, text: &str) -> String {
        self.function()(text)
    }

    /// Whether `{{{x}}}` would let data become markup.
    fn forbids_raw(self) -> bool {
        matches!(self, Self::Html | Self::CommonMark)
    }
}

/// Compiled templates that share an escaping.
pub struct Engine {
    handlebars: Handlebars<'static>,
    escaping: Escaping,
    /// The helpers that templates may call.
    helpers: BTreeSet<String>,
    /// Those whose block sees one entry of the object they are given.
    entry_blocks: BTreeSet<String>,
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
    /// A fault of a template as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { line: None, column: None, message: message.into() }
    }

    /// A fault at a line and a column, both from 1.
    pub fn at(line: usize, column: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), column: Some(column), message: message.into() }
    }
}

impl Engine {
    /// An engine without templates.
    pub fn new(escaping: Escaping) -> Self {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.set_prevent_indent(true);
        handlebars.register_escape_fn(escaping.function());
        handlebars.unregister_helper("log");
        handlebars.register_helper("each", Box::new(rounds::Each));
        let helpers = BUILT_IN.into_iter().map(str::to_owned).collect();
        Self { handlebars, escaping, helpers, entry_blocks: BTreeSet::new() }
    }

    /// Gives templates a helper; they must be added after it.
    pub fn add_helper(&mut self, name: &str, helper: impl HelperDef + Send + Sync + 'static) {
        self.handlebars.register_helper(name, Box::new(helper));
        self.helpers.insert(name.to_owned());
    }

    /// Gives templates a block helper whose block sees one entry of the object it is given.
    pub fn add_entry_block(&mut self, name: &str, helper: impl HelperDef + Send + Sync + 'static) {
        self.add_helper(name, helper);
        self.entry_blocks.insert(name.to_owned());
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
        Shape { helpers: &self.helpers, forbids_raw: self.escaping.forbids_raw() }
            .check(&template)?;
        self.handlebars.register_template(name, template);
        Ok(())
    }

    /// Takes over the templates of an engine with the same helpers.
    pub fn take_in(&mut self, other: &Self) {
        for (name, template) in other.handlebars.get_templates() {
            self.handlebars.register_template(name, template.clone());
        }
    }

    /// Whether there is a template of this name.
    pub fn has(&self, name: &str) -> bool {
        self.handlebars.has_template(name)
    }

    /// Every variable that a template asks for, in reading order.
    pub fn variables(&self, name: &str) -> Vec<Variable> {
        let template = self.handlebars.get_template(name);
        template.map_or_else(Vec::new, |template| {
            variables::of(template, &self.helpers, &self.entry_blocks)
        })
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
        rounds::begin();
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

/// Data as templates see it: `null` is taken out, so that it counts as missing, and control
/// characters too, so that none reaches a header or a gateway.
pub fn context(mut data: Value) -> Context {
    clean(&mut data);
    Context::from(data)
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(clean);
        }
        Value::Array(values) => {
            values.retain(|value| !value.is_null());
            values.iter_mut().for_each(clean);
        }
        Value::String(text) if text.contains(char::is_control) => *text = without_controls(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The text with every line break written `\n`, and without control characters but tabs.
fn without_controls(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

fn compile_message(reason: &TemplateErrorReason) -> String {
    match reason {
        TemplateErrorReason::InvalidSyntax(_) => {
            "this is not handlebars; look for a tag that is not closed".to_owned()
        }
        other => other.to_string(),
    }
}

fn render_fault(error: &RenderError) -> TextFault {
    let message = match error.reason() {
        RenderErrorReason::MissingVariable(Some(path)) => format!("`{path}` is missing"),
        RenderErrorReason::MissingVariable(None) => "a variable is missing".to_owned(),
        other => other.to_string(),
    };
    TextFault { line: error.line_no, column: error.column_no, message }
}

#[cfg(test)]
mod tests;
