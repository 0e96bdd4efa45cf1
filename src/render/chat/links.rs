//! Links that lead elsewhere than people expect behind a link.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// What a link in a message may lead to.
const SCHEMES: [&str; 4] = ["https://", "http://", "mailto:", "tel:"];

/// Whether a link leads to what people expect behind a link.
pub(super) fn leads_somewhere(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| url.starts_with(scheme))
}

/// How often links within the text of strange links are looked for.
const PASSES: usize = 4;

/// The same with the text alone of each link that would lead to a script, a file or nowhere; `None`
/// where they are nested so deep that nobody can mean it.
pub(super) fn without_strange_links(markdown: &str) -> Option<Cow<'_, str>> {
    let mut kept = Cow::Borrowed(markdown);
    for _ in 0..PASSES {
        let strange = strange_links(&kept);
        if strange.is_empty() {
            return Some(kept);
        }
        let mut next = kept.clone().into_owned();
        for (whole, text) in strange.into_iter().rev() {
            next.replace_range(whole, kept.get(text).unwrap_or_default());
        }
        kept = Cow::Owned(next);
    }
    None
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
