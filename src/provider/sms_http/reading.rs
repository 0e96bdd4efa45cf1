//! What an SMS gateway's answer means: by its codes, then by the HTTP status.

use std::collections::BTreeMap;

use serde_json::Value;

use super::place::{EXPECTED, Place};
use crate::config::Section;
use crate::model::outcome::{Answer, Obstacle, Outcome, Verdict};
use crate::provider::gateway::Reply;

/// The longest first word that is taken for a code, in bytes.
const MAX_WORD: usize = 32;

/// Where an answer says what, and what that means.
#[derive(Debug, Default)]
pub(super) struct Reading {
    id_at: Option<Place>,
    code_at: Option<Place>,
    error_at: Option<Place>,
    /// The meaning of each code that is listed.
    codes: BTreeMap<String, Meaning>,
    /// The meaning of statuses (`404`) and classes of them (`4xx`) that are listed.
    statuses: BTreeMap<String, Meaning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Ok,
    Later,
    Refused,
    BadAddress,
    Misconfigured,
}

/// The names of the lists; a duplicate was accepted before.
const MEANINGS: [(&str, Meaning); 6] = [
    ("ok", Meaning::Ok),
    ("duplicate", Meaning::Ok),
    ("later", Meaning::Later),
    ("refused", Meaning::Refused),
    ("bad_address", Meaning::BadAddress),
    ("misconfigured", Meaning::Misconfigured),
];

impl Reading {
    /// Reads the provider's settings; what is wrong with them goes to the section.
    pub(super) fn read(section: &Section) -> Self {
        let statuses = meanings(section, "statuses");
        for status in statuses.keys().filter(|status| !is_status(status)) {
            let what = format!("`{status}` is no HTTP status");
            section.fault(
                "statuses",
                what,
                "write one such as \"404\", or a class such as \"4xx\"",
            );
        }
        Self {
            id_at: section.parsed("id_at", EXPECTED),
            code_at: section.parsed("code_at", EXPECTED),
            error_at: section.parsed("error_at", EXPECTED),
            codes: meanings(section, "codes"),
            statuses,
        }
    }

    /// What the gateway made of a message.
    pub(super) fn outcome(&self, reply: &Reply) -> Outcome {
        let json: Value = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        let find = |place: &Place| place.find(&reply.body, &json);
        let code = match &self.code_at {
            Some(place) => find(place),
            None => find(&Place::Word(1)).filter(|word| word.len() <= MAX_WORD),
        };
        let verdict = match self.meaning(reply, code.as_deref()) {
            Some(Meaning::Ok) => {
                Verdict::Accepted { message_id: self.id_at.as_ref().and_then(find) }
            }
            Some(Meaning::Later) => {
                Verdict::Later { after: reply.retry_after, obstacle: Obstacle::Call }
            }
            Some(Meaning::Refused) => Verdict::Refused,
            Some(Meaning::BadAddress) => Verdict::BadAddress,
            Some(Meaning::Misconfigured) => Verdict::Misconfigured,
            None if reply.is_cut_off_success() => Verdict::Unknown,
            None => reply.verdict(),
        };
        let status = reply.status.as_u16();
        let words = self.error_at.as_ref().and_then(find).unwrap_or_else(|| reply.body.clone());
        let code = code.map_or(status.to_string(), |code| format!("{status} {code}"));
        Outcome { verdict, answer: Answer::new(Some(code), &words), captured: None }
    }

    fn meaning(&self, reply: &Reply, code: Option<&str>) -> Option<Meaning> {
        if reply.is_cut_off_success() {
            // What could be read may be half of a code.
            return None;
        }
        let status = reply.status.as_u16();
        let class = format!("{}xx", status / 100);
        let of_status = self.statuses.get(&status.to_string());
        let of_status = of_status.or_else(|| self.statuses.get(&class)).copied();
        let is_success = of_status.map_or(reply.status.is_success(), |said| said == Meaning::Ok);
        let of_code = code.and_then(|code| self.codes.get(code)).copied();
        // A page of a proxy may begin with the word for success.
        let of_code = of_code.filter(|said| *said != Meaning::Ok || is_success);
        let has_ok = self.codes.values().any(|said| *said == Meaning::Ok);
        // A success that does not say what success is said to say.
        let unsaid = (is_success && has_ok).then_some(Meaning::Refused);
        of_code.or(unsaid).or(of_status).or(is_success.then_some(Meaning::Ok))
    }
}

fn meanings(section: &Section, key: &str) -> BTreeMap<String, Meaning> {
    let mut found = BTreeMap::new();
    let Some(table) = section.section(key) else { return found };
    for (name, meaning) in MEANINGS {
        for word in table.list(name).unwrap_or_default() {
            if found.insert(word.clone(), meaning).is_some_and(|other| other != meaning) {
                let what = format!("`{word}` stands in two lists");
                table.fault(name, what, "leave it in one of them");
            }
        }
    }
    table.finish();
    found
}

fn is_status(text: &str) -> bool {
    let class = text.strip_suffix("xx").unwrap_or(text);
    let is_number = class.bytes().all(|byte| byte.is_ascii_digit());
    let begins_well = text.starts_with(['2', '3', '4', '5']);
    is_number && begins_well && text.len() == 3 && [1, 3].contains(&class.len())
}

#[cfg(test)]
mod tests;
