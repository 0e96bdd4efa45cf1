//! `loa templates`: what messages look like.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, Output, Settings};
use crate::app;
use crate::clock::Clock;
use crate::model::address::Channel;
use crate::model::message::{Dialect, Message};
use crate::pipeline::Rulebook;
use crate::render::{Preview, sms};

/// List, check and preview templates.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa templates list\n  loa templates check\n  \
    loa templates preview order.delayed --channel sms --locale vi\n  \
    loa templates preview order.delayed --html > order.delayed.html\n  \
    loa templates sms \"Đơn hàng DH1 giao chậm\"")]
pub(super) struct Templates {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all templates.
    #[command(after_help = "Example:\n  loa templates list")]
    List,
    /// Render every template with its sample, and name every fault.
    #[command(after_help = "Example:\n  loa templates check")]
    Check,
    /// Show what a template says with its sample, or with data of yours.
    #[command(
        after_help = "Example:\n  loa templates preview order.delayed --channel sms --locale vi"
    )]
    Preview(Wanted),
    /// Show how many SMS parts a text is, with and without accents.
    #[command(after_help = "Example:\n  loa templates sms \"Đơn hàng DH1 giao chậm\"")]
    Sms {
        /// The text.
        text: String,
    },
}

#[derive(Debug, Args)]
struct Wanted {
    /// The template's name.
    template: String,
    /// email, chat or sms.
    #[arg(long, default_value = "email")]
    channel: Channel,
    /// The recipient's language; the default one if none is given.
    #[arg(long)]
    locale: Option<String>,
    /// A file with the event's data as JSON, instead of the sample.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Print the HTML of an email, and nothing else.
    #[arg(long)]
    html: bool,
    /// Preview for someone of whom neither name nor manager is known.
    #[arg(long)]
    unknown: bool,
}

impl Templates {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Command::Sms { text } = &self.command {
            self.sms(text);
            return Ok(ExitCode::SUCCESS);
        }
        let (config, faults) = crate::config::read(&self.settings.sources());
        let rulebook = app::rulebook(&config).filter(|_| !faults.has_errors());
        let is_terminal = std::io::stderr().is_terminal();
        let rulebook = rulebook.ok_or_else(|| Failure::Wrong(faults.render(is_terminal)))?;
        match &self.command {
            Command::List => self.list(&rulebook),
            Command::Check => {
                let count = rulebook.templates.list().count();
                let only_read = rulebook.templates.only_read(&rulebook.catalogue);
                let value = json!({ "ok": true, "templates": count, "only_read": only_read });
                let told = format!("No faults: {}.", tried(&rulebook));
                super::print_as(self.output, &told, &value);
            }
            Command::Preview(wanted) => {
                self.preview(wanted, &rulebook, &config.defaults.locale)?;
            }
            Command::Sms { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    fn list(&self, rulebook: &Rulebook) {
        let templates = rulebook.templates.list();
        let rows: Vec<Vec<String>> = templates
            .map(|(name, locale, channel)| {
                vec![name.to_owned(), locale.to_owned(), channel.to_owned()]
            })
            .collect();
        if self.output == Output::Json {
            super::print_json(&json!({ "templates": rows }));
        } else {
            super::print_table(&["template", "language", "channel"], rows);
        }
    }

    fn preview(
        &self,
        wanted: &Wanted,
        rulebook: &Rulebook,
        default_locale: &str,
    ) -> Result<(), Failure> {
        let data = wanted.data.as_deref().map(read_data).transpose()?;
        let preview = Preview {
            template: &wanted.template,
            locale: wanted.locale.as_deref().unwrap_or(default_locale),
            channel: wanted.channel,
            category: rulebook.category_of(&wanted.template),
            data: data.as_ref(),
            is_known: !wanted.unknown,
        };
        let moment = (Dialect::CommonMark, Clock::system().now());
        let rendered = rulebook
            .templates
            .preview(&preview, &rulebook.letterhead, moment)
            .map_err(|fault| Failure::Wrong(fault.to_string()))?;
        match &rendered.message {
            message if self.output == Output::Json => {
                let version = rendered.template_version;
                super::print_json(&json!({ "message": message, "template_version": version }));
            }
            Message::Email(email) if wanted.html => super::print(&email.html),
            Message::Email(email) => {
                let from = email.from_name.as_deref().unwrap_or(&email.from);
                let subject = &email.subject;
                super::print(&format!("From: {from}\nSubject: {subject}\n\n{}", email.text));
            }
            Message::Chat(chat) => super::print(&chat.text),
            Message::Sms(message) => self.sms(&message.text),
        }
        Ok(())
    }

    fn sms(&self, text: &str) {
        let sms::Comparison { with_accents, without_accents } = sms::compare(text);
        if self.output == Output::Json {
            let found = json!({ "with_accents": with_accents, "without_accents": without_accents });
            return super::print_json(&found);
        }
        let rows = [with_accents, without_accents].map(|message| {
            vec![message.text, message.encoding.as_str().to_owned(), message.parts.to_string()]
        });
        super::print_table(&["text", "encoding", "parts"], rows.into());
    }
}

/// How many templates were tried, and how many of them could only be read.
pub(super) fn tried(rulebook: &Rulebook) -> String {
    let templates = &rulebook.templates;
    let count = templates.list().count();
    match templates.only_read(&rulebook.catalogue) {
        0 => format!("{count} templates"),
        read => format!(
            "{count} templates ({read} of them only read: no event type uses them, and they have no \
             sample)"
        ),
    }
}

fn read_data(path: &Path) -> Result<Value, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("{}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(format!("not JSON: {error}")))
}
