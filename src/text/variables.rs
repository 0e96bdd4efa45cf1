//! Which variables a template asks for, and which of them it can do without.
//!
//! Strict mode refuses a missing variable only when it is printed. This walk also sees what is
//! merely asked for (`{{#if x}}`), so that a caller who knows the data's schema can tell before
//! anything is sent which variable is misspelt and which is printed though it may be missing.

use std::collections::BTreeSet;

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, Template};

/// One step on the way from the top of the data to a variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the member of this name.
    Member(String),
    /// Into each item of a list.
    Item,
    /// Into one entry of an object, whatever its name.
    Entry,
}

/// What a template wants of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its value: the message does not render without it.
    Value,
    /// Whether it is there.
    Question,
}

/// A variable where a template asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The way to it from the top of the data.
    pub path: Vec<Step>,
    /// What is wanted of it.
    pub need: Need,
    /// What is known to be there at this place, by the blocks around it.
    pub given: Vec<Vec<Step>>,
    /// Line in the template, from 1.
    pub line: usize,
    /// Column in the template, from 1.
    pub column: usize,
}

impl Variable {
    /// The variable as people write it: `data.lines[].name`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.path {
            match step {
                Step::Member(member) if name.is_empty() => name.push_str(member),
                Step::Member(member) => {
                    name.push('.');
                    name.push_str(member);
                }
                Step::Item => name.push_str("[]"),
                Step::Entry => name.push_str(".*"),
            }
        }
        name
    }
}

/// The variables of a template.
pub(super) fn of(
    template: &Template,
    helpers: &BTreeSet<String>,
    entry_blocks: &BTreeSet<String>,
) -> Vec<Variable> {
    let mut walk = Walk {
        helpers,
        entry_blocks,
        scopes: vec![Some(Vec::new())],
        given: Vec::new(),
        place: (1, 1),
        found: Vec::new(),
    };
    walk.template(template);
    walk.found
}

/// The name of what a tag calls or prints.
pub(super) fn name_of(name: &Parameter) -> Option<String> {
    match name {
        Parameter::Name(name) => Some(name.clone()),
        Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => Some(raw.clone()),
        _ => None,
    }
}

struct Walk<'a> {
    helpers: &'a BTreeSet<String>,
    entry_blocks: &'a BTreeSet<String>,
    /// What `this` means, from the outermost block to the innermost; `None` where it is the result
    /// of a helper.
    scopes: Vec<Option<Vec<Step>>>,
    given: Vec<Vec<Step>>,
    place: (usize, usize),
    found: Vec<Variable>,
}

