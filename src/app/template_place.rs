//! Where in its file a fault of a template stands.

use crate::config::{Config, Place, SourceText};
use crate::render::TemplateFault;

/// Where in a template's file a fault stands.
pub(super) fn of_fault(config: &Config, fault: &TemplateFault) -> Place {
    let assets = &config.templates;
    let file = assets.files.iter().find(|(path, _)| assets.name_of(path) == fault.file);
    let Some((_, bytes)) = file else { return Place::Named(fault.file.clone()) };
    let source = SourceText::open(&fault.file, String::from_utf8_lossy(bytes));
    let line = fault.fault.line.unwrap_or(1).saturating_sub(1);
    let column = fault.fault.column.unwrap_or(1).saturating_sub(1);
    let mut lines = source.text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line).map(str::len).sum();
    let within = lines.next().unwrap_or_default().chars().take(column).map(char::len_utf8);
    let at = before + within.sum::<usize>();
    Place::new(&source, at..at)
}
