//! Keeps compiled templates from harming the process that renders them.

use std::collections::BTreeSet;
use std::io::{self, Write};

use handlebars::Template;
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};

use super::TextFault;
use super::tags::NO_PARTIAL;

/// What a compiled template may consist of.
pub(super) struct Shape<'a> {
    pub(super) helpers: &'a BTreeSet<String>,
    /// Whether data must never be printed unescaped.
    pub(super) forbids_raw: bool,
}

impl Shape<'_> {
    /// Refuses partials and decorators, since they may call each other in a circle, unknown
    /// helpers, and unescaped output where it is forbidden.
    pub(super) fn check(&self, template: &Template) -> Result<(), TextFault> {
        for (index, element) in template.elements.iter().enumerate() {
            self.element(element).map_err(|message| {
                let place = template.mapping.get(index);
                let (line, column) = (place.map(|place| place.0), place.map(|place| place.1));
                TextFault { line, column, message }
            })?;
            if let TemplateElement::HelperBlock(block) = element {
                let branches = [&block.template, &block.inverse];
                branches.into_iter().flatten().try_for_each(|branch| self.check(branch))?;
            }
        }
        Ok(())
    }

    fn element(&self, element: &TemplateElement) -> Result<(), String> {
        match element {
            TemplateElement::HtmlExpression(_) if self.forbids_raw => {
                Err("data must not be printed unescaped here; write {{…}}".to_owned())
            }
            TemplateElement::Expression(call)
            | TemplateElement::HtmlExpression(call)
            | TemplateElement::HelperBlock(call) => self.call(call),
            TemplateElement::DecoratorExpression(_)
            | TemplateElement::DecoratorBlock(_)
            | TemplateElement::PartialExpression(_)
            | TemplateElement::PartialBlock(_) => Err(NO_PARTIAL.to_owned()),
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => Ok(()),
            _ => Err("this kind of tag is not known".to_owned()),
        }
    }

    fn call(&self, call: &HelperTemplate) -> Result<(), String> {
        let is_call = call.block || !call.params.is_empty() || !call.hash.is_empty();
        if call.block_param.is_some() {
            return Err("`as |name|` is not supported; use `this` and `../`".to_owned());
        }
        if let Some(name) = super::variables::name_of(&call.name).filter(|_| is_call)
            && !self.helpers.contains(&name)
        {
            let known: Vec<_> = self.helpers.iter().map(String::as_str).collect();
            return Err(format!("there is no helper `{name}`; known are {}", known.join(", ")));
        }
        call.params.iter().chain(call.hash.values()).try_for_each(|parameter| match parameter {
            Parameter::Subexpression(inner) => self.element(inner.as_element()),
            _ => Ok(()),
        })
    }
}

/// A writer that refuses to grow beyond its limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_full: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_text(self) -> Result<String, TextFault> {
        String::from_utf8(self.bytes).map_err(|_| TextFault::new("the text is not UTF-8"))
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_full = true;
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
