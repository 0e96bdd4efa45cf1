//! The text part of an email, made from its HTML when the template is loaded.
//!
//! It is made once per template, not per message: reading HTML costs more than all the rest of a
//! message. The HTML is our own, written by the inliner, so that a plain reader of tags is enough.

use super::tag::{Piece, pieces};

/// What the HTML says, without its looks; tokens of handlebars tags are kept.
pub(super) fn of_html(html: &str) -> String {
    let body = html.split_once("<body").map_or(html, |(_, body)| body);
    let body = body.split_once('>').map_or(body, |(_, body)| body);
    let mut writer = Writer::default();
    let mut rest = body;
    while let Some((text, after)) = rest.split_once('<') {
        writer.text(text);
        let comment = after.strip_prefix("!--").and_then(|comment| comment.split_once("-->"));
        rest = if let Some((comment, after)) = comment {
            writer.comment(comment);
            after
        } else {
            let (tag, after) = split_tag(after);
            writer.tag(tag);
            after
        };
    }
    writer.text(rest);
    tidy(&writer.out)
}

/// Leaves one empty line between paragraphs, none at the ends, and no spaces at line ends.
pub(super) fn tidy(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut is_gap = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            is_gap = !written.is_empty();
            continue;
        }
        written.push_str(if is_gap { "\n" } else { "" });
        written.push_str(line);
        written.push('\n');
        is_gap = false;
    }
    written.truncate(written.trim_end().len());
    written
}

/// Cuts a text behind the `>` that ends the tag it begins with.
pub(super) fn split_tag(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => {
                let after = text.get(at + 1..).unwrap_or_default();
                return (text.get(..at).unwrap_or_default(), after);
            }
            _ => {}
        }
    }
    (text, "")
}

/// Whether a tag is an element without content.
pub(super) fn is_void(tag: &str) -> bool {
    let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
    tag.ends_with('/') || matches!(name, "br" | "img" | "hr" | "meta" | "link" | "input" | "col")
}

/// The value of an attribute, its entities decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, after) = tag.split_once(&format!(" {name}=\""))?;
    Some(decode(after.split('"').next()?))
}

fn decode(text: &str) -> String {
    let text = text.replace("&nbsp;", "\u{a0}").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[derive(Default)]
struct Writer {
    out: String,
    /// How many elements are open inside one that is not shown, itself included.
    hidden: usize,
    /// The address of the open link, and where its text begins.
    link: Option<(String, usize)>,
    /// What goes between the cell before and the next text.
    separator: Option<&'static str>,
}

impl Writer {
    fn tag(&mut self, tag: &str) {
        let (is_end, tag) = match tag.strip_prefix('/') {
            Some(tag) => (true, tag),
            None => (false, tag),
        };
        let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        let hides = matches!(name, "style" | "script" | "title")
            || tag.contains("style=\"display:none") // The preheader.
            || tag.contains("style=\"display: none");
        if self.hidden > 0 || (hides && !is_end) {
            if is_end {
                self.hidden = self.hidden.saturating_sub(1);
            } else if !is_void(tag) {
                self.hidden += 1;
            }
            return;
        }
        match (name, is_end) {
            ("a", false) => {
                self.link = attribute(tag, "href").map(|url| (url, self.out.len()));
            }
            ("a", true) => self.end_link(),
            ("li", false) => {
                self.end_line();
                self.out.push_str("- ");
            }
            ("th" | "td", true) => {
                let is_label = self.separator == Some(LABEL);
                self.separator = Some(if is_label { ": " } else { "  " });
            }
            ("th", false) if attribute(tag, "scope").as_deref() == Some("row") => {
                self.separator = Some(LABEL);
            }
            ("br", _) | ("tr" | "li", true) => self.end_line(),
            ("div" | "p" | "table" | "ul" | "ol" | "h1" | "h2" | "h3" | "h4" | "blockquote", _) => {
                self.end_paragraph();
            }
            _ => {}
        }
    }

    /// A comment shows nothing, unless it is a tag of handlebars, which gets a line of its own.
    fn comment(&mut self, comment: &str) {
        let is_token =
            matches!(pieces(comment.trim()).as_slice(), [Piece::Text(""), Piece::Token(_), _]);
        if is_token && self.hidden == 0 {
            self.end_line();
            self.out.push_str(comment.trim());
            self.out.push('\n');
        }
    }

    fn text(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        let text = decode(text);
        let is_blank = |letter: char| letter.is_ascii_whitespace();
        if text.starts_with(is_blank) {
            self.space();
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.is_empty() {
            return;
        }
        if let Some(separator) = self.separator.take_if(|separator| *separator != LABEL)
            && !self.out.is_empty()
            && !self.out.ends_with('\n')
        {
            self.out.truncate(self.out.trim_end().len());
            self.out.push_str(separator);
        }
        self.out.push_str(&words.join(" "));
        if text.ends_with(is_blank) {
            self.space();
        }
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
    }

    fn end_link(&mut self) {
        let Some((url, start)) = self.link.take() else { return };
        let label = self.out.get(start..).unwrap_or_default().trim();
        if !label.is_empty() && label != url {
            self.out.truncate(self.out.trim_end().len());
            self.out.push_str(": ");
            self.out.push_str(&url);
        }
    }

    fn end_line(&mut self) {
        self.separator = None;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn end_paragraph(&mut self) {
        self.end_line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

/// Marks an open cell as the label of its row.
const LABEL: &str = "label";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_paragraphs_rows_and_links() {
        let html = "<html><head><title>T</title></head><body class=\"x\">\
            <div style=\"display:none;\">hidden <b>too</b></div><!--[if mso]><table><![endif]-->\
            <table><tr><td><div>Dear &amp; good<br>Lan</div></td></tr></table>\
            <table><tr><th scope=\"row\">Date</th><td>5</td></tr>\
            <tr><td>a</td><td>b</td></tr></table>\
            <p>Go <a class=\"y\" href=\"https://a.test/?x=1&amp;y=2\"> here </a></p>\
            <ul><li>one</li><li>two</li></ul></body></html>";

        assert_eq!(
            of_html(html),
            "Dear & good\nLan\n\nDate: 5\na  b\n\nGo here: https://a.test/?x=1&y=2\n\n- one\n- two"
        );
    }

    #[test]
    fn block_tags_stand_on_lines_of_their_own() {
        let html =
            "<body><table><!-- LoaTag00001Q --><tr><td>x</td></tr><!-- LoaTag00002Q --></table>";

        assert_eq!(of_html(html), "LoaTag00001Q\nx\nLoaTag00002Q");
    }
}
