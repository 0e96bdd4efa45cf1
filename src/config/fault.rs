//! What is wrong with settings, where it stands, and what to do: gathered, never only the first.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use serde::ser::{SerializeSeq, SerializeStruct, Serializer};

/// Whether a fault stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Loa does not start with it.
    Error,
    /// Loa starts, but someone should look.
    Warning,
}

/// A text that settings were read from, kept so that faults can point into it.
pub struct SourceText {
    /// The path, as faults name it.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether lines may hold secrets: then only the faulty key and value are ever shown.
    pub may_hold_secrets: bool,
}

impl fmt::Debug for SourceText {
    /// Writes the name alone: the text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SourceText {
    /// A text without secrets, such as a template or an event type.
    pub fn open(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), may_hold_secrets: false })
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
        (line, column)
    }
}

/// Where a setting stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a text.
    Text {
        /// The text.
        source: Arc<SourceText>,
        /// The bytes that are meant.
        span: Range<usize>,
    },
    /// Under a name: an environment variable, a command line flag, a folder.
    Named(String),
}

impl Place {
    /// The bytes `span` of `source`.
    pub fn new(source: &Arc<SourceText>, span: Range<usize>) -> Self {
        Self::Text { source: Arc::clone(source), span }
    }

    /// File, line and column; line and column only for places in a text.
    pub fn coordinates(&self) -> (&str, Option<(usize, usize)>) {
        match self {
            Self::Text { source, span } => (&source.name, Some(source.line_and_column(span.start))),
            Self::Named(name) => (name, None),
        }
    }

    fn shown_line(&self) -> Option<ShownLine> {
        match self {
            Self::Text { source, span } => ShownLine::of(source, span),
            Self::Named(_) => None,
        }
    }

    fn sort_key(&self) -> (&str, usize) {
        match self {
            Self::Text { source, span } => (&source.name, span.start),
            Self::Named(name) => (name, 0),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.coordinates() {
            (name, Some((line, column))) => write!(f, "{name}:{line}:{column}"),
            (name, None) => f.write_str(name),
        }
    }
}

/// One thing that is wrong; its texts never hold a secret.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Whether it stops the start.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl Fault {
    /// The fault with a piece of its text, as a terminal shows it.
    pub fn render(&self, with_colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.what.as_str()));
        let (name, position) = self.place.coordinates();
        group = if let Some(shown) = self.place.shown_line() {
            let line = Snippet::source(shown.text).line_start(shown.number).path(name);
            group.element(line.annotation(AnnotationKind::Primary.span(shown.span)))
        } else if let Some((line, column)) = position {
            group.element(Origin::path(name).line(line).char_column(column))
        } else {
            group.element(Origin::path(name))
        };
        if !self.help.is_empty() {
            group = group.element(Level::HELP.message(self.help.as_str()));
        }
        let renderer = if with_colour { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

impl fmt::Display for Fault {
    /// Writes the fault on one line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, "{}: {word}{}", self.place, self.what)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (file, position) = self.place.coordinates();
        let mut object = serializer.serialize_struct("Fault", 6)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("place", file)?;
        object.serialize_field("line", &position.map(|(line, _)| line))?;
        object.serialize_field("column", &position.map(|(_, column)| column))?;
        object.serialize_field("what", &self.what)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

/// The line that a snippet shows, cut so that it gives nothing away.
struct ShownLine {
    number: usize,
    text: String,
    span: Range<usize>,
}

impl ShownLine {
    /// The first line of `span`; in a text with secrets everything around the span is blanked.
    fn of(source: &SourceText, span: &Range<usize>) -> Option<Self> {
        let text = source.text.as_str();
        let before = text.get(..span.start)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = text.get(start..)?;
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let from = span.start.checked_sub(start)?.min(line.len());
        let to = span.end.saturating_sub(start).clamp(from, line.len());
        let shown = if source.may_hold_secrets {
            let lead = " ".repeat(line.get(..from)?.len());
            format!("{lead}{}", line.get(from..to)?)
        } else {
            line.to_owned()
        };
        // The reader of an empty span would look for nothing.
        let is_empty = shown.trim().is_empty();
        let number = before.matches('\n').count() + 1;
        (!is_empty).then_some(Self { number, text: shown, span: from..to })
    }
}

/// Gathers faults; clones share one list, so that every part adds to the same report.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault that stops the start.
    pub fn error(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        self.push(Fault { severity: Severity::Error, place, what: what.into(), help: help.into() });
    }

    /// Adds a fault that does not stop the start.
    pub fn warning(&self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        let (what, help) = (what.into(), help.into());
        self.push(Fault { severity: Severity::Warning, place, what, help });
    }

    /// Adds `fault`.
    pub fn push(&self, fault: Fault) {
        self.locked(|list| list.push(fault));
    }

    /// Whether anything in it stops the start.
    pub fn has_errors(&self) -> bool {
        self.locked(|list| list.iter().any(|fault| fault.severity == Severity::Error))
    }

    /// Whether there is neither error nor warning.
    pub fn is_empty(&self) -> bool {
        self.locked(|list| list.is_empty())
    }

    /// Every fault once, by file and position.
    pub fn sorted(&self) -> Vec<Fault> {
        let mut list = self.locked(|list| list.clone());
        list.sort_by(|a, b| a.place.sort_key().cmp(&b.place.sort_key()));
        list.dedup_by(|a, b| a.to_string() == b.to_string());
        list
    }

    /// All faults with their pieces of text, as a terminal shows them.
    pub fn render(&self, with_colour: bool) -> String {
        let blocks: Vec<_> = self.sorted().iter().map(|fault| fault.render(with_colour)).collect();
        blocks.join("\n\n")
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Vec<Fault>) -> T) -> T {
        // The list stays whole even if a thread panicked while it added to it.
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Display for Faults {
    /// Writes one fault a line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.sorted().iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list = self.sorted();
        let mut sequence = serializer.serialize_seq(Some(list.len()))?;
        for fault in &list {
            sequence.serialize_element(fault)?;
        }
        sequence.end()
    }
}

impl std::error::Error for Faults {}
