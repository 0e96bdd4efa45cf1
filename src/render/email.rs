//! Emails: MJML compiled and inlined once when loaded, handlebars for each message.

use std::collections::HashMap;
use std::panic::catch_unwind;

use css_inline::CSSInliner;
use memchr::memmem;
use mrml::prelude::parser;
use mrml::prelude::render::RenderOptions;
use serde::Deserialize;
use toml::Spanned;

use super::assembly::{Assembly, Place, PlacedFault, Restored, Source, assemble};
use super::{tag, text_part};
use crate::config::assets::Assets;
use crate::text::TextFault;

/// The files that emails are made of beside their own.
pub(super) struct Frame<'a> {
    pub(super) assets: &'a Assets,
}

/// An email template, ready for handlebars.
pub(super) struct Compiled {
    pub(super) subject: String,
    pub(super) subject_place: Place,
    pub(super) preheader: String,
    pub(super) preheader_place: Place,
    pub(super) html: Restored,
    pub(super) text: Restored,
}

/// What stands between the `---` lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    subject: Spanned<String>,
    preheader: Spanned<String>,
    layout: Option<Spanned<String>>,
}

/// Compiles one `email.mjml` with its layout and partials.
pub(super) fn compile(frame: &Frame<'_>, path: &str, text: &str) -> Result<Compiled, PlacedFault> {
    let own = |fault: TextFault| (path.to_owned(), fault);
    let (front_text, body) = split(text).map_err(own)?;
    let front = read_front_matter(front_text).map_err(own)?;
    // The first line of the file is the dashes.
    let place_of = |value: &Spanned<String>| place_in(path, front_text, value.span().start);
    if front.subject.get_ref().contains(['\n', '\r']) {
        return Err(place_of(&front.subject).fault("the subject is one line"));
    }
    let layout = front.layout.as_ref().map_or("default", |layout| layout.get_ref().as_str());
    let (layout_path, layout_text) = frame.file("layouts", layout).map_err(|message| {
        let place = front.layout.as_ref().map_or(place_in(path, front_text, 0), place_of);
        place.fault(message)
    })?;
    let layout = Source { path: &layout_path, text: layout_text, first_line: 1 };
    let content = Source { path, text: body, first_line: front_text.matches('\n').count() + 4 };
    let assembly = assemble(frame, layout, content)?;
    let html = html_of(&assembly)?;
    Ok(Compiled {
        subject_place: place_of(&front.subject),
        subject: front.subject.into_inner(),
        preheader_place: place_of(&front.preheader),
        preheader: front.preheader.into_inner(),
        text: assembly.restore(&text_part::of_html(&html)),
        html: assembly.restore(&html),
    })
}

fn split(text: &str) -> Result<(&str, &str), TextFault> {
    let rest = text.strip_prefix("---\n").ok_or_else(|| {
        TextFault::at(1, 1, "begins with front matter between `---` lines: subject and preheader")
    })?;
    rest.split_once("\n---\n").ok_or_else(|| {
        TextFault::at(1, 1, "the front matter does not end; close it with a `---` line")
    })
}

fn read_front_matter(text: &str) -> Result<FrontMatter, TextFault> {
    toml::from_str(text).map_err(|error| {
        let place = place_in("", text, error.span().map_or(0, |span| span.start));
        TextFault::at(place.line, place.column, format!("front matter: {}", error.message()))
    })
}

/// The place of a byte of the front matter, which begins in the second line.
fn place_in(path: &str, front: &str, at: usize) -> Place {
    let before = front.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).map_or(0, |text| text.chars().count()) + 1;
    Place { path: path.to_owned(), line: before.matches('\n').count() + 2, column }
}

impl Frame<'_> {
    /// The path and text of a layout or partial.
    pub(super) fn file(&self, folder: &str, name: &str) -> Result<(String, &str), String> {
        let path = format!("{folder}/{name}.mjml");
        let known = self.assets.name_of(&path);
        let bytes = self.assets.files.get(&path).ok_or_else(|| format!("there is no {known}"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| format!("{known} is not UTF-8"))?;
        Ok((path, text))
    }
}

/// How deep elements may stand within one another: those who read MJML and HTML go down for each.
const MAX_NESTING: usize = 100;

