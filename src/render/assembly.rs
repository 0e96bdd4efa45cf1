//! One email put together from its message, layout and partials, with every piece's place kept.
//!
//! Handlebars tags travel through MJML and the inlining of styles as plain words (*tokens*), since
//! both would move, escape or refuse them. Afterwards the tags are put back, each remembering the
//! file and line it came from.

use std::collections::BTreeSet;

use super::email::Frame;
use super::tag::{self, Piece, TagKind, is_block, length_of, pieces, tokens_with_depth};
use crate::text::TextFault;

/// The longest email once everything is included, in bytes.
const MAX_ASSEMBLED: usize = 512 << 10;

/// A place in a file, line and column from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file below the templates' folder.
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A fault and the file it stands in.
pub(super) type PlacedFault = (String, TextFault);

impl Place {
    pub(super) fn fault(&self, message: impl Into<String>) -> PlacedFault {
        (self.path.clone(), TextFault::at(self.line, self.column, message))
    }
}

/// A handlebars tag.
struct Tag {
    text: String,
    kind: TagKind,
    place: Place,
}

/// MJML without handlebars, and the tags that belong where its tokens stand.
pub(super) struct Assembly {
    pub(super) mjml: String,
    tags: Vec<Tag>,
    spans: Vec<Span>,
}

/// From `at` on, the MJML is the text of a file from `place` on.
struct Span {
    at: usize,
    place: Place,
}

/// A template with its tags put back.
pub(super) struct Restored {
    pub(super) text: String,
    /// Line and column of each tag, in order, with the place it came from.
    pub(super) marks: Vec<Mark>,
}

/// Where a tag stands in a template, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) origin: Place,
}

/// The part of a file that is to be written, and where it begins.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// The line of the file in which `text` begins.
    pub(super) first_line: usize,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = self.first_line + before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
        Place { path: self.path.to_owned(), line, column }
    }
}

/// Puts the email `content` into `layout`.
pub(super) fn assemble(
    frame: &Frame<'_>,
    layout: Source<'_>,
    content: Source<'_>,
) -> Result<Assembly, PlacedFault> {
    let assembly = Assembly { mjml: String::new(), tags: Vec::new(), spans: Vec::new() };
    let mut assembler =
        Assembler { frame, content, assembly, open: Vec::new(), has_content: false };
    assembler.write(layout)?;
    if !assembler.has_content {
        return Err(layout.place(0).fault("the layout lacks `{{> content}}`"));
    }
    Ok(assembler.assembly)
}

/// Writes the partial `name` by itself, whether or not a message includes it.
pub(super) fn try_partial(frame: &Frame<'_>, name: &str) -> Result<(), PlacedFault> {
    let path = format!("partials/{name}.mjml");
    let place = Place { path, line: 1, column: 1 };
    let (path, text) = frame.file("partials", name).map_err(|message| place.fault(message))?;
    let assembly = Assembly { mjml: String::new(), tags: Vec::new(), spans: Vec::new() };
    let content = Source { path: &path, text: "", first_line: 1 };
    let open = vec![(name.to_owned(), place)];
    let mut assembler = Assembler { frame, content, assembly, open, has_content: false };
    assembler.write(Source { path: &path, text, first_line: 1 })
}

/// The fault of partials that include each other, each with the place where that is done; one and
/// the same wherever the circle is entered.
fn fault_of_circle(mut circle: Vec<(String, Place)>) -> PlacedFault {
    let least = (0..circle.len()).min_by_key(|index| circle[*index].0.clone()).unwrap_or_default();
    circle.rotate_left(least);
    let (first, place) = circle[0].clone();
    let names: Vec<String> = circle.into_iter().map(|(name, _)| name).collect();
    let names = names.join(" → ");
    place.fault(format!("partials include each other in a circle: {names} → {first}"))
}

