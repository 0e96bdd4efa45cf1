//! Reads template files: which message, which language, which channel, with every fault placed.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use super::assembly::{self, PlacedFault};
use super::email::{self, Frame};
use super::helpers::{self, Words};
use super::version::{Parts, Version};
use super::{Entry, Origin, Sample, Templates, words};
use crate::config::assets::Assets;
use crate::model::address::Channel;
use crate::text::{Engine, Escaping, TextFault};

/// What is wrong with a template file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TemplateFault {
    /// The file, as people know it.
    pub file: String,
    /// What is wrong, and where in the file.
    pub fault: TextFault,
}

impl TemplateFault {
    /// Whether it stands where `other` does, or in the file of one that stands nowhere in it.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        self.file == other.file
            && (other.fault.line.is_none() || self.fault.line == other.fault.line)
    }
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        for number in [self.fault.line, self.fault.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        write!(f, ": {}", self.fault.message)
    }
}

/// The templates that are already read, and what is wrong with the others.
struct Loading<'a> {
    assets: &'a Assets,
    words: Arc<Words>,
    frame: Frame<'a>,
    templates: Templates,
    faults: Vec<TemplateFault>,
}

impl Templates {
    /// Reads all templates of `assets`; languages fall back to `default_locale`.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(assets: &Assets, default_locale: &str) -> Result<Self, Vec<TemplateFault>> {
        let (templates, faults) = Self::read(assets, default_locale);
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// As [`Templates::load`], but returns what could be read beside the faults of the rest.
    pub fn read(assets: &Assets, default_locale: &str) -> (Self, Vec<TemplateFault>) {
        let mut all = Loading::new(assets, default_locale);
        let files: Vec<_> = assets.files.iter().collect();
        let readers = thread::available_parallelism().map_or(1, NonZero::get);
        let share = files.len().div_ceil(readers).max(1);
        // Compiling is nearly all that a start has to do, and each file is compiled by itself.
        thread::scope(|scope| {
            let shares = files.chunks(share).map(|files| {
                let mut loading = all.another(default_locale);
                scope.spawn(move || {
                    for (path, bytes) in files {
                        loading.file(path, bytes);
                    }
                    loading
                })
            });
            for reader in shares.collect::<Vec<_>>() {
                match reader.join() {
                    Ok(loading) => all.take_in(loading),
                    Err(panic) => resume_unwind(panic),
                }
            }
        });
        (all.templates, all.faults)
    }

    /// Takes over the templates and samples of `other`.
    fn take_in(&mut self, other: Self) {
        self.html.take_in(&other.html);
        self.chat.take_in(&other.chat);
        self.plain.take_in(&other.plain);
        self.entries.extend(other.entries);
        self.samples.extend(other.samples);
    }

    /// Templates without any message yet, whose engines know the helpers.
    pub(super) fn empty(words: &Arc<Words>, default_locale: &str, assets: &Assets) -> Self {
        let engine = |escaping| {
            let mut engine = Engine::new(escaping);
            helpers::add_all(&mut engine, words, default_locale);
            engine
        };
        Self {
            html: engine(Escaping::Html),
            chat: engine(Escaping::CommonMark),
            plain: engine(Escaping::None),
            entries: BTreeMap::new(),
            samples: BTreeMap::new(),
            default_locale: default_locale.to_owned(),
            assets: assets.clone(),
        }
    }

    /// Compiles the parts of one template into the engines.
    pub(super) fn add(
        &mut self,
        key: &str,
        channel: Channel,
        parts: &Parts,
        origin: &Origin,
    ) -> Result<(), PlacedFault> {
        let engine = match channel {
            Channel::Email => &mut self.html,
            Channel::Chat => &mut self.chat,
            Channel::Sms => &mut self.plain,
        };
        engine.add(key, &parts.body).map_err(|fault| origin.of_body(fault))?;
        let Some(email) = &parts.email else { return Ok(()) };
        let mut plain = |part: &str, text: &str| self.plain.add(&super::part_key(key, part), text);
        plain("subject", &email.subject).map_err(|fault| origin.of_part("subject", fault))?;
        plain("preheader", &email.preheader).map_err(|fault| origin.of_part("preheader", fault))?;
        plain("text", &email.text).map_err(|fault| origin.of_part("text", fault))
    }
}

