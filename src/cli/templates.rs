//! `loa templates`: what messages look like.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output, Settings};
use crate::render::sms;

/// List templates, and show what a message looks like.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  loa templates list\n  \
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
    List,
    /// Show how many SMS parts a text is, with and without accents.
    Sms {
        /// The text.
        text: String,
    },
}

impl Templates {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match &self.command {
            Command::List => {
                let config =
                    self.settings.load().map_err(|faults| Failure::Wrong(faults.to_string()))?;
                let templates =
                    crate::render::Templates::load(&config.templates, &config.defaults.locale)
                        .map_err(|faults| {
                            let lines: Vec<String> =
                                faults.iter().map(ToString::to_string).collect();
                            Failure::Wrong(lines.join("\n"))
                        })?;
                let rows: Vec<Vec<String>> = templates
                    .list()
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
            Command::Sms { text } => {
                let row = |text: &str| {
                    let sms = sms::encode(text);
                    let encoding = sms.encoding.as_str().to_owned();
                    vec![sms.text, encoding, sms.parts.to_string()]
                };
                let rows = vec![row(text), row(&sms::strip_diacritics(text))];
                super::print_table(&["text", "encoding", "parts"], rows);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
