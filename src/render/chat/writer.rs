//! Writes CommonMark anew in another dialect.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::inert::{INERT, calls, ends_in_word};
use super::links::leads_somewhere;
use crate::model::message::Dialect;

pub(super) fn write(markdown: &str, dialect: Dialect) -> String {
    let [text] = write_each(markdown, [dialect]);
    text
}

/// The text in each of the dialects, parsed once.
pub(super) fn write_each<const N: usize>(markdown: &str, dialects: [Dialect; N]) -> [String; N] {
    let mut writers = dialects.map(|dialect| Writer {
        out: String::with_capacity(markdown.len()),
        dialect,
        lists: Vec::new(),
        links: Vec::new(),
        link_starts: Vec::new(),
    });
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH) {
        for writer in &mut writers {
            writer.event(&event);
        }
    }
    writers.map(|writer| writer.out.trim().to_owned())
}

struct Writer {
    out: String,
    dialect: Dialect,
    /// The number of the next item of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    links: Vec<String>,
    /// Where the text of the open link begins.
    link_starts: Vec<usize>,
}

impl Writer {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(*tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(text),
            Event::Code(text) => {
                self.mark("`");
                self.text(text);
                self.mark("`");
            }
            Event::SoftBreak | Event::HardBreak => self.out.push('\n'),
            Event::Rule => self.block("———"),
            Event::FootnoteReference(_)
            | Event::TaskListMarker(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_) => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Paragraph if self.lists.is_empty() => self.block(""),
            Tag::Heading { .. } => {
                self.block("");
                self.mark("*");
            }
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.block("");
                }
                self.lists.push(*first);
            }
            Tag::Item => self.item(),
            Tag::Strong => self.mark("*"),
            Tag::Emphasis => self.mark("_"),
            Tag::Strikethrough => self.mark("~"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push(dest_url.to_string());
                self.link_starts.push(self.out.len());
            }
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.mark("*");
                self.out.push('\n');
            }
            TagEnd::Paragraph if self.lists.is_empty() => self.out.push('\n'),
            TagEnd::List(_) => {
                self.lists.pop();
                self.out.push('\n');
            }
            TagEnd::Strong => self.mark("*"),
            TagEnd::Emphasis => self.mark("_"),
            TagEnd::Strikethrough => self.mark("~"),
            TagEnd::Link | TagEnd::Image => self.link(),
            _ => {}
        }
    }

    /// Begins a block on a line of its own, behind an empty one.
    fn block(&mut self, text: &str) {
        let trimmed = self.out.trim_end().len();
        self.out.truncate(trimmed);
        if !self.out.is_empty() {
            self.out.push_str("\n\n");
        }
        self.out.push_str(text);
    }

    fn item(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        let depth = self.lists.len().saturating_sub(1);
        self.out.push_str(&"  ".repeat(depth));
        match self.lists.last_mut() {
            Some(Some(number)) => {
                self.out.push_str(&format!("{number}. "));
                *number += 1;
            }
            _ => self.out.push_str("• "),
        }
    }

    /// A link around what was written since it began; without markup its address stands behind.
    fn link(&mut self) {
        let (Some(url), Some(start)) = (self.links.pop(), self.link_starts.pop()) else { return };
        let label = self.out.split_off(start);
        if !leads_somewhere(&url) {
            return self.out.push_str(&label);
        }
        match self.dialect {
            Dialect::SlackMrkdwn => {
                self.out.push_str(&format!("<{}|{}>", slack_url(&url), label.replace('|', "¦")));
            }
            Dialect::Plain | Dialect::CommonMark => {
                self.out.push_str(&format!("{label}: {url}"));
            }
        }
    }

    fn mark(&mut self, mark: &str) {
        if self.dialect == Dialect::SlackMrkdwn {
            self.out.push_str(mark);
        }
    }

    fn text(&mut self, text: &str) {
        let is_slack = self.dialect == Dialect::SlackMrkdwn;
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if !is_slack && self.out.ends_with('<') && calls(letter) {
                self.out.push(INERT);
            }
            let harmless = rest.find(is_special).unwrap_or(rest.len());
            if harmless > 0 {
                let (before, from) = rest.split_at(harmless);
                self.out.push_str(before);
                rest = from;
                continue;
            }
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            let is_in_word = ends_in_word(&self.out);
            // Slack asks for these three to be escaped (api.slack.com, "Formatting text").
            match letter {
                '&' if is_slack => self.out.push_str("&amp;"),
                '<' if is_slack => self.out.push_str("&lt;"),
                '>' if is_slack => self.out.push_str("&gt;"),
                letter => self.out.push(letter),
            }
            // Slack has no escape for its marks, but within a word they are none.
            let is_followed = rest.starts_with(char::is_alphanumeric);
            let is_inert = match letter {
                '@' => !is_in_word,
                '*' | '_' | '~' | '`' => is_slack && !(is_in_word && is_followed),
                _ => false,
            };
            self.out.extend(is_inert.then_some(INERT));
        }
    }
}

/// Whether a letter means something in one of the dialects.
fn is_special(letter: char) -> bool {
    matches!(letter, '&' | '<' | '>' | '@' | '*' | '_' | '~' | '`')
}

/// An address between `<` and `|` of a link.
fn slack_url(url: &str) -> String {
    let url = url.replace('&', "&amp;").replace('<', "%3C").replace('>', "%3E");
    url.replace('|', "%7C")
}