/// The HTML of an email, styles inlined, its handlebars tags still tokens.
fn html_of(assembly: &Assembly) -> Result<String, PlacedFault> {
    let whole = |message: String| assembly.place_of(0).fault(message);
    if let Some(at) = tag::deeper_than(MAX_NESTING, &assembly.mjml) {
        let what = format!("more than {MAX_NESTING} elements are open within one another here");
        return Err(assembly.place_of(at).fault(what));
    }
    if let Some(at) = tag::unreadable_close(&assembly.mjml) {
        return Err(assembly.place_of(at).fault("write `&gt;` instead of `>` here"));
    }
    // A panic of the library is a fault of the template, not of the process.
    let parsed = catch_unwind(|| mrml::parse(&assembly.mjml))
        .map_err(|_| whole("the MJML parser broke down on this template".to_owned()))?
        .map_err(|error| mjml_fault(assembly, &error))?;
    if let Some(warning) = parsed.warnings.first() {
        let place = assembly.place_of(warning.span.start);
        return Err(place.fault("this element has no such attribute"));
    }
    // Web fonts would be fetched from elsewhere by every reader of the email.
    let options = RenderOptions { fonts: HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options);
    let html = html.map_err(|error| whole(format!("MJML does not render: {error}")))?;
    let inliner =
        CSSInliner::options().keep_style_tags(true).load_remote_stylesheets(false).build();
    let html = inliner
        .inline(&html)
        .map_err(|error| whole(format!("its styles cannot be inlined: {error}")))?;
    check_elements(assembly, &html)?;
    assembly.check_blocks(&html)?;
    Ok(html)
}

/// Refuses an `mj-` element that the compiler did not know and left as it was.
fn check_elements(assembly: &Assembly, html: &str) -> Result<(), PlacedFault> {
    let Some((_, after)) = html.split_once("<mj-") else { return Ok(()) };
    let name = after.split([' ', '>', '/']).next().unwrap_or_default();
    let at = assembly.mjml.find(&format!("<mj-{name}")).unwrap_or_default();
    Err(assembly.place_of(at).fault(format!("there is no element `mj-{name}` here")))
}

fn mjml_fault(assembly: &Assembly, error: &parser::Error) -> PlacedFault {
    use parser::Error;
    let (at, what) = match error {
        Error::UnexpectedElement { position, .. } => (position.start, "no such element here"),
        Error::UnexpectedToken { position, .. } => (position.start, "this is not expected here"),
        Error::MissingAttribute { position, .. } => (position.start, "an attribute is missing"),
        Error::InvalidAttribute { position, .. } => (position.start, "this attribute is invalid"),
        Error::InvalidFormat { position, .. } => (position.start, "this has the wrong form"),
        Error::IncludeLoaderError { position, .. } => {
            (position.start, "write {{> NAME}} instead of mj-include")
        }
        Error::EndOfStream { .. }
        | Error::SizeLimit { .. }
        | Error::ParserError { .. }
        | Error::NoRootNode => (0, "an element is not closed, or there is none"),
    };
    assembly.place_of(at).fault(format!("not MJML: {what} ({error})"))
}

/// The first link in the HTML of a message that no mail program should follow.
pub(super) fn strange_link(html: &str) -> Option<&str> {
    const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];
    let ends = [" href=\"", " src=\""]
        .map(|name| memmem::find_iter(html.as_bytes(), name).map(move |at| at + name.len()));
    let mut links = ends.into_iter().flatten().filter_map(|at| html.get(at..)?.split('"').next());
    links.find(|link| {
        // Browsers ignore control characters and spaces before and within the scheme.
        let scheme = link.split_once(':').map(|(scheme, _)| scheme);
        let scheme = scheme.filter(|scheme| !scheme.contains(['/', '?', '#']));
        let plain = |letter: &char| !letter.is_control() && !letter.is_whitespace();
        let scheme = scheme.map(|scheme| scheme.chars().filter(plain).collect::<String>());
        scheme.is_some_and(|scheme| !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_that_mail_programs_may_follow_pass() {
        let page = |link: &str| format!("<a class=\"x\" href=\"{link}\">x</a>");
        for link in ["https://a.test/x:y", "HTTP://a.test", "mailto:a@b.test", "/x:y", "#a", ""] {
            assert_eq!(strange_link(&page(link)), None, "{link}");
        }
        for link in ["javascript:alert(1)", " java\tscript:x", "data:text/html,x", "vbscript:x"] {
            assert_eq!(strange_link(&page(link)), Some(link));
        }
    }
}
