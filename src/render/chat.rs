//! CommonMark in the dialect of the chat that will show it.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::model::message::{ChatMessage, Dialect};

/// Put where it keeps a letter of data from being a mark or a mention; nobody sees it.
const INERT: char = '\u{200b}';

/// What a link in a message may lead to.
const SCHEMES: [&str; 4] = ["https://", "http://", "mailto:", "tel:"];

/// Makes a chat message of CommonMark whose data is escaped already.
pub(super) fn message(markdown: &str, dialect: Dialect) -> ChatMessage {
    match dialect {
        Dialect::CommonMark => {
            let text = inert(without_strange_links(markdown).trim());
            ChatMessage { text, plain: write(markdown, Dialect::Plain) }
        }
        Dialect::SlackMrkdwn | Dialect::Plain => {
            let [text, plain] = write_each(markdown, [dialect, Dialect::Plain]);
            ChatMessage { text, plain }
        }
    }
}

/// Whether a link leads to what people expect behind a link.
fn leads_somewhere(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| url.starts_with(scheme))
}

/// How often links within the text of strange links are looked for.
const PASSES: usize = 4;

/// The same with the text alone of each link that would lead to a script, a file or nowhere.
fn without_strange_links(markdown: &str) -> Cow<'_, str> {
    let mut kept = Cow::Borrowed(markdown);
    for _ in 0..PASSES {
        let strange = strange_links(&kept);
        if strange.is_empty() {
            return kept;
        }
        let mut next = kept.clone().into_owned();
        for (whole, text) in strange.into_iter().rev() {
            next.replace_range(whole, kept.get(text).unwrap_or_default());
        }
        kept = Cow::Owned(next);
    }
    // Whoever nests them so deep gets no links at all.
    Cow::Owned(write(markdown, Dialect::Plain))
}

/// Where strange links stand that are in no other one, and where their texts.
fn strange_links(markdown: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut strange = Vec::new();
    let mut open: Option<(Range<usize>, Range<usize>)> = None;
    for (event, range) in
        Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH).into_offset_iter()
    {
        match (&event, &mut open) {
            (Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }), None)
                if !leads_somewhere(dest_url) =>
            {
                // The text is what lies within; until something does, nothing.
                open = Some((range.clone(), range.end..range.end));
            }
            (Event::End(TagEnd::Link | TagEnd::Image), Some((whole, text))) if *whole == range => {
                strange.push((whole.clone(), text.clone()));
                open = None;
            }
            (_, Some((whole, text))) if text.start == whole.end => *text = range,
            (_, Some((_, text))) => text.end = text.end.max(range.end),
            (_, None) => {}
        }
    }
    strange
}

/// CommonMark in which an `@` from data calls nobody, without the escapes that are not needed: some
/// gateways know only half of CommonMark and would show them.
fn inert(markdown: &str) -> String {
    let mut written = String::with_capacity(markdown.len() + 8);
    let mut is_destination = false;
    let mut letters = markdown.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && next.is_ascii_punctuation());
        let Some(escaped) = escaped else {
            is_destination = match letter {
                ']' => letters.peek() == Some(&'('),
                ')' | '\n' => false,
                _ => is_destination,
            };
            written.push(letter);
            continue;
        };
        let is_inert = match escaped {
            // A destination with a blank in it is none, and is shown as it stands.
            '@' if is_destination => written.ends_with(' '),
            '@' => !ends_in_word(&written),
            '<' => letters.clone().find(|next| *next != '\\').is_some_and(calls),
            _ => false,
        };
        let is_needed = match is_destination {
            true => matches!(escaped, '(' | ')' | '<' | '>' | '\\' | '"' | '\''),
            false => is_markup(escaped, &written, letters.peek().copied()),
        };
        written.extend(is_needed.then_some('\\'));
        written.push(escaped);
        written.extend(is_inert.then_some(INERT));
    }
    written
}

/// Whether a letter would mean something between what is written and what comes next.
fn is_markup(letter: char, written: &str, next: Option<char>) -> bool {
    let line = written.rsplit('\n').next().unwrap_or_default();
    // Behind a word nothing begins a list, a heading or a rule.
    let is_early = !line.chars().any(char::is_alphabetic);
    match letter {
        '@' | '"' | '\'' => false,
        '-' | '+' | '=' | ')' => is_early,
        '.' => is_early || line.to_ascii_lowercase().ends_with("www"),
        ':' => next.is_some_and(|next| next == '/' || next.is_alphabetic()),
        '!' => next == Some('['),
        '(' => written.ends_with(']'),
        '_' => !(ends_in_word(written) && next.is_some_and(char::is_alphanumeric)),
        _ => true,
    }
}

/// Whether `<` before this letter may begin a call of people: `<!channel>`, `<@U1>`, `<users/all>`.
fn calls(next: char) -> bool {
    matches!(next, '!' | '@' | '#' | 'u' | 'U')
}

/// Whether an `@` behind this text stands inside a word, as in an email address.
fn ends_in_word(text: &str) -> bool {
    text.ends_with(char::is_alphanumeric)
}

fn write(markdown: &str, dialect: Dialect) -> String {
    let [text] = write_each(markdown, [dialect]);
    text
}