struct Assembler<'a> {
    frame: &'a Frame<'a>,
    content: Source<'a>,
    assembly: Assembly,
    /// The partials that are being written, from the outermost to the innermost, and where each is
    /// included.
    open: Vec<(String, Place)>,
    has_content: bool,
}

impl Assembler<'_> {
    fn write(&mut self, source: Source<'_>) -> Result<(), PlacedFault> {
        let mut at = 0;
        while let Some(rest) = source.text.get(at..).filter(|rest| !rest.is_empty()) {
            let next = [rest.find("{{"), rest.find("<!--")].into_iter().flatten().min();
            let plain = rest.get(..next.unwrap_or(rest.len())).unwrap_or(rest);
            self.plain(source, at, plain);
            at += plain.len();
            let Some(rest) = source.text.get(at..).filter(|_| next.is_some()) else { break };
            at += match rest.starts_with("<!--") {
                true => self.comment(source, at, rest)?,
                false => self.tag(source, at, rest)?,
            };
            if self.assembly.mjml.len() > MAX_ASSEMBLED {
                let message = format!("with all it includes it is longer than {MAX_ASSEMBLED}");
                return Err(source.place(at).fault(message));
            }
        }
        Ok(())
    }

    fn plain(&mut self, source: Source<'_>, at: usize, text: &str) {
        if !text.is_empty() {
            self.assembly
                .spans
                .push(Span { at: self.assembly.mjml.len(), place: source.place(at) });
            self.assembly.mjml.push_str(text);
        }
    }

    /// A comment of one block tag is that tag; one for mail programs is kept, one for people not.
    fn comment(&mut self, source: Source<'_>, at: usize, rest: &str) -> Result<usize, PlacedFault> {
        let end = rest.find("-->").ok_or_else(|| {
            source.place(at).fault("this comment does not end; close it with `-->`")
        })?;
        let body = rest.get("<!--".len()..end).unwrap_or_default();
        let inner = body.trim();
        let is_tag = inner.starts_with("{{") && length_of(inner) == Some(inner.len());
        if is_tag && !inner.starts_with("{{>") {
            let start = at + rest.find("{{").unwrap_or_default();
            self.token(source, start, inner, true);
        } else if inner.starts_with("[if") || inner.starts_with("<![endif") {
            self.plain(source, at, "<!--");
            return Ok("<!--".len());
        }
        Ok(end + "-->".len())
    }

    fn tag(&mut self, source: Source<'_>, at: usize, rest: &str) -> Result<usize, PlacedFault> {
        let length = length_of(rest)
            .ok_or_else(|| source.place(at).fault("this tag is not closed; it ends with `}}`"))?;
        let text = rest.get(..length).unwrap_or(rest);
        if let Some(name) = text.strip_prefix("{{>") {
            self.include(source, at, name.trim_end_matches('}').trim())?;
        } else if !text.starts_with("{{!") {
            let after = rest.get(length..).unwrap_or_default().trim_start();
            let follows = after.starts_with('<') || is_block(after);
            let before = self.assembly.mjml.trim_end();
            // Between elements text is moved or lost, comments are not.
            let is_between = is_block(text) && before.ends_with('>') && follows;
            self.token(source, at, text, is_between);
        }
        Ok(length)
    }

    fn token(&mut self, source: Source<'_>, at: usize, text: &str, in_comment: bool) {
        let token = tag::token(self.assembly.tags.len());
        let place = source.place(at);
        self.assembly.spans.push(Span { at: self.assembly.mjml.len(), place: place.clone() });
        self.assembly.mjml.push_str(&match in_comment {
            true => format!("<!-- {token} -->"),
            false => token,
        });
        self.assembly.tags.push(Tag { text: text.to_owned(), kind: TagKind::of(text), place });
    }

    fn include(&mut self, source: Source<'_>, at: usize, name: &str) -> Result<(), PlacedFault> {
        if name == "content" && self.open.is_empty() && !self.has_content {
            self.has_content = true;
            return self.write(self.content);
        }
        let place = source.place(at);
        if let Some(first) = self.open.iter().position(|(open, _)| open == name) {
            let mut circle = self.open.split_off(first);
            circle[0].1 = place;
            return Err(fault_of_circle(circle));
        }
        let (path, text) =
            self.frame.file("partials", name).map_err(|message| place.fault(message))?;
        self.open.push((name.to_owned(), place));
        self.write(Source { path: &path, text, first_line: 1 })?;
        self.open.pop();
        Ok(())
    }
}

