//! The catalogue file of a new event type, as a first draft for a person to read.

use serde_json::Value;

use crate::model::address::Channel;
use crate::model::catalogue::{Category, Lane};

/// What is guessed of a new type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// Whether people must agree to it.
    pub(super) category: Category,
    /// How soon it must go.
    pub(super) lane: Lane,
    /// The number that people ask by.
    pub(super) business_key: Option<String>,
    /// Where the partner stands.
    pub(super) partner: Option<String>,
    /// Whether the event itself names people.
    pub(super) names_recipients: bool,
}

/// Words of a name that tell of advertising.
const MARKETING: [&str; 9] = [
    "promotion",
    "offer",
    "sale",
    "campaign",
    "newsletter",
    "discount",
    "voucher",
    "launched",
    "announced",
];
/// Words of a name that tell of something that cannot wait.
const URGENT: [&str; 10] = [
    "delayed",
    "late",
    "failed",
    "cancelled",
    "complaint",
    "alert",
    "outage",
    "recall",
    "blocked",
    "urgent",
];

impl Guess {
    /// What the name and a sample of the data suggest.
    pub(super) fn of(name: &str, sample: &Value) -> Self {
        let words: Vec<&str> = name.split(['.', '_', '-']).collect();
        let says = |list: &[&str]| words.iter().any(|word| list.contains(word));
        let category = match says(&MARKETING) {
            true => Category::Marketing,
            false => Category::Transactional,
        };
        let lane = match category {
            Category::Marketing => Lane::Bulk,
            Category::Transactional if says(&URGENT) => Lane::Urgent,
            Category::Transactional => Lane::Normal,
        };
        let partner = ["partner_id", "partner"].into_iter().find(|key| sample[key].is_string());
        Self {
            category,
            lane,
            business_key: business_key(words.first().copied().unwrap_or_default(), sample),
            partner: partner.map(str::to_owned),
            names_recipients: sample["recipients"].is_array(),
        }
    }
}

/// The member that looks like the number that people ask by.
fn business_key(subject: &str, sample: &Value) -> Option<String> {
    let members = sample.as_object()?;
    let is_number = |key: &str| {
        let names = ["id", "number", "code", "reference"];
        key.rsplit('_').next().is_some_and(|word| names.contains(&word))
    };
    let is_of_other = |key: &str| key.starts_with("partner") || key.starts_with("contact");
    let fits = members.iter().filter(|(key, value)| {
        (value.is_string() || value.is_u64()) && is_number(key) && !is_of_other(key)
    });
    let fits: Vec<&String> = fits.map(|(key, _)| key).collect();
    let own = fits.iter().find(|key| key.starts_with(subject));
    own.or_else(|| fits.first()).map(|key| (*key).clone())
}

/// The catalogue file; the step tells people by `channel`.
pub(super) fn file(name: &str, guess: &Guess, channel: Channel, schema: &Value) -> String {
    let Guess { category, lane, .. } = guess;
    let subject = sentence(name);
    let key = pointer_line("business_key", guess.business_key.as_deref(), "order_id");
    let partner = pointer_line("partner", guess.partner.as_deref(), "partner_id");
    let mut to = Vec::new();
    if guess.partner.is_some() {
        to.push("\"partner\"");
    }
    if guess.names_recipients {
        to.push("\"recipients\"");
    }
    if to.is_empty() {
        to.push("\"team:operators\"");
    }
    let (category, lane, to) = (category.as_str(), lane.as_str(), to.join(", "));
    let mut text = format!(
        r#"# {subject}. Drafted from one sample: read every line, then try `loa check`.

name = "{name}"
description = "{subject}: say in a sentence what has happened, and who is told."
# "transactional" for what someone waits for; "marketing" only reaches those who agreed to it.
category = "{category}"
# "urgent", "normal" or "bulk": what is due goes in this order.
lane = "{lane}"
# The number that people ask by, found in the data.
{key}
# The partner whom it is about, found in the data; "partner" and "manager" below need it.
{partner}
# Nothing is sent later than this after it was due.
expiry = "1 day"
# If nobody knows whether a message arrived: "retry" may send it twice, "hold" asks an operator.
on_unknown = "retry"

[[steps]]
name = "tell"
# Any of "recipients" (whom the data names), "partner", "partner:buyer", "manager", "superior",
# "team:operators", "segment:vip", "segment:/segment".
to = [{to}]
# Templates for email, chat and SMS are there.
channels = ["{channel}"]
# The next channel when the one before has failed, or was not sent in time:
# channels = ["email", "sms"]
# strategy = "fallback"
# fallback_after = "10min"
# Not at night, in the recipient's time zone:
# window = "Mon-Sat 08:00-18:00"

# A step that comes later, unless something else has happened by then.
# [[steps]]
# name = "escalate"
# to = ["superior"]
# channels = ["sms"]
# after = "4h"
# unless = ["{name}.resolved"]

# What the data must be (JSON Schema 2020-12). All that the sample had is required: take out of
# `required` what an event may lack, and add `additionalProperties = false` to refuse all else.
"#
    );
    text.push_str(&schema_text(schema));
    text
}

/// "visit.arranged" as a person would write it at the beginning of a line.
pub(super) fn sentence(name: &str) -> String {
    let words = name.replace(['.', '_', '-'], " ");
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

fn pointer_line(key: &str, member: Option<&str>, example: &str) -> String {
    match member {
        Some(member) => format!("{key} = {}", string(&format!("/{}", escaped(member)))),
        None => format!("# {key} = \"/{example}\""),
    }
}

/// A member's name as a step of a JSON pointer.
fn escaped(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

/// The schema as tables of TOML: one line a property.
fn schema_text(schema: &Value) -> String {
    let mut text = "[schema]\n".to_owned();
    for (key, value) in ranked(schema).into_iter().filter(|(key, _)| *key != "properties") {
        text.push_str(&format!("{} = {}\n", bare(key), inline(value)));
    }
    text.push_str("\n[schema.properties]\n");
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        text.push_str(&format!("{} = {}\n", bare(key), inline(value)));
    }
    text
}

/// In which order the keywords of a property are written.
const KEYWORDS: [&str; 7] =
    ["type", "format", "minLength", "required", "properties", "items", "examples"];

/// A value on one line; TOML has no null, and none comes here.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "{}".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(_) => {
            let members = ranked(value).into_iter();
            let members = members.map(|(key, value)| format!("{} = {}", bare(key), inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The members of a schema, in the order in which people read them.
fn ranked(schema: &Value) -> Vec<(&String, &Value)> {
    let rank = |key: &str| KEYWORDS.iter().position(|known| *known == key);
    let mut members: Vec<_> = schema.as_object().into_iter().flatten().collect();
    members.sort_by_key(|(key, _)| rank(key).unwrap_or(KEYWORDS.len()));
    members
}

fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn bare(key: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_plain) { key.to_owned() } else { string(key) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn name_and_data_tell_what_a_type_may_be() {
        let sample = json!({ "partner_id": "p", "visit_id": "V-1", "code": "x", "recipients": [] });

        let visit = Guess::of("visit.arranged", &sample);
        let sale = Guess::of("spring.sale", &json!({}));

        assert_eq!(visit.category, Category::Transactional);
        assert_eq!(visit.business_key.as_deref(), Some("visit_id"));
        assert_eq!(visit.partner.as_deref(), Some("partner_id"));
        assert!(visit.names_recipients);
        assert_eq!((sale.category, sale.lane), (Category::Marketing, Lane::Bulk));
        assert_eq!(Guess::of("visit.cancelled", &sample).lane, Lane::Urgent);
    }
}
