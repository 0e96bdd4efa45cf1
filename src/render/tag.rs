//! Handlebars tags as text: where they end, what they do, and the tokens that stand for them while
//! HTML is made.

use super::text_part;

/// What a token begins with; five digits and [`TOKEN_END`] follow.
const TOKEN: &str = "LoaTag";
const TOKEN_END: char = 'Q';

/// The word that stands for the tag of this number.
pub(super) fn token(index: usize) -> String {
    format!("{TOKEN}{index:05}{TOKEN_END}")
}

/// What a tag does to the blocks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind {
    Opens,
    /// `{{else}}`.
    Divides,
    Closes,
    Prints,
}

impl TagKind {
    /// The kind of the tag that a text begins with.
    pub(super) fn of(text: &str) -> Self {
        let Some(inner) = text.strip_prefix("{{") else { return Self::Prints };
        let inner = inner.trim_start_matches('~').trim_start();
        let is_else = inner.strip_prefix('^').map(str::trim_start);
        match inner.chars().next() {
            Some('#') => Self::Opens,
            Some('/') => Self::Closes,
            _ if inner.starts_with("else") => Self::Divides,
            _ if is_else.is_some_and(|rest| rest.starts_with(['}', '~'])) => Self::Divides,
            _ if is_else.is_some() => Self::Opens,
            _ => Self::Prints,
        }
    }
}

/// How long the tag is that a text begins with; `}}` within quotes does not end it.
pub(super) fn length_of(text: &str) -> Option<usize> {
    if text.starts_with("{{!--") {
        return text.find("--}}").map(|end| end + "--}}".len());
    }
    let close = if text.starts_with("{{{") { "}}}" } else { "}}" };
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if text.get(at..)?.starts_with(close) => return Some(at + close.len()),
            Some(_) | None => {}
        }
    }
    None
}

/// Whether a text begins with a tag that begins, divides or ends a block.
pub(super) fn is_block(text: &str) -> bool {
    TagKind::of(text) != TagKind::Prints
}

/// Text, or the number of a tag.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Token(usize),
}

/// Cuts a text at its tokens; a comment that holds nothing else is the token.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(TOKEN) {
        let Some((digits, after)) = after.split_once(TOKEN_END) else { break };
        let Ok(index) = digits.parse() else { break };
        let (before, after) = match (before.strip_suffix("<!-- "), after.strip_prefix(" -->")) {
            (Some(before), Some(after)) => (before, after),
            _ => (before, after),
        };
        pieces.extend([Piece::Text(before), Piece::Token(index)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The tokens of an HTML page in order, each with the number of elements that are open there.
pub(super) fn tokens_with_depth(html: &str) -> Vec<(usize, usize)> {
    let (mut found, mut depth) = (Vec::new(), 0_usize);
    let mut note = |text: &str, depth: usize| {
        found.extend(pieces(text).into_iter().filter_map(|piece| match piece {
            Piece::Token(index) => Some((index, depth)),
            Piece::Text(_) => None,
        }));
    };
    let mut rest = html;
    while let Some((text, after)) = rest.split_once('<') {
        note(text, depth);
        let (tag, after) = match after.strip_prefix("!--") {
            Some(comment) => comment.split_once("-->").unwrap_or((comment, "")),
            None => text_part::split_tag(after),
        };
        let is_comment = rest.get(text.len()..).is_some_and(|rest| rest.starts_with("<!"));
        // A `tbody` may begin behind the tag of its first row, and mail programs do not mind.
        let is_level = is_comment || tag.trim_start_matches('/').starts_with("tbody");
        if tag.starts_with('/') && !is_level {
            depth = depth.saturating_sub(1);
        }
        note(tag, depth);
        let is_alone = is_level || tag.starts_with('/') || text_part::is_void(tag);
        depth += usize::from(!is_alone);
        rest = after;
    }
    note(rest, depth);
    found
}

/// The byte at which more than `most` elements are open within one another, if there is one.
pub(super) fn deeper_than(most: usize, markup: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(found) = markup.get(at..)?.find('<') {
        let start = at + found;
        let tag = inside_of_tag(markup.get(start + 1..)?);
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !tag.starts_with('!') && !text_part::is_void(tag) {
            depth += 1;
        }
        if depth > most {
            return Some(start);
        }
        at = start + 1 + tag.len();
    }
    None
}

/// The byte of a `>` in the text between tags that the MJML parser breaks down on: the first of a
/// text, if the letter before it is not written in one byte.
pub(super) fn unreadable_close(markup: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = markup.get(at..)?;
        let length = rest.find('<').unwrap_or(rest.len());
        let text = rest.get(..length)?;
        if let Some(close) = text.find('>')
            && !text.is_char_boundary(close.saturating_sub(2))
        {
            return Some(at + close);
        }
        // Behind the `>` of the tag that follows, if one does.
        let tag = inside_of_tag(rest.get(length + 1..)?);
        at += length + 1 + tag.len() + 1;
    }
}

/// What stands before the `>` of a tag; one within quotes of either sort does not end it.
fn inside_of_tag(text: &str) -> &str {
    let mut open = None;
    for (at, letter) in text.char_indices() {
        match (open, letter) {
            (Some(quote), _) if quote == letter => open = None,
            (None, '"' | '\'') if !text.starts_with('!') => open = Some(letter),
            (None, '>') => return text.get(..at).unwrap_or_default(),
            (Some(_) | None, _) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_elements_are_counted_whatever_stands_in_quotes() {
        assert_eq!(deeper_than(1, "<a><br/><img src='x'></a><b>text</b>"), None);
        assert_eq!(deeper_than(1, "<a><b>"), Some(3));
        assert_eq!(deeper_than(1, r#"<a x='"'><b>"#), Some(9));
        assert_eq!(deeper_than(1, r#"<a x="/>"><b>"#), Some(10));
        assert_eq!(deeper_than(1, "<!-- it's --><a><b></b>"), Some(16));
    }

    #[test]
    fn the_parser_breaks_down_where_it_is_said_to_and_nowhere_else() {
        let fine = ["<p>a > b</p>", "<p title=\"giá ế>\">ế</p>", "<p>> ế></p>", "ế", ""];
        for markup in fine {
            assert_eq!(unreadable_close(markup), None, "{markup}");
        }
        for (markup, at) in [("<p>giá ế> 5</p>", 11), ("<p>a</p>ế>", 11)] {
            assert_eq!(unreadable_close(markup), Some(at), "{markup}");
            assert_eq!(markup.get(at..=at), Some(">"));
        }
        let mjml = |text: &str| format!("<mjml><mj-body><mj-raw>{text}</mj-raw></mj-body></mjml>");
        let breaks = |text| std::panic::catch_unwind(|| mrml::parse(mjml(text))).is_err();
        assert!(breaks("ế> 5") && !breaks("> ế> 5"));
    }
}