impl Assembly {
    /// The place that a byte of the MJML came from.
    pub(super) fn place_of(&self, at: usize) -> Place {
        let after = self.spans.partition_point(|span| span.at <= at);
        let Some(span) = after.checked_sub(1).and_then(|index| self.spans.get(index)) else {
            return Place { path: String::new(), line: 1, column: 1 };
        };
        let between = self.mjml.get(span.at..at).unwrap_or_default();
        let mut place = span.place.clone();
        for letter in between.chars() {
            advance(&mut place.line, &mut place.column, letter);
        }
        place
    }

    /// Puts the tags back into what was made of the MJML.
    pub(super) fn restore(&self, html: &str) -> Restored {
        let (mut text, mut marks) = (String::with_capacity(html.len()), Vec::new());
        let (mut line, mut column) = (1, 1);
        for piece in pieces(html) {
            let written = match piece {
                Piece::Text(text) => text,
                Piece::Token(index) => match self.tags.get(index) {
                    Some(tag) => {
                        marks.push(Mark { line, column, origin: tag.place.clone() });
                        &tag.text
                    }
                    None => "",
                },
            };
            text.push_str(written);
            for letter in written.chars() {
                advance(&mut line, &mut column, letter);
            }
        }
        Restored { text, marks }
    }

    /// Refuses HTML in which a block holds other tags than in the MJML, or half of an element: HTML
    /// moves what stands between the rows of a table, and a block must not lose what it guards.
    pub(super) fn check_blocks(&self, html: &str) -> Result<(), PlacedFault> {
        let order = tokens_with_depth(html);
        let position = |index| order.iter().position(|(known, _)| *known == index);
        for (open, close) in self.blocks()? {
            let found = position(open).zip(position(close));
            let inner = found.and_then(|(open, close)| order.get(open..=close)).unwrap_or_default();
            let held: BTreeSet<usize> = inner.iter().map(|(index, _)| *index).collect();
            let is_whole = inner.first().map(|one| one.1) == inner.last().map(|one| one.1);
            if held != (open..=close).collect() || !is_whole {
                let message = "what this tag begins does not keep its place when the HTML is \
                               made; put the tags between whole elements or inside one text";
                return Err(self.fault_of(open, message));
            }
        }
        Ok(())
    }

    /// The numbers of the tags that begin and end each block.
    fn blocks(&self) -> Result<Vec<(usize, usize)>, PlacedFault> {
        let (mut open, mut blocks) = (Vec::new(), Vec::new());
        for (index, tag) in self.tags.iter().enumerate() {
            match tag.kind {
                TagKind::Opens => open.push(index),
                TagKind::Closes => match open.pop() {
                    Some(begin) => blocks.push((begin, index)),
                    None => return Err(tag.place.fault("this tag ends a block that never began")),
                },
                TagKind::Divides | TagKind::Prints => {}
            }
        }
        match open.pop() {
            Some(index) => Err(self.fault_of(index, "the block that this tag begins has no end")),
            None => Ok(blocks),
        }
    }

    fn fault_of(&self, index: usize, message: &str) -> PlacedFault {
        let place = self.tags.get(index).map(|tag| tag.place.clone());
        place.unwrap_or_else(|| self.place_of(0)).fault(message)
    }
}

fn advance(line: &mut usize, column: &mut usize, letter: char) {
    if letter == '\n' {
        (*line, *column) = (*line + 1, 1);
    } else {
        *column += 1;
    }
}