/// The text in each of the dialects, parsed once.
fn write_each<const N: usize>(markdown: &str, dialects: [Dialect; N]) -> [String; N] {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn rendered(source: &str, data: &str, dialect: Dialect) -> String {
        let mut engine = crate::text::Engine::new(crate::text::Escaping::CommonMark);
        engine.add("t", source).unwrap();
        let context = crate::text::context(serde_json::json!({ "x": data }));
        message(&engine.render("t", &context, 100_000).unwrap(), dialect).text
    }

    #[test]
    fn data_calls_nobody_and_forges_nothing_in_slack() {
        let data = "<!channel> @here *bold* [a](http://evil.test) <@U1>";

        let text = rendered("{{x}}", data, Dialect::SlackMrkdwn);

        assert!(!text.contains('<'), "{text}");
        assert!(!text.contains("*bold*"), "{text}");
        assert!(!text.contains("@here"), "{text}");
        assert!(text.contains("[a](http://evil.test)"), "{text}");
    }

    #[test]
    fn numbers_and_addresses_in_data_stay_as_they_are() {
        for dialect in [Dialect::SlackMrkdwn, Dialect::Plain] {
            assert_eq!(rendered("{{x}}", "DH_2026 lan@a.test", dialect), "DH_2026 lan@a.test");
        }
        let text = rendered("{{x}}", "lan@a.test @all", Dialect::CommonMark);
        assert_eq!(text, "lan@a.test @\u{200b}all");
        let text = rendered("No. {{x}}", "DH-1_2: 5.5 (\"x\")", Dialect::CommonMark);
        assert_eq!(text, "No. DH-1_2: 5.5 (\"x\")");
    }

    #[test]
    fn a_link_keeps_its_address_and_leads_nowhere_strange() {
        let url = "https://a.test/@lan/b_c?x=1&y=(2)";

        let slack = rendered("[go]({{x}})", url, Dialect::SlackMrkdwn);
        let common_mark = rendered("[go]({{x}})", url, Dialect::CommonMark);
        let strange = rendered("[go]({{x}})", "javascript:alert(1)", Dialect::SlackMrkdwn);

        assert_eq!(slack, "<https://a.test/@lan/b_c?x=1&amp;y=(2)|go>");
        let event = Parser::new(&common_mark)
            .find_map(|event| {
                let Event::Start(Tag::Link { dest_url, .. }) = event else { return None };
                Some(dest_url.into_string())
            })
            .unwrap();
        assert_eq!(event, url);
        assert_eq!(strange, "go");
    }

    #[test]
    fn no_dialect_keeps_a_link_to_a_script() {
        let sources = [
            "[go]({{x}})",
            "a [go *now*](<{{x}}>) b",
            "![go]({{x}} \"t\")",
            "[go][1]\n\n[1]: {{x}}",
            "[a [go](javascript:b) c](https://a.test)",
            "<javascript:alert(1)>",
            "[![go](javascript:a)](data:b)",
        ];
        for source in sources {
            for data in ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "file:///etc"] {
                for dialect in [Dialect::CommonMark, Dialect::SlackMrkdwn, Dialect::Plain] {
                    let text = rendered(source, data, dialect);

                    let is_strange = |event: Event<'_>| {
                        use Tag::{Image, Link};
                        let Event::Start(Link { dest_url, .. } | Image { dest_url, .. }) = event
                        else {
                            return false;
                        };
                        !leads_somewhere(&dest_url)
                    };
                    assert!(!Parser::new(&text).any(is_strange), "{source} became {text}");
                    assert!(text.contains("go") || text.contains("alert"), "{source}: {text}");
                }
            }
        }
        let kept = rendered("[go *now*](https://a.test) [x](b:c)", "", Dialect::CommonMark);
        assert_eq!(kept, "[go *now*](https://a.test) x");
    }

    #[test]
    fn calls_of_every_chat_are_made_inert() {
        let data = "<!here> <@U1> <#C1> <users/all> <@&9> @everyone";
        for dialect in [Dialect::CommonMark, Dialect::Plain] {
            let text = rendered("{{x}}", data, dialect);

            for call in ["<!", "<@", "<#", "<users", "@everyone"] {
                assert!(!text.replace('\\', "").contains(call), "{call} in {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_data_becomes_markup_in_any_dialect(data in "[\\PC\n\t@<>*_~`!#()\\[\\]=+.-]{0,60}") {
            let source = "a {{x}}\n{{x}}";
            let common_mark = rendered(source, &data, Dialect::CommonMark);
            let is_text = |event: Event<'_>| matches!(
                event,
                Event::Text(_)
                    | Event::SoftBreak
                    | Event::Start(Tag::Paragraph)
                    | Event::End(TagEnd::Paragraph)
            );
            prop_assert!(Parser::new(&common_mark).all(is_text), "{common_mark}");
            let list = rendered("- {{x}}", &data, Dialect::CommonMark);
            let starts = |event: &Event<'_>| matches!(event, Event::Start(_));
            prop_assert!(Parser::new(&list).filter(starts).count() <= 2, "{list}");

            let slack = rendered(source, &data, Dialect::SlackMrkdwn);
            prop_assert!(!slack.contains(['<', '>']), "{slack}");
            for text in [common_mark, slack, rendered(source, &data, Dialect::Plain)] {
                for call in ["@all", "@here", "@channel", "@everyone"] {
                    let mut calls = text.match_indices(call).map(|(at, _)| text.get(..at).unwrap());
                    prop_assert!(calls.all(ends_in_word), "{text}");
                    }
            }
        }
    }
}
