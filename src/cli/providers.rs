//! `loa providers`: how they do, held, released and tested; and which kinds there are.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::client::{Server, part};
use super::print::cell_in;
use super::{Failure, Output, cell};
use crate::provider;

/// See how providers do; hold, release and test them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  loa providers list\n  loa providers hold relay --reason incident"
)]
pub(super) struct Providers {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List providers with their pace, breaker and hold.
    #[command(after_help = "Example:\n  loa providers list")]
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Stop calling one until it is released.
    #[command(after_help = "Example:\n  loa providers hold relay --reason incident")]
    Hold {
        /// The provider.
        name: String,
        /// Why.
        #[arg(long, default_value = "held by an operator")]
        reason: String,
        #[command(flatten)]
        server: Server,
    },
    /// Send one test message, and show what was answered.
    #[command(after_help = "Example:\n  loa providers test relay --to me@us.example")]
    Test {
        /// The provider; it is tested even while it is on hold.
        name: String,
        /// An email address, a phone number, or the id or URL of a chat; by default the chat that
        /// the provider itself names.
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Print the handbook of all kinds: their settings, and what their answers mean.
    #[command(after_help = "Example:\n  loa providers kinds")]
    Kinds {
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// End a hold.
    #[command(after_help = "Example:\n  loa providers release relay")]
    Release {
        /// The provider.
        name: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Providers {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::List { server } => {
                let mut answer = server.connect()?.get("/v1/providers", &[]).await?;
                if server.output == Output::Text {
                    let zone = server.zone();
                    for row in answer["providers"].as_array_mut().into_iter().flatten() {
                        row["on hold"] = json!(held(&row["hold"], &zone));
                        if !row["opens_at"].is_null() {
                            let until = cell_in(&zone, row, "opens_at");
                            row["breaker"] =
                                json!(format!("{} until {until}", cell(row, "breaker")));
                        }
                    }
                }
                let columns = ["name", "on hold", "breaker", "kind", "rate", "concurrency"];
                super::print_list(&server, &answer, "providers", &columns);
                if server.output == Output::Text {
                    for cause in causes(&answer) {
                        super::print(&cause);
                    }
                }
            }
            Command::Hold { name, reason, server } => {
                let body = ("text/plain", reason.into_bytes());
                server
                    .connect()?
                    .post(&format!("/v1/providers/{}/hold", part(&name)), &[], body)
                    .await?;
                let value = json!({ "provider": name, "held": true });
                super::print_as(server.output, &format!("provider {name} is on hold"), &value);
            }
            Command::Release { name, server } => {
                let path = format!("/v1/providers/{}/release", part(&name));
                let body = ("text/plain", Vec::new());
                server.connect()?.post(&path, &[], body).await?;
                let value = json!({ "provider": name, "held": false });
                super::print_as(server.output, &format!("provider {name} is released"), &value);
            }
            Command::Test { name, to, server } => return test(&name, to, &server).await,
            Command::Kinds { output } => {
                super::print_as(output, provider::handbook().trim_end(), &kinds());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// By whom a provider is on hold, since when; nothing if it is not.
fn held(hold: &Value, zone: &TimeZone) -> String {
    if hold.is_null() {
        return String::new();
    }
    format!("by {} since {}", cell(hold, "held_by"), cell_in(zone, hold, "since"))
}

/// Why providers are on hold: a sentence each, which no column has room for.
fn causes(answer: &Value) -> Vec<String> {
    let all = answer["providers"].as_array().into_iter().flatten();
    let held = all.filter(|provider| !provider["hold"].is_null());
    held.map(|one| format!("{} is on hold: {}", cell(one, "name"), cell(&one["hold"], "reason")))
        .collect()
}

/// Sends a test message; anything but an acceptance is a failure.
async fn test(name: &str, to: Option<String>, server: &Server) -> Result<ExitCode, Failure> {
    let body = ("application/json", json!({ "to": to }).to_string().into_bytes());
    let answer =
        server.connect()?.post(&format!("/v1/providers/{}/test", part(name)), &[], body).await?;
    let outcome = cell(&answer, "outcome");
    super::print_as(server.output, &told(name, &answer), &answer);
    Ok(if outcome == "accepted" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every kind as programs read it.
fn kinds() -> Value {
    let kind = |kind: &&provider::Kind| {
        json!({
            "name": kind.name, "channels": kind.channels, "about": kind.about,
            "answers": kind.answers, "example": kind.example,
        })
    };
    json!({ "kinds": provider::KINDS.iter().map(kind).collect::<Vec<_>>() })
}

/// What came of a test message, in one sentence.
fn told(name: &str, answer: &Value) -> String {
    let (code, text) = (cell(answer, "code"), cell(answer, "answer"));
    let took = cell(answer, "took_ms");
    let said = [code.as_str(), text.as_str()].join(" ").trim().to_owned();
    let said = if said.is_empty() { "nothing".to_owned() } else { said };
    match (cell(answer, "outcome").as_str(), code.as_str()) {
        ("accepted", "captured") => {
            format!("provider {name} was not called: {}", without_lead(&text))
        }
        ("accepted", _) => {
            format!("provider {name} took the test message within {took} ms and answered: {said}")
        }
        ("misconfigured", "not called") => format!(
            "provider {name} was not called: {text}; correct [providers.{name}] and start Loa again"
        ),
        ("misconfigured", _) => format!(
            "provider {name} is misconfigured: its gateway answered {said}; correct URL, \
             credentials or account in [providers.{name}] and start Loa again"
        ),
        ("bad_address", _) => {
            format!("provider {name} does not know this address; it answered: {said}")
        }
        (_, "not sent" | "not called") => {
            format!("no test message was sent by provider {name}: {}", without_lead(&text))
        }
        (_, "no connection") => {
            format!("provider {name} cannot be reached, so nothing was sent: {text}")
        }
        ("refused", _) => {
            format!("provider {name} refused the test message for good; it answered: {said}")
        }
        ("later", _) => {
            format!("provider {name} did not take the test message now; it answered: {said}")
        }
        (_, _) => format!(
            "nobody knows whether provider {name} sent the test message: after {took} ms: {said}"
        ),
    }
}

/// What was said behind the words that the sentence has already.
fn without_lead(text: &str) -> &str {
    text.strip_prefix("not sent: ").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_one_is_on_hold_is_told_whole_below_the_table() {
        let hold = json!({ "reason": "misconfigured: …", "held_by": "loa",
                           "since": "2026-03-02T01:00:00Z" });
        let answer =
            json!({ "providers": [{ "name": "relay", "hold": hold }, { "name": "texts" }] });

        let told = held(&answer["providers"][0]["hold"], &TimeZone::UTC);

        assert_eq!(told, "by loa since 2026-03-02 01:00:00 UTC");
        assert_eq!(held(&answer["providers"][1]["hold"], &TimeZone::UTC), "");
        assert_eq!(causes(&answer), ["relay is on hold: misconfigured: …"]);
    }

    #[test]
    fn each_outcome_of_a_test_message_is_one_sentence() {
        let of = |outcome: &str, code: Value, text: &str| {
            let answer = json!({ "outcome": outcome, "code": code, "answer": text, "took_ms": 12 });
            told("relay", &answer)
        };

        let sentences = [
            of("accepted", json!("250"), "2.0.0 queued as 4711"),
            of("accepted", json!("200"), ""),
            of("accepted", json!("captured"), "not sent: the address is not in send.only_to"),
            of("misconfigured", json!("not called"), "the URL cannot be read"),
            of("misconfigured", json!("401"), "invalid_token"),
            of("bad_address", json!("550 5.1.1"), "no such user"),
            of("refused", json!("not sent"), "the message has no text"),
            of("refused", json!("not called"), "the host is at a private address"),
            of("refused", json!("554"), "spam"),
            of("later", json!("not sent"), "not sent: no slot was free in this time"),
            of("later", json!("no connection"), "connection refused"),
            of("later", json!("429"), "slow down"),
            of("unknown", json!("cut"), "connection closed before message completed"),
            of("unknown", Value::Null, "it did not answer in this time"),
        ];

        insta::assert_snapshot!(sentences.join("\n"));
    }
}
