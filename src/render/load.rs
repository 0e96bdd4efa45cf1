//! Reads template files: which message, which language, which channel, with every fault placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::email::{self, Frame};
use super::helpers::{self, Words};
use super::{Templates, Version};
use crate::config::assets::Assets;
use crate::model::address::Channel;
use crate::text::{Engine, Escaping, TextFault};

/// What is wrong with a template file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{fault}")]
pub struct TemplateFault {
    /// The file, as people know it.
    pub file: String,
    /// What is wrong, and where in the file.
    pub fault: TextFault,
}

/// The engines and what is known of each template, while files are read.
pub(super) struct Loading<'a> {
    assets: &'a Assets,
    words: Arc<Words>,
    frame: Frame<'a>,
    pub(super) templates: Templates,
    faults: Vec<TemplateFault>,
}

impl Templates {
    /// Reads all templates of `assets`; languages fall back to `default_locale`.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(assets: &Assets, default_locale: &str) -> Result<Self, Vec<TemplateFault>> {
        let mut loading = Loading::new(assets, default_locale);
        for (path, bytes) in assets.files.iter() {
            loading.file(path, bytes);
        }
        match loading.faults.is_empty() {
            true => Ok(loading.templates),
            false => Err(loading.faults),
        }
    }
}

impl<'a> Loading<'a> {
    fn new(assets: &'a Assets, default_locale: &str) -> Self {
        let mut faults = Vec::new();
        let words = Arc::new(read_words(assets, &mut faults));
        let engine = |escaping| {
            let mut engine = Engine::new(escaping);
            helpers::add_all(&mut engine, &words, default_locale);
            engine
        };
        let templates = Templates {
            html: engine(Escaping::Html),
            chat: engine(Escaping::CommonMark),
            plain: engine(Escaping::None),
            versions: BTreeMap::new(),
            samples: BTreeMap::new(),
            default_locale: default_locale.to_owned(),
        };
        Self { assets, words, frame: Frame { assets }, templates, faults }
    }

    fn fault(&mut self, path: &str, fault: TextFault) {
        self.faults.push(TemplateFault { file: self.assets.name_of(path), fault });
    }

    /// Takes in one file, if it is a message's.
    fn file(&mut self, path: &str, bytes: &[u8]) {
        let Some(rest) = path.strip_prefix("messages/") else { return };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.fault(path, plain_fault("the file is not UTF-8"));
        };
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [name, "sample.json"] => self.sample(path, name, text),
            [name, locale, "email.mjml"] => self.email(path, (name, locale), text),
            [name, locale, "chat.md"] => self.text(path, (name, locale, Channel::Chat), text),
            [name, locale, "sms.txt"] => self.text(path, (name, locale, Channel::Sms), text),
            _ => self.fault(
                path,
                plain_fault(
                    "not a template; expected messages/NAME/sample.json or \
                     messages/NAME/LOCALE/email.mjml, chat.md or sms.txt",
                ),
            ),
        }
    }

    fn sample(&mut self, path: &str, name: &str, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(sample) => {
                self.templates.samples.insert(name.to_owned(), sample);
            }
            Err(error) => {
                let (line, column) = (Some(error.line()), Some(error.column()));
                let message = format!("not JSON: {error}");
                self.fault(path, TextFault { line, column, message });
            }
        }
    }

    fn text(&mut self, path: &str, (name, locale, channel): (&str, &str, Channel), text: &str) {
        let key = super::key(name, locale, channel);
        let engine = match channel {
            Channel::Chat => &mut self.templates.chat,
            Channel::Email | Channel::Sms => &mut self.templates.plain,
        };
        match engine.add(&key, text.trim_end()) {
            Ok(()) => self.keep(key, text, locale),
            Err(fault) => self.fault(path, fault),
        }
    }

    fn email(&mut self, path: &str, (name, locale): (&str, &str), text: &str) {
        let key = super::key(name, locale, Channel::Email);
        let compiled = match email::compile(&self.frame, text) {
            Ok(compiled) => compiled,
            Err(fault) => return self.fault(path, fault),
        };
        let templates = &mut self.templates;
        let added = templates
            .html
            .add(&key, &compiled.html)
            .and_then(|()| templates.plain.add(&super::subject_key(&key), &compiled.subject))
            .and_then(|()| templates.plain.add(&super::preheader_key(&key), &compiled.preheader));
        match added {
            Ok(()) => self.keep(key, &compiled.source(), locale),
            Err(fault) => self.fault(path, fault),
        }
    }

    /// Remembers the version: everything that decides what the template says.
    fn keep(&mut self, key: String, source: &str, locale: &str) {
        let words =
            self.words.get(locale).or_else(|| self.words.get(&self.templates.default_locale));
        let version = Version::of(&key, source, words);
        self.templates.versions.insert(key, version);
    }
}

fn read_words(assets: &Assets, faults: &mut Vec<TemplateFault>) -> Words {
    let mut words = Words::new();
    for (path, bytes) in assets.files.iter() {
        let name = path.strip_prefix("locales/").and_then(|name| name.strip_suffix(".toml"));
        let Some(locale) = name else { continue };
        let text = String::from_utf8_lossy(bytes);
        match toml::from_str::<BTreeMap<String, String>>(&text) {
            Ok(found) => {
                words.insert(locale.to_owned(), found);
            }
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map(|before| before.matches('\n').count() + 1);
                let fault = TextFault { line, column: None, message: error.message().to_owned() };
                faults.push(TemplateFault { file: assets.name_of(path), fault });
            }
        }
    }
    words
}

/// A fault of a file as a whole.
pub(super) fn plain_fault(message: impl Into<String>) -> TextFault {
    TextFault { line: None, column: None, message: message.into() }
}