impl<'a> Loading<'a> {
    fn new(assets: &'a Assets, default_locale: &str) -> Self {
        let (words, faults) = words::read(assets);
        let words = Arc::new(words);
        let templates = Templates::empty(&words, default_locale, assets);
        let faults = faults
            .into_iter()
            .map(|(path, fault)| TemplateFault { file: assets.name_of(&path), fault });
        Self { assets, words, frame: Frame { assets }, templates, faults: faults.collect() }
    }

    /// The same before it has read a file.
    fn another(&self, default_locale: &str) -> Self {
        let (assets, words) = (self.assets, Arc::clone(&self.words));
        let templates = Templates::empty(&words, default_locale, assets);
        Self { assets, words, frame: Frame { assets }, templates, faults: Vec::new() }
    }

    /// Takes over what `other` has read.
    fn take_in(&mut self, other: Self) {
        self.templates.take_in(other.templates);
        other.faults.into_iter().for_each(|fault| self.note(fault));
    }

    fn fault(&mut self, (path, fault): PlacedFault) {
        self.note(TemplateFault { file: self.assets.name_of(&path), fault });
    }

    /// Notes a fault; one of a layout or partial shows in every message that includes it.
    fn note(&mut self, fault: TemplateFault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Takes in one file.
    fn file(&mut self, path: &str, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.fault((path.to_owned(), TextFault::new("the file is not UTF-8")));
        };
        let text = text.replace("\r\n", "\n");
        if !path.starts_with("locales/") {
            for fault in words::missing(&self.words, &text) {
                self.fault((path.to_owned(), fault));
            }
        }
        let partial = path.strip_prefix("partials/").and_then(|name| name.strip_suffix(".mjml"));
        if let Some(Err(fault)) = partial.map(|name| assembly::try_partial(&self.frame, name)) {
            self.fault(fault);
        }
        let Some(rest) = path.strip_prefix("messages/") else { return };
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [name, "sample.json"] => self.sample(path, name, &text),
            [name, locale, "email.mjml"] => self.email(path, (name, locale), &text),
            [name, locale, "chat.md"] => self.chat(path, (name, locale), &text),
            [name, locale, "sms.txt"] => self.text(path, (name, locale, Channel::Sms), &text),
            _ => self.fault((
                path.to_owned(),
                TextFault::new(
                    "not a template; expected messages/NAME/sample.json or \
                     messages/NAME/LOCALE/email.mjml, chat.md or sms.txt",
                ),
            )),
        }
    }

    fn sample(&mut self, path: &str, name: &str, text: &str) {
        match serde_json::from_str::<Value>(text) {
            Ok(data) => {
                let sample = Sample { path: path.to_owned(), data };
                self.templates.samples.insert(name.to_owned(), sample);
            }
            Err(error) => {
                let message = format!("not JSON: {error}");
                let fault = TextFault::at(error.line(), error.column(), message);
                self.fault((path.to_owned(), fault));
            }
        }
    }

    /// A code span shows the escapes of data, so that none may stand in one.
    fn chat(&mut self, path: &str, (name, locale): (&str, &str), text: &str) {
        for (index, line) in text.lines().enumerate() {
            let in_code = line.split('`').skip(1).step_by(2).any(|code| code.contains("{{"));
            if in_code {
                let message = "data inside `…` shows its escapes; take the backticks away";
                self.fault((path.to_owned(), TextFault::at(index + 1, 1, message)));
            }
        }
        self.text(path, (name, locale, Channel::Chat), text);
    }

    fn text(&mut self, path: &str, (name, locale, channel): (&str, &str, Channel), text: &str) {
        let parts = Parts { body: text.trim_end().to_owned(), email: None };
        self.keep((name, locale, channel), &parts, Origin::of_file(path));
    }

    fn email(&mut self, path: &str, (name, locale): (&str, &str), text: &str) {
        match email::compile(&self.frame, path, text) {
            Ok(compiled) => {
                let (parts, origin) = compiled.into_parts(path);
                self.keep((name, locale, Channel::Email), &parts, origin);
            }
            Err(fault) => self.fault(fault),
        }
    }

    /// Compiles a template and remembers its version: everything that decides what it says.
    fn keep(
        &mut self,
        (name, locale, channel): (&str, &str, Channel),
        parts: &Parts,
        origin: Origin,
    ) {
        let key = super::key(name, locale, channel);
        if let Err(fault) = self.templates.add(&key, channel, parts, &origin) {
            return self.fault(fault);
        }
        let words = self.words.get(locale);
        let words = words.or_else(|| self.words.get(&self.templates.default_locale));
        let version = Version::of((name, locale, channel), parts, words);
        self.templates.entries.insert(key, Entry { version, origin });
    }
}