impl Walk<'_> {
    fn template(&mut self, template: &Template) {
        for (index, element) in template.elements.iter().enumerate() {
            if let Some(place) = template.mapping.get(index) {
                self.place = (place.0, place.1);
            }
            match element {
                TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                    self.expression(call);
                }
                TemplateElement::HelperBlock(block) => self.block(block),
                _ => {}
            }
        }
    }

    fn expression(&mut self, call: &HelperTemplate) {
        let is_bare = call.params.is_empty() && call.hash.is_empty();
        if let Some(name) = name_of(&call.name)
            && is_bare
            && !self.helpers.contains(&name)
        {
            return self.ask(&name, Need::Value);
        }
        self.parameters(call);
    }

    fn parameters(&mut self, call: &HelperTemplate) {
        for parameter in call.params.iter().chain(call.hash.values()) {
            self.value(parameter);
        }
    }

    fn value(&mut self, parameter: &Parameter) {
        match parameter {
            Parameter::Path(_) | Parameter::Name(_) => {
                if let Some(name) = name_of(parameter) {
                    self.ask(&name, Need::Value);
                }
            }
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(call) = inner.as_element() {
                    self.expression(call);
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &HelperTemplate) {
        let name = name_of(&block.name).unwrap_or_default();
        match name.as_str() {
            "if" | "unless" => {
                let mut given = Vec::new();
                for condition in &block.params {
                    self.question(condition, &mut given);
                }
                let is_if = name == "if";
                self.branch(block.template.as_ref(), if is_if { &given } else { &[] });
                self.branch(block.inverse.as_ref(), if is_if { &[] } else { &given });
            }
            "each" => self.scoped(block, Some(Step::Item), block.inverse.is_some()),
            "with" => self.scoped(block, None, block.inverse.is_some()),
            name if self.entry_blocks.contains(name) => {
                self.scoped(block, Some(Step::Entry), false);
            }
            _ => {
                self.parameters(block);
                self.branch(block.template.as_ref(), &[]);
                self.branch(block.inverse.as_ref(), &[]);
            }
        }
    }

    /// A block inside which `this` is something else.
    fn scoped(&mut self, block: &HelperTemplate, step: Option<Step>, may_be_missing: bool) {
        let subject = block.params.first();
        let path = match subject {
            Some(Parameter::Path(_)) => {
                subject.and_then(name_of).and_then(|name| self.resolve(&name))
            }
            _ => None,
        };
        match subject {
            Some(subject) if may_be_missing => self.question(subject, &mut Vec::new()),
            Some(subject) => self.value(subject),
            None => {}
        }
        let given: Vec<_> = path.clone().into_iter().collect();
        self.scopes.push(path.map(|path| path.into_iter().chain(step).collect()));
        self.branch(block.template.as_ref(), &given);
        self.scopes.pop();
        self.branch(block.inverse.as_ref(), &[]);
    }

    fn branch(&mut self, template: Option<&Template>, given: &[Vec<Step>]) {
        let Some(template) = template else { return };
        let before = self.given.len();
        self.given.extend_from_slice(given);
        self.template(template);
        self.given.truncate(before);
    }

    /// A condition; what must be there for it to hold is put into `given`.
    fn question(&mut self, condition: &Parameter, given: &mut Vec<Vec<Step>>) {
        match condition {
            Parameter::Path(_) | Parameter::Name(_) => {
                let Some(name) = name_of(condition) else { return };
                self.ask(&name, Need::Question);
                given.extend(self.resolve(&name));
            }
            Parameter::Subexpression(inner) => {
                let TemplateElement::Expression(call) = inner.as_element() else { return };
                match name_of(&call.name).as_deref() {
                    Some("and") => {
                        for each in &call.params {
                            self.question(each, given);
                        }
                    }
                    Some("or" | "not") => {
                        for each in &call.params {
                            self.question(each, &mut Vec::new());
                        }
                    }
                    _ => self.parameters(call),
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, name: &str, need: Need) {
        let Some(path) = self.resolve(name).filter(|path| !path.is_empty()) else { return };
        let (line, column) = self.place;
        let given = self.given.clone();
        self.found.push(Variable { path, need, given, line, column });
    }

    /// The way from the top to what a name means here; `None` for `@index` and the like.
    fn resolve(&self, name: &str) -> Option<Vec<Step>> {
        let mut rest = name;
        let mut scope = self.scopes.len().checked_sub(1)?;
        if let Some(below) = rest.strip_prefix("@root") {
            (rest, scope) = (below, 0);
        }
        while let Some(above) = rest.strip_prefix("..") {
            (rest, scope) = (above.trim_start_matches('/'), scope.checked_sub(1)?);
        }
        if rest.starts_with('@') {
            return None;
        }
        let mut path = self.scopes.get(scope)?.clone()?;
        let names = rest.split(['.', '/']).filter(|name| !matches!(*name, "" | "this"));
        path.extend(names.map(|name| {
            let plain = name.trim_start_matches('[').trim_end_matches(']');
            match plain.parse::<usize>() {
                Ok(_) => Step::Item,
                Err(_) => Step::Member(plain.to_owned()),
            }
        }));
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Engine, Escaping};

    fn asked(source: &str) -> Vec<String> {
        let mut engine = Engine::new(Escaping::None);
        engine.add("t", source).unwrap();
        let word = |variable: &Variable| {
            let name = variable.name();
            let is_given = variable.given.contains(&variable.path);
            match (variable.need, is_given) {
                (Need::Question, _) => format!("{name}?"),
                (Need::Value, true) => format!("({name})"),
                (Need::Value, false) => name,
            }
        };
        engine.variables("t").iter().map(word).collect()
    }

    #[test]
    fn what_is_only_asked_for_is_told_from_what_is_printed() {
        assert_eq!(asked("{{a}} {{#if b}}{{b}}{{else}}{{c}}{{/if}}"), ["a", "b?", "(b)", "c"]);
        assert_eq!(asked("{{#unless b}}{{b}}{{else}}{{b}}{{/unless}}"), ["b?", "b", "(b)"]);
        assert_eq!(asked("{{#if (and a b)}}{{a}}{{b}}{{/if}}"), ["a?", "b?", "(a)", "(b)"]);
        assert_eq!(asked("{{#if (or a b)}}{{a}}{{/if}}"), ["a?", "b?", "a"]);
        assert_eq!(asked("{{#if (eq a \"x\")}}{{b}}{{/if}}"), ["a", "b"]);
    }

    #[test]
    fn blocks_change_what_a_name_means() {
        assert_eq!(
            asked("{{#each d.lines}}{{name}} {{../x}} {{@root.y}} {{@index}}{{/each}}"),
            ["d.lines", "d.lines[].name", "x", "y"]
        );
        assert_eq!(asked("{{#with a}}{{this.b}} {{../c}}{{/with}}"), ["a", "a.b", "c"]);
        assert_eq!(asked("{{#each a}}{{this}}{{else}}{{b}}{{/each}}"), ["a?", "a[]", "b"]);
    }

    #[test]
    fn a_variable_knows_its_place() {
        let mut engine = Engine::new(Escaping::None);
        engine.add("t", "one\n  {{two}}").unwrap();

        let found = engine.variables("t");

        assert_eq!((found[0].line, found[0].column), (2, 3));
    }
}
