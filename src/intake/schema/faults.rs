//! Where a value does not fit, and what was expected there; of alternatives (`anyOf`, `oneOf`) by
//! the nearest.

use std::cmp::Reverse;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// How many characters of one fault are told.
const MESSAGE: usize = 300;
/// How many values of an `enum` are told.
const VALUES: usize = 8;

/// One fault of a value.
pub(super) struct Fault {
    /// JSON pointer into the data.
    pub(super) pointer: String,
    says: Says,
    /// How many things are wrong there.
    weight: usize,
}

/// What is said of a fault: never the value itself, which may be personal and of any length.
enum Says {
    /// What would have fitted: one of these.
    Expected(Vec<String>),
    /// What is wrong, and what would have fitted in its stead if that can be said in short.
    Wrong(String, Option<String>),
}

impl Fault {
    /// The fault in words, of bounded length.
    pub(super) fn message(&self) -> String {
        let text = match &self.says {
            Says::Expected(alternatives) => format!("expected {}", either(alternatives)),
            Says::Wrong(text, _) => text.clone(),
        };
        text.chars().take(MESSAGE).collect()
    }

    fn of(error: &ValidationError<'_>) -> Self {
        let wrong = || error.masked_with("the value").to_string();
        let says = match (expected(error.kind()), error.kind()) {
            (Some(expected), Kind::Format { .. }) => Says::Expected(vec![expected]),
            (expected, _) => Says::Wrong(wrong(), expected),
        };
        let weight = if let Kind::AdditionalProperties { unexpected } = error.kind() {
            unexpected.len()
        } else {
            1
        };
        Self { pointer: error.instance_path().to_string(), says, weight }
    }

    /// How far into the data it stands.
    fn depth(&self) -> usize {
        self.pointer.matches('/').count()
    }

    /// What would have fitted in its stead, in short.
    fn alternatives(self) -> Vec<String> {
        match self.says {
            Says::Expected(alternatives) => alternatives,
            Says::Wrong(_, Some(expected)) => vec![expected],
            Says::Wrong(text, None) => vec![format!("something else ({text})")],
        }
    }
}

/// The faults that an error stands for: its own, or those of the nearest of its branches.
pub(super) fn faults(error: &ValidationError<'_>) -> Vec<Fault> {
    let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = error.kind() else {
        return vec![Fault::of(error)];
    };
    let mut branches: Vec<Vec<&ValidationError<'_>>> =
        context.iter().map(|branch| branch.iter().collect()).collect();
    branches.retain(|branch| !branch.is_empty());
    // A value of another type, or that says itself to be of another kind, is not meant for a
    // branch.
    let place = error.instance_path();
    let is_of_other_type = |error: &ValidationError<'_>| {
        matches!(error.kind(), Kind::Type { .. }) && error.instance_path() == place
    };
    let is_of_other_kind =
        |error: &ValidationError<'_>| matches!(error.kind(), Kind::Constant { .. });
    keep_meant(&mut branches, is_of_other_type);
    keep_meant(&mut branches, is_of_other_kind);
    let told: Vec<Vec<Fault>> = branches
        .iter()
        .map(|branch| branch.iter().flat_map(|error| faults(error)).collect())
        .collect();
    match nearest(told) {
        nearest if nearest.is_empty() => vec![Fault::of(error)],
        nearest => nearest,
    }
}

/// Leaves only the branches without an error such as `strikes`; if all have one, only those errors.
fn keep_meant<E>(branches: &mut Vec<Vec<&E>>, strikes: impl Fn(&E) -> bool) {
    let is_meant = |branch: &Vec<&E>| !branch.iter().any(|error| strikes(error));
    if branches.iter().any(is_meant) {
        branches.retain(is_meant);
        return;
    }
    for branch in branches {
        branch.retain(|error| strikes(error));
    }
}

/// The faults of the branch that gets furthest; of several that fail at one value, what each
/// expects.
fn nearest(branches: Vec<Vec<Fault>>) -> Vec<Fault> {
    let reach = |branch: &Vec<Fault>| {
        let weight: usize = branch.iter().map(|fault| fault.weight).sum();
        (branch.iter().map(Fault::depth).min(), Reverse(weight))
    };
    let furthest = branches.iter().map(reach).max();
    let mut left = branches.into_iter().filter(|branch| Some(reach(branch)) == furthest);
    let Some(first) = left.next() else { return Vec::new() };
    let left: Vec<_> = left.collect();
    let [Fault { pointer, .. }] = &first[..] else { return first };
    let is_there = |branch: &Vec<Fault>| matches!(&branch[..], [one] if one.pointer == *pointer);
    if left.is_empty() || !left.iter().all(is_there) {
        return first;
    }
    let pointer = pointer.clone();
    let mut expected: Vec<String> = Vec::new();
    for fault in [first].into_iter().chain(left).flatten() {
        for alternative in fault.alternatives() {
            if !expected.contains(&alternative) {
                expected.push(alternative);
            }
        }
    }
    vec![Fault { pointer, says: Says::Expected(expected), weight: 1 }]
}

/// What would have fitted, if a few words say it.
fn expected(kind: &Kind) -> Option<String> {
    if let Kind::Format { format } = kind {
        return Some(match format.as_str() {
            "date" => "a date such as 2026-12-03".to_owned(),
            "date-time" => "a date and time such as 2026-12-03T17:00:00+07:00".to_owned(),
            "email" => "an email address such as name@example.com".to_owned(),
            "uri" => "a URL such as https://example.com/page".to_owned(),
            other => format!("text of the format `{other}`"),
        });
    }
    if let Kind::Type { kind } = kind {
        return Some(match kind {
            TypeKind::Single(one) => with_article(one.as_str()),
            TypeKind::Multiple(types) => {
                either(&types.iter().map(|one| with_article(one.as_str())).collect::<Vec<_>>())
            }
        });
    }
    if let Kind::Required { property: Value::String(name) } = kind {
        return Some(format!("`{name}`"));
    }
    if let Kind::Constant { expected_value } = kind {
        return Some(expected_value.to_string());
    }
    let Kind::Enum { options } = kind else { return None };
    let options = options.as_array()?.iter().take(VALUES).map(Value::to_string);
    Some(either(&options.collect::<Vec<_>>()))
}

fn with_article(word: &str) -> String {
    match word {
        "null" => word.to_owned(),
        _ if word.starts_with(['a', 'i', 'o']) => format!("an {word}"),
        _ => format!("a {word}"),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn either(alternatives: &[String]) -> String {
    match alternatives {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}
