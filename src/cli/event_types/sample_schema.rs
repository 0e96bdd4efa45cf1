//! The schema that one sample suggests: types, what is required, formats.

use serde_json::{Map, Value, json};

use crate::model::schema;

/// A JSON Schema that `sample` meets. All that the sample has is required, but what is null there.
pub(super) fn infer(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) => {
            let kind = if number.is_f64() { "number" } else { "integer" };
            json!({ "type": kind, "examples": [sample] })
        }
        Value::String(text) => string(text),
        Value::Array(items) => {
            let merged = items.iter().map(infer).reduce(|one, other| merge(&one, &other));
            match merged {
                Some(items) => json!({ "type": "array", "items": items }),
                None => json!({ "type": "array" }),
            }
        }
        Value::Object(members) => {
            let known = members.iter().filter(|(_, value)| !value.is_null());
            let required: Vec<&String> = known.map(|(name, _)| name).collect();
            let properties = members.iter().map(|(name, value)| (name.clone(), infer(value)));
            let properties: Map<String, Value> = properties.collect();
            json!({ "type": "object", "required": required, "properties": properties })
        }
    }
}

fn string(text: &str) -> Value {
    let mut schema = json!({ "type": "string" });
    if !text.is_empty() {
        schema["minLength"] = json!(1);
        schema["examples"] = json!([text]);
    }
    let formats = ["date", "date-time", "email", "uri", "uuid"];
    if let Some(format) = formats.into_iter().find(|format| has_format(text, format)) {
        schema["format"] = json!(format);
    }
    schema
}

/// Whether the validator that will check events sees this format in `text`.
fn has_format(text: &str, format: &str) -> bool {
    // "note: tomorrow" is a URI too, by the letter.
    if format == "uri" && !text.contains("://") {
        return false;
    }
    let schema = json!({ "format": format });
    schema::compile(&schema).is_ok_and(|validator| validator.is_valid(&json!(text)))
}

/// A schema that whatever meets one of the two meets, as far as this can be said simply.
fn merge(one: &Value, other: &Value) -> Value {
    let kind = |schema: &Value| schema["type"].as_str().map(str::to_owned);
    match (kind(one).as_deref(), kind(other).as_deref()) {
        (Some("object"), Some("object")) => merge_objects(one, other),
        (Some("array"), Some("array")) => match (one.get("items"), other.get("items")) {
            (Some(one), Some(other)) => json!({ "type": "array", "items": merge(one, other) }),
            (Some(items), None) | (None, Some(items)) => json!({ "type": "array", "items": items }),
            (None, None) => json!({ "type": "array" }),
        },
        (Some("integer" | "number"), Some("integer" | "number"))
            if one["type"] != other["type"] =>
        {
            json!({ "type": "number", "examples": one["examples"] })
        }
        (Some(kind), Some(same)) if kind == same => {
            let mut merged = one.clone();
            for keyword in ["format", "minLength"] {
                if one.get(keyword) != other.get(keyword)
                    && let Some(merged) = merged.as_object_mut()
                {
                    merged.remove(keyword);
                }
            }
            merged
        }
        _ => json!({}),
    }
}

fn merge_objects(one: &Value, other: &Value) -> Value {
    let members = |schema: &Value| schema["properties"].as_object().cloned().unwrap_or_default();
    let mut properties = members(one);
    for (name, schema) in members(other) {
        let merged = properties.get(&name).map(|known| merge(known, &schema));
        properties.insert(name, merged.unwrap_or(schema));
    }
    let empty = Vec::new();
    let required = |schema: &'_ Value| schema["required"].as_array().unwrap_or(&empty).clone();
    let others = required(other);
    let both: Vec<_> = required(one).into_iter().filter(|name| others.contains(name)).collect();
    json!({ "type": "object", "required": both, "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_seen_and_null_is_not_required() {
        let schema = infer(&json!({
            "on": "2026-12-04", "at": "2026-12-04T17:00:00+07:00", "who": "lan@example.test",
            "url": "https://example.test/x", "note": "see: below", "count": 3, "amount": 1.5,
            "gone": null, "urgent": true
        }));

        let of = |name: &str| schema["properties"][name].clone();
        assert_eq!(of("on")["format"], "date");
        assert_eq!(of("at")["format"], "date-time");
        assert_eq!(of("who")["format"], "email");
        assert_eq!(of("url")["format"], "uri");
        assert_eq!(of("note").get("format"), None);
        assert_eq!(of("count")["type"], "integer");
        assert_eq!(of("amount")["type"], "number");
        assert_eq!(of("gone"), json!({}));
        assert!(!schema["required"].as_array().unwrap().contains(&json!("gone")));
    }

    #[test]
    fn of_the_items_of_a_list_only_what_all_have_is_required() {
        let schema = infer(&json!([{ "a": 1, "b": "x" }, { "a": 1.5, "c": true }, { "a": 2 }]));

        let item = &schema["items"];
        assert_eq!(item["required"], json!(["a"]));
        assert_eq!(item["properties"]["a"]["type"], "number");
        assert_eq!(item["properties"]["b"]["type"], "string");
    }

    #[test]
    fn what_a_sample_suggests_the_sample_meets() {
        let samples = [
            json!({ "list": [1, "two", null], "none": [], "deep": { "a": [[1], []] } }),
            json!({ "text": "", "number": -0.5, "many": [{ "a": null }, { "a": 1 }] }),
        ];
        for sample in samples {
            let validator = jsonschema::draft202012::new(&infer(&sample)).unwrap();
            assert!(validator.is_valid(&sample), "{sample}: {}", infer(&sample));
        }
    }
}
