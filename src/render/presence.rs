//! Whether a variable of a template is always there, by the schema of the data.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::text::Step;

/// How deep references of a schema are followed.
const MAX_REFERENCES: usize = 16;

/// What a schema says of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is always there, given what is known at that place.
    Always,
    /// The variable of this many steps, on the way, may be missing.
    Maybe(usize),
    /// The schema knows no variable of this many steps.
    Unknown(usize),
}

/// What templates see beside the event's data.
static SURROUNDINGS: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "required": ["recipient", "company", "event", "locale", "time_zone", "now", "subject",
            "preheader"],
        "properties": {
            "recipient": { "properties": {
                "name": {}, "duty": {}, "partner_name": {}, "tier": {}, "manager": {
                    "$ref": "#/$defs/manager"
                } } },
            "manager": { "$ref": "#/$defs/manager" },
            "company": {
                "required": ["name"],
                "properties": { "name": {}, "address": {}, "phone": {} }
            },
            "event": {
                "required": ["type", "id", "time"],
                "properties": { "type": {}, "id": {}, "time": {}, "business_key": {} }
            },
            "locale": {}, "time_zone": {}, "now": {}, "unsubscribe_url": {},
            "subject": {}, "preheader": {}
        },
        "$defs": { "manager": {
            "required": ["name"],
            "properties": { "name": {}, "email": {}, "phone": {}, "signature": {} }
        } }
    })
});

/// What the schema of an event's data says of the variable at `path`, where `given` is there.
pub(super) fn presence(schema: &Value, path: &[Step], given: &[Vec<Step>]) -> Presence {
    let is_data = matches!(path.first(), Some(Step::Member(name)) if name == "data");
    let (root, skipped) = if is_data { (schema, 1) } else { (&*SURROUNDINGS, 0) };
    let mut schemas = vec![root];
    for (index, step) in path.iter().enumerate().skip(skipped) {
        let length = index + 1;
        let way = path.get(..length).unwrap_or(path);
        let nodes: Vec<_> = schemas.iter().flat_map(|node| flat(root, node, 0)).collect();
        match step {
            Step::Member(name) => {
                let children = members(&nodes, name);
                if children.is_empty() {
                    let is_open = nodes.iter().all(|node| is_open(node));
                    return if is_open { Presence::Always } else { Presence::Unknown(length) };
                }
                let is_given = given.iter().any(|given| given.starts_with(way));
                let is_required = schemas.iter().any(|node| requires(root, node, name, 0));
                let may_be_null = children.iter().any(|child| may_be_null(root, child));
                if !is_given && (!is_required || may_be_null) {
                    return Presence::Maybe(length);
                }
                schemas = children;
            }
            Step::Item | Step::Entry => {
                schemas = nodes.into_iter().flat_map(contents).collect();
            }
        }
    }
    Presence::Always
}

/// A schema and all that it includes: references, `allOf`, and every alternative.
fn flat<'a>(root: &'a Value, node: &'a Value, depth: usize) -> Vec<&'a Value> {
    let mut found = vec![node];
    if depth >= MAX_REFERENCES {
        return found;
    }
    if let Some(target) = target(root, node) {
        found.extend(flat(root, target, depth + 1));
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for branch in node.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            found.extend(flat(root, branch, depth + 1));
        }
    }
    found
}

/// What a `$ref` leads to.
fn target<'a>(root: &'a Value, node: &Value) -> Option<&'a Value> {
    let pointer = node.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}

/// The schemas of the member `name`.
fn members<'a>(nodes: &[&'a Value], name: &str) -> Vec<&'a Value> {
    let own = nodes.iter().filter_map(|node| node.get("properties")?.get(name));
    let own: Vec<_> = own.collect();
    if !own.is_empty() {
        return own;
    }
    let others = nodes.iter().filter_map(|node| node.get("additionalProperties"));
    others.filter(|others| others.is_object()).collect()
}

