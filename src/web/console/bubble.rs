//! A chat message as its receiver would see it: CommonMark as HTML that holds nothing else.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a link may lead to.
const SCHEMES: [&str; 4] = ["https://", "http://", "mailto:", "tel:"];

/// The HTML of a message; every letter of it is escaped, and only elements named here are written.
pub(super) fn html_of(markdown: &str) -> String {
    let mut html = String::new();
    // Whether each open link is written, or shows its text alone.
    let mut links = Vec::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                let is_written = leads_somewhere(&dest_url);
                links.push(is_written);
                if is_written {
                    let url = escaped(&dest_url);
                    html.push_str(&format!("<a href=\"{url}\" rel=\"noreferrer noopener\">"));
                }
            }
            Event::End(TagEnd::Link) => {
                if links.pop() == Some(true) {
                    html.push_str("</a>");
                }
            }
            Event::Start(tag) => element(tag.to_end(), '<', &mut html),
            Event::End(tag) => element(tag, '/', &mut html),
            Event::Code(text) => html.push_str(&format!("<code>{}</code>", escaped(&text))),
            Event::SoftBreak | Event::HardBreak => html.push_str("<br>"),
            Event::Rule => html.push_str("<hr>"),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => html.push_str(&escaped(&text)),
            Event::TaskListMarker(_) => {}
        }
    }
    html
}

/// Begins or ends the element of a tag, if it has one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is another crate's")]
fn element(tag: TagEnd, side: char, html: &mut String) {
    let name = match tag {
        TagEnd::Paragraph => "p",
        TagEnd::Heading(_) | TagEnd::Strong => "strong",
        TagEnd::Emphasis => "em",
        TagEnd::Strikethrough => "del",
        TagEnd::BlockQuote(_) => "blockquote",
        TagEnd::CodeBlock => "pre",
        TagEnd::List(true) => "ol",
        TagEnd::List(false) => "ul",
        TagEnd::Item => "li",
        _ => return,
    };
    html.push_str(&match side {
        '/' => format!("</{name}>"),
        _ => format!("<{name}>"),
    });
}

fn leads_somewhere(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| url.starts_with(scheme))
}

fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\'' => written.push_str("&#39;"),
            letter => written.push(letter),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_shown_as_a_chat_shows_them() {
        let markdown =
            "**Late:** _DH-1_\nsee [the order](https://shop.example/a?b=1&c)\n\n- one\n- `two`";

        assert_eq!(
            html_of(markdown),
            "<p><strong>Late:</strong> <em>DH-1</em><br>see <a \
             href=\"https://shop.example/a?b=1&amp;c\" rel=\"noreferrer noopener\">the order</a></p>\
             <ul><li>one</li><li><code>two</code></li></ul>"
        );
    }

    #[test]
    fn nothing_of_a_message_becomes_markup() {
        for nasty in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "![x](https://evil.example/\"onload=\"x)",
            "[x](https://e.example/\"onmouseover=\"y)",
            "`<b>`",
            "```\n</pre><script>\n```",
        ] {
            let html = html_of(nasty);

            for mark in ["<script", "<img", "<b>", "javascript:", "=\"x", "=\"y"] {
                assert!(!html.contains(mark), "{nasty}: {html}");
            }
        }
    }
}
