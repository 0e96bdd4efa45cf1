//! Templates for a new event type, to start from: plain, but they can be sent as they are.

use serde_json::Value;

use super::draft::{Guess, sentence};

/// The languages that templates are written in.
const LOCALES: [&str; 2] = ["vi", "en"];
/// The most facts that a message lists.
const MOST_FACTS: usize = 8;

/// One thing that a message says.
struct Fact {
    label: String,
    /// What prints it.
    value: String,
}

/// Every file of the type's messages, by its path below the templates' folder.
pub(super) fn files(name: &str, guess: &Guess, sample: &Value) -> Vec<(String, String)> {
    let folder = format!("messages/{name}");
    let mut files = vec![(format!("{folder}/sample.json"), format!("{sample:#}\n"))];
    let title = sentence(name);
    let key = guess.business_key.as_deref().filter(|key| is_plain(key));
    for locale in LOCALES {
        let facts = facts(sample, locale);
        let subject = match key {
            Some(key) => format!("{title}: {{{{data.{key}}}}}"),
            None => title.clone(),
        };
        let mut add = |file: &str, text| files.push((format!("{folder}/{locale}/{file}"), text));
        add("email.mjml", email(&title, &subject, &facts, locale));
        add("chat.md", chat(&subject, &facts));
        add("sms.txt", sms(&subject, locale));
    }
    files
}

/// What the sample says at its top that can be printed in a word or a number.
fn facts(sample: &Value, locale: &str) -> Vec<Fact> {
    let members = sample.as_object().into_iter().flatten();
    // A partner knows who it is.
    let told = members.filter(|(key, _)| is_plain(key) && !key.starts_with("partner"));
    let facts = told.filter_map(|(key, value)| {
        let value = print(key, value, locale)?;
        Some(Fact { label: sentence(key), value })
    });
    facts.take(MOST_FACTS).collect()
}

/// How a member is printed, if it can be in a line.
fn print(key: &str, value: &Value, locale: &str) -> Option<String> {
    // A day of the month comes first in Vietnamese.
    let style = if locale == "vi" { "short" } else { "long" };
    match value {
        Value::String(text) if is_date(text) => {
            Some(format!("{{{{date data.{key} \"{style}\"}}}}"))
        }
        Value::String(text) if text.contains("://") || text.len() > 200 => None,
        Value::String(_) => Some(format!("{{{{data.{key}}}}}")),
        Value::Number(_) if key.ends_with("id") => Some(format!("{{{{data.{key}}}}}")),
        Value::Number(_) => Some(format!("{{{{number data.{key}}}}}")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10
        || text.parse::<jiff::Timestamp>().is_ok()
}

/// Whether handlebars reads `key` as a name.
fn is_plain(key: &str) -> bool {
    let starts_well = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    starts_well && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn email(title: &str, subject: &str, facts: &[Fact], locale: &str) -> String {
    let row = |fact: &Fact| {
        format!("      <tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", fact.label, fact.value)
    };
    let rows: String = facts.iter().map(row).collect();
    let table = match rows.is_empty() {
        true => String::new(),
        false => format!("    <mj-table css-class=\"facts\">\n{rows}    </mj-table>\n"),
    };
    let preheader = match locale {
        "vi" => "Thông tin dành cho Quý khách.",
        _ => "What you need to know about it.",
    };
    format!(
        "---\nsubject = '{subject}'\npreheader = '{preheader}'\nlayout = \"default\"\n---\n\
         <mj-section>\n  <mj-column>\n    \
         <mj-text mj-class=\"headline\" css-class=\"headline\">{title}</mj-text>\n    \
         {{{{> greeting}}}}\n{table}    {{{{> signature}}}}\n  </mj-column>\n</mj-section>\n"
    )
}

fn chat(subject: &str, facts: &[Fact]) -> String {
    let line = |fact: &Fact| format!("- {}: {}\n", fact.label, fact.value);
    let lines: String = facts.iter().map(line).collect();
    format!("**{subject}**\n\n{lines}")
}

fn sms(subject: &str, locale: &str) -> String {
    match locale {
        "vi" => format!("{{{{company.name}}}} thông báo: {subject}.\n"),
        _ => format!("{{{{company.name}}}}: {subject}.\n"),
    }
}