/// Whether whatever meets the schema has the member `name`.
fn requires(root: &Value, node: &Value, name: &str, depth: usize) -> bool {
    if depth >= MAX_REFERENCES {
        return false;
    }
    let list = |keyword: &str| node.get(keyword).and_then(Value::as_array);
    let below = |branch: &Value| requires(root, branch, name, depth + 1);
    list("required").is_some_and(|names| names.iter().any(|known| known == name))
        || target(root, node).is_some_and(below)
        || list("allOf").is_some_and(|branches| branches.iter().any(below))
        || list("anyOf").is_some_and(|branches| branches.iter().all(below))
        || list("oneOf").is_some_and(|branches| branches.iter().all(below))
}

fn may_be_null(root: &Value, node: &Value) -> bool {
    flat(root, node, 0).into_iter().any(|node| match node.get("type") {
        Some(Value::Array(types)) => types.iter().any(|kind| kind == "null"),
        Some(kind) => kind == "null",
        None => false,
    })
}

/// Whether a schema says nothing about members.
fn is_open(node: &Value) -> bool {
    ["properties", "type", "additionalProperties", "items"]
        .into_iter()
        .all(|keyword| node.get(keyword).is_none())
}

/// The schemas of items or entries.
fn contents(node: &Value) -> Vec<&Value> {
    let single = ["items", "additionalProperties"].into_iter();
    let single = single.filter_map(|keyword| node.get(keyword)).filter(|schema| schema.is_object());
    let listed = ["properties", "patternProperties"].into_iter();
    let listed = listed.filter_map(|keyword| node.get(keyword)?.as_object());
    single.chain(listed.flat_map(|members| members.values())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Step> {
        let step = |name: &str| match name {
            "[]" => Step::Item,
            "*" => Step::Entry,
            name => Step::Member(name.to_owned()),
        };
        text.split('.').map(step).collect()
    }

    fn of(text: &str, given: &[&str]) -> Presence {
        let schema = json!({
            "required": ["id", "lines", "texts"],
            "properties": {
                "id": {},
                "note": { "type": "string" },
                "either": { "type": ["string", "null"] },
                "lines": { "items": { "$ref": "#/$defs/line" } },
                "texts": { "additionalProperties": { "type": "string" } },
                "who": { "anyOf": [
                    { "required": ["a", "b"], "properties": { "a": {}, "b": {} } },
                    { "required": ["a"], "properties": { "a": {} } }
                ] },
                "any": {}
            },
            "$defs": { "line": {
                "required": ["name"],
                "properties": { "name": {}, "amount": {} }
            } }
        });
        let given: Vec<_> = given.iter().map(|given| path(given)).collect();
        presence(&schema, &path(text), &given)
    }

    #[test]
    fn what_the_schema_requires_is_always_there() {
        for always in ["data.id", "data.lines.[].name", "data.texts.*", "company.name", "locale"] {
            assert_eq!(of(always, &[]), Presence::Always, "{always}");
        }
    }

    #[test]
    fn what_is_optional_must_be_given_by_a_block_around_it() {
        assert_eq!(of("data.note", &[]), Presence::Maybe(2));
        assert_eq!(of("data.note", &["data.note"]), Presence::Always);
        assert_eq!(of("data.either", &[]), Presence::Maybe(2));
        assert_eq!(of("data.lines.[].amount", &["data.lines"]), Presence::Maybe(4));
        assert_eq!(of("manager.name", &[]), Presence::Maybe(1));
        assert_eq!(of("manager.name", &["manager.name"]), Presence::Always);
        assert_eq!(of("manager.phone", &["manager.name"]), Presence::Maybe(2));
    }

    #[test]
    fn an_alternative_requires_only_for_itself() {
        assert_eq!(of("data.who.a", &["data.who"]), Presence::Always);
        assert_eq!(of("data.who.b", &["data.who"]), Presence::Maybe(3));
    }

    #[test]
    fn a_name_that_the_schema_does_not_have_is_unknown() {
        assert_eq!(of("data.nope", &[]), Presence::Unknown(2));
        assert_eq!(of("recipent.name", &[]), Presence::Unknown(1));
        assert_eq!(of("data.any.thing", &["data.any"]), Presence::Always);
    }
}
