//! `each`, counted: loops that write nothing come to an end too.

use std::cell::Cell;

use handlebars::template::TemplateElement;
use handlebars::{
    BlockContext, Context, Handlebars, HelperResult, Output, RenderErrorReason, Renderable,
    Template, to_json,
};
use serde_json::Value;

use super::{Helper, HelperDef, RenderContext, RenderError};

/// How many elements the loops of one rendering may run over; a fifth of a second at worst.
const MAX_STEPS: usize = 200_000;

thread_local! {
    // Rendering begins and ends on one thread and never within itself.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Begins a rendering.
pub(super) fn begin() {
    LEFT.set(MAX_STEPS);
}

/// The `each` of handlebars, without block parameters.
pub(super) struct Each;

impl HelperDef for Each {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rendering: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let list = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("each", 0))?;
        let rounds = match list.value() {
            Value::Array(values) => entries(values.iter().enumerate()),
            Value::Object(members) => entries(members.iter()),
            _ if helper.inverse().is_none() => {
                return Err(
                    RenderErrorReason::MissingVariable(list.relative_path().cloned()).into()
                );
            }
            _ => Vec::new(),
        };
        let wanted = if rounds.is_empty() { helper.inverse() } else { helper.template() };
        let Some(template) = wanted else { return Ok(()) };
        if rounds.is_empty() {
            return template.render(registry, context, rendering, out);
        }
        spend(rounds.len().saturating_mul(size(template)))?;
        rendering.push_block(BlockContext::new());
        let last = rounds.len() - 1;
        for (index, (key, value)) in rounds.into_iter().enumerate() {
            if let Some(block) = rendering.block_mut() {
                block.set_local_var("first", to_json(index == 0));
                block.set_local_var("last", to_json(index == last));
                block.set_local_var("index", to_json(index));
                block.set_local_var("key", Value::from(key.as_str()));
                match list.context_path() {
                    Some(path) => {
                        *block.base_path_mut() = path.iter().cloned().chain([key]).collect();
                    }
                    None => block.set_base_value(value.clone()),
                }
            }
            template.render(registry, context, rendering, out)?;
        }
        rendering.pop_block();
        Ok(())
    }
}

fn entries<'a, K: ToString>(
    entries: impl Iterator<Item = (K, &'a Value)>,
) -> Vec<(String, &'a Value)> {
    entries.map(|(key, value)| (key.to_string(), value)).collect()
}

/// Takes steps from what this rendering has left.
fn spend(steps: usize) -> Result<(), RenderError> {
    let left = LEFT.get().checked_sub(steps).ok_or_else(|| {
        let text = format!("the loops run over more than {MAX_STEPS} elements in all");
        RenderError::from(RenderErrorReason::Other(text))
    })?;
    LEFT.set(left);
    Ok(())
}

/// How many elements a template has, with those inside its blocks.
fn size(template: &Template) -> usize {
    let inner = template.elements.iter().map(|element| match element {
        TemplateElement::HelperBlock(block) => {
            [&block.template, &block.inverse].into_iter().flatten().map(size).sum()
        }
        _ => 0,
    });
    1 + template.elements.len() + inner.sum::<usize>()
}
