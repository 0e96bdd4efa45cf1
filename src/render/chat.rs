//! CommonMark in the dialect of the chat that will show it.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::model::message::{ChatMessage, Dialect};

/// Makes a chat message of CommonMark whose data is escaped already.
pub(super) fn message(markdown: &str, dialect: Dialect) -> ChatMessage {
    let plain = write(markdown, Dialect::Plain);
    let text = match dialect {
        Dialect::CommonMark => markdown.trim().to_owned(),
        Dialect::SlackMrkdwn | Dialect::Plain => write(markdown, dialect),
    };
    ChatMessage { text, plain }
}

fn write(markdown: &str, dialect: Dialect) -> String {
    let mut writer = Writer {
        out: String::new(),
        dialect,
        lists: Vec::new(),
        links: Vec::new(),
        link_starts: Vec::new(),
    };
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH) {
        writer.event(event);
    }
    writer.out.trim().to_owned()
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
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(text) => {
                self.mark("`");
                self.text(&text);
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
    fn start(&mut self, tag: Tag<'_>) {
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
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Strong => self.mark("*"),
            Tag::Emphasis => self.mark("_"),
            Tag::Strikethrough => self.mark("~"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push(dest_url.into_string());
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
        match self.dialect {
            Dialect::SlackMrkdwn => {
                let url = slack_escape(&url).replace('|', "%7C");
                self.out.push_str(&format!("<{url}|{}>", label.replace('|', "¦")));
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
        match self.dialect {
            Dialect::SlackMrkdwn => {
                // Slack has no escape for its marks; a word joiner keeps data from using them.
                for letter in slack_escape(text).chars() {
                    self.out.push(letter);
                    if matches!(letter, '*' | '_' | '~' | '`') {
                        self.out.push('\u{2060}');
                    }
                }
            }
            Dialect::Plain | Dialect::CommonMark => self.out.push_str(text),
        }
    }
}

/// The three letters that Slack asks to be escaped (api.slack.com, "Formatting text").
fn slack_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_gets_its_own_marks() {
        let markdown =
            "**Order DH1** is _late_\n\n- new date: 5\n- [follow](https://a.test/?x=1&y=2)";

        let message = message(markdown, Dialect::SlackMrkdwn);

        assert_eq!(
            message.text,
            "*Order DH1* is _late_\n\n• new date: 5\n• <https://a.test/?x=1&amp;y=2|follow>"
        );
        assert_eq!(
            message.plain,
            "Order DH1 is late\n\n• new date: 5\n• follow: https://a.test/?x=1&y=2"
        );
    }

    #[test]
    fn data_calls_nobody_and_forges_nothing_in_slack() {
        let mut engine = crate::text::Engine::new(crate::text::Escaping::CommonMark);
        engine.add("t", "{{x}}").unwrap();
        let data = serde_json::json!({"x": "<!channel> @here *bold* [a](http://evil.test) <@U1>"});
        let context = crate::text::context(data).unwrap();
        let markdown = engine.render("t", &context, 10_000).unwrap();

        let text = message(&markdown, Dialect::SlackMrkdwn).text;

        assert!(!text.contains('<'), "{text}");
        assert!(!text.contains("*bold*"), "{text}");
        assert!(!text.contains("@here"), "{text}");
        assert!(text.contains("[a](http://evil.test)"), "{text}");
    }
}
