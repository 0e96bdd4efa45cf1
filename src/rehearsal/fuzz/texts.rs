//! Settings, templates and text messages as people write them, or others in their name.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

use crate::config::assets::Assets;
use crate::config::{self, Config, Faults, Sources, read_catalogue};
use crate::model::address::Channel;
use crate::model::catalogue::Category;
use crate::model::message::{Dialect, Message};
use crate::render::{Company, Edit, Letterhead, Preview, Templates, sms as encoding};
use crate::text::{self, Engine, Escaping};

static CONFIG: LazyLock<Config> = LazyLock::new(|| config::read(&Sources::defaults()).0);

static TEMPLATES: LazyLock<Option<Templates>> =
    LazyLock::new(|| Templates::load(&Assets::embedded_templates(), "vi").ok());

/// The settings, and one file of the catalogue. A secret's file is not read: it may be anything.
pub(super) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("_file") || text.contains("_dir") {
        return;
    }
    let (_, faults) = config::read(&Sources::defaults().with_text("loa.toml", &text));
    say_where(&faults);
    let faults = Faults::new();
    let assets = Assets::from_texts("event-types", [("a.test.toml", text.as_ref())]);
    read_catalogue(&assets, &faults);
    say_where(&faults);
}

fn say_where(faults: &Faults) {
    let told = faults.to_string();
    assert!(faults.has_errors() <= !told.is_empty());
}

/// A template and, after a line `---`, the data it is given; the first byte chooses the escaping.
pub(super) fn handlebars(bytes: &[u8]) {
    let Some((way, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let (source, data) = text.rsplit_once("\n---\n").unwrap_or((&text, "{}"));
    let ways =
        [Escaping::Html, Escaping::CommonMark, Escaping::Json, Escaping::Url, Escaping::None];
    let escaping = ways[usize::from(*way) % ways.len()];
    let mut engine = Engine::new(escaping);
    if engine.add("t", source).is_err() {
        return;
    }
    engine.variables("t");
    let context = text::context(serde_json::from_str(data).unwrap_or_default());
    if let Ok(made) = engine.render("t", &context, MAX_TEXT) {
        assert!(made.len() <= MAX_TEXT);
    }
}

const MAX_TEXT: usize = 64 << 10;

/// A file of a template, front matter and all; the first byte chooses the channel.
pub(super) fn template(bytes: &[u8]) {
    let (Some((way, rest)), Some(templates)) = (bytes.split_first(), TEMPLATES.as_ref()) else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let channel = Channel::ALL[usize::from(*way) % Channel::ALL.len()];
    let edit = Edit { template: "order.delayed", locale: "en", channel, text: &text };
    let edited = match templates.edited(&edit, &CONFIG.catalogue) {
        Ok(edited) => edited,
        Err(faults) => {
            assert!(faults.iter().all(|fault| !fault.fault.message.is_empty()));
            return;
        }
    };
    let letterhead = Letterhead {
        company: Company::default(),
        email: CONFIG.email.clone(),
        sms: CONFIG.sms.clone(),
        unsubscribe: None,
    };
    let preview = Preview {
        template: "order.delayed",
        locale: "en",
        channel,
        category: Category::Transactional,
        data: None,
        is_known: true,
    };
    let moment = (Dialect::CommonMark, Timestamp::UNIX_EPOCH);
    if let Ok(rendered) = edited.preview(&preview, &letterhead, moment) {
        harmless(&rendered.message);
    }
}

fn harmless(message: &Message) {
    if let Message::Email(email) = message {
        let headers = [Some(&email.subject), email.from_name.as_ref(), email.reply_to.as_ref()];
        for header in headers.into_iter().flatten() {
            assert!(!header.contains(['\r', '\n']), "{header:?}");
        }
        assert!(!email.html.to_lowercase().contains("href=\"javascript:"), "{}", email.html);
    }
}

/// A text message, as it is and without accents.
pub(super) fn sms(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let compared = encoding::compare(&text);
    for message in [compared.with_accents, compared.without_accents] {
        let again = encoding::encode(&message.text);
        assert_eq!(again, message, "cleaning twice changes something");
        let letters = u32::try_from(message.text.chars().count()).unwrap_or(u32::MAX);
        assert!(message.parts >= 1 && message.parts <= 1 + letters / 33, "{message:?}");
        let is_inert = |letter: char| letter == '\n' || !letter.is_control();
        assert!(message.text.chars().all(is_inert), "{:?}", message.text);
    }
    drop(serde_json::from_slice::<Value>(bytes));
}
