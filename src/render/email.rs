//! Emails: MJML compiled and inlined once when loaded, handlebars for each message.

use std::collections::BTreeMap;

use css_inline::CSSInliner;
use mrml::prelude::render::RenderOptions;
use serde::Deserialize;

use super::load::plain_fault;
use crate::config::assets::Assets;
use crate::text::TextFault;

/// How deep layouts and partials may include each other.
const MAX_INCLUDES: usize = 8;

/// The files that emails are made of beside their own.
pub(super) struct Frame<'a> {
    pub(super) assets: &'a Assets,
}

/// An email template, ready for handlebars.
pub(super) struct Compiled {
    pub(super) subject: String,
    pub(super) preheader: String,
    pub(super) html: String,
}

impl Compiled {
    /// Everything that decides what the email says.
    pub(super) fn source(&self) -> String {
        [self.subject.as_str(), &self.preheader, &self.html].join("\n---\n")
    }
}

/// What stands between the `---` lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    subject: String,
    preheader: String,
    #[serde(default = "default_layout")]
    layout: String,
}

fn default_layout() -> String {
    "default".to_owned()
}

/// Compiles one `email.mjml` with its layout and partials.
pub(super) fn compile(frame: &Frame<'_>, text: &str) -> Result<Compiled, TextFault> {
    let (front, body) = split(text)?;
    if front.subject.contains(['\n', '\r']) {
        return Err(plain_fault("the subject is one line"));
    }
    let layout = frame.file("layouts", &front.layout)?;
    let mjml = include(frame, &layout, Some(body), 0)?;
    let parsed = mrml::parse(&mjml).map_err(|error| {
        plain_fault(format!("not MJML (layout and partials included): {error}"))
    })?;
    let html = parsed
        .element
        .render(&RenderOptions::default())
        .map_err(|error| plain_fault(format!("MJML does not render: {error}")))?;
    let inliner =
        CSSInliner::options().keep_style_tags(true).load_remote_stylesheets(false).build();
    let html = inliner
        .inline(&html)
        .map_err(|error| plain_fault(format!("its styles cannot be inlined: {error}")))?;
    Ok(Compiled { subject: front.subject, preheader: front.preheader, html })
}

fn split(text: &str) -> Result<(FrontMatter, &str), TextFault> {
    let rest = text.strip_prefix("---\n").ok_or_else(|| {
        plain_fault("begins with front matter between `---` lines: subject and preheader")
    })?;
    let (front, body) = rest
        .split_once("\n---\n")
        .ok_or_else(|| plain_fault("the front matter does not end; close it with a `---` line"))?;
    let front = toml::from_str(front).map_err(|error| {
        let before = error.span().and_then(|span| front.get(..span.start));
        // The first line of the file is the dashes.
        let line = before.map(|before| before.matches('\n').count() + 2);
        TextFault { line, column: None, message: format!("front matter: {}", error.message()) }
    })?;
    Ok((front, body))
}

impl Frame<'_> {
    fn file(&self, folder: &str, name: &str) -> Result<String, TextFault> {
        let path = format!("{folder}/{name}.mjml");
        let files: &BTreeMap<String, Vec<u8>> = &self.assets.files;
        let bytes = files
            .get(&path)
            .ok_or_else(|| plain_fault(format!("there is no {}", self.assets.name_of(&path))))?;
        String::from_utf8(bytes.clone()).map_err(|_| plain_fault(format!("{path} is not UTF-8")))
    }
}

/// Replaces `{{> NAME}}` by the partial's text, and `{{> content}}` by the message.
fn include(
    frame: &Frame<'_>,
    text: &str,
    content: Option<&str>,
    depth: usize,
) -> Result<String, TextFault> {
    if depth > MAX_INCLUDES {
        return Err(plain_fault("its partials include each other in a circle"));
    }
    let mut written = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{>") {
        written.push_str(before);
        let (name, after) =
            after.split_once("}}").ok_or_else(|| plain_fault("a `{{>` has no `}}`"))?;
        let inner = match (name.trim(), content) {
            ("content", Some(content)) => include(frame, content, None, depth + 1)?,
            (name, _) => include(frame, &frame.file("partials", name)?, content, depth + 1)?,
        };
        written.push_str(&inner);
        rest = after;
    }
    written.push_str(rest);
    Ok(written)
}

/// The text part: what the HTML says, without its looks.
pub(super) fn text_part(html: &str) -> String {
    let body = without_preheader(html);
    let text = html2text::config::plain()
        .use_doc_css()
        .no_table_borders()
        .empty_img_mode(html2text::config::ImageRenderMode::IgnoreEmpty)
        .string_from_read(body.as_bytes(), 78)
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut written = String::with_capacity(text.len());
    let mut blank = 0;
    for line in lines {
        blank = if line.trim().is_empty() { blank + 1 } else { 0 };
        if blank < 2 && !(blank == 1 && written.is_empty()) {
            written.push_str(line);
            written.push('\n');
        }
    }
    written.trim_end().to_owned()
}

/// The HTML without the hidden line that mail programs show behind the subject.
fn without_preheader(html: &str) -> String {
    let hidden = "<div style=\"display:none";
    let Some((before, after)) = html.split_once(hidden) else { return html.to_owned() };
    match after.split_once("</div>") {
        Some((_, after)) => format!("{before}{after}"),
        None => html.to_owned(),
    }
}
