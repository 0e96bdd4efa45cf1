//! Keeps templates from harming the process that renders them.

use std::io::{self, Write};

use handlebars::Template;
use handlebars::template::TemplateElement;

use super::TextFault;

/// The deepest nesting of blocks.
const MAX_DEPTH: usize = 32;

/// Refuses deep nesting before anything is compiled, since compiling it may already abort.
pub(super) fn check_tags(source: &str) -> Result<(), TextFault> {
    let mut depth = 0_usize;
    for (index, line) in source.lines().enumerate() {
        for tag in line.split("{{").skip(1) {
            match tag.trim_start_matches(['~', '{']).chars().next() {
                Some('#' | '^') => depth += 1,
                Some('/') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                let message = format!("blocks are nested deeper than {MAX_DEPTH} levels");
                return Err(TextFault { line: Some(index + 1), column: None, message });
            }
        }
    }
    Ok(())
}

/// Refuses partials and decorators: they may call each other in a circle.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
pub(super) fn check_shape(template: &Template) -> Result<(), TextFault> {
    for (index, element) in template.elements.iter().enumerate() {
        match element {
            TemplateElement::HelperBlock(block) => {
                let branches = [&block.template, &block.inverse];
                branches.into_iter().flatten().try_for_each(check_shape)?;
            }
            TemplateElement::DecoratorExpression(_)
            | TemplateElement::DecoratorBlock(_)
            | TemplateElement::PartialExpression(_)
            | TemplateElement::PartialBlock(_) => {
                let place = template.mapping.get(index);
                return Err(TextFault {
                    line: place.map(|place| place.0),
                    column: place.map(|place| place.1),
                    message: "no such partial here; in emails `{{> NAME}}` includes \
                              partials/NAME.mjml, elsewhere there are none"
                        .to_owned(),
                });
            }
            _ => {}
        }
    }
    Ok(())
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
