//! Reads the JSON Schema of an event type's data, and the pointers into that data.

use serde_json::Value;

use crate::config::{Place, Section, suggestion};

/// Reads `[schema]` and checks it against JSON Schema 2020-12; a missing one accepts anything.
pub(super) fn read(file: &Section) -> Value {
    let help = "add [schema] with type = \"object\", its properties and which of them are required";
    let Some(schema) = file.json("schema") else {
        file.faults().error(file.place().clone(), "`schema` is missing", help);
        return Value::Bool(true);
    };
    if !schema.is_object() {
        file.fault("schema", "`schema` is no table", help);
        return Value::Bool(true);
    }
    let meta = jsonschema::draft202012::meta::validator();
    let mut has_fault = false;
    for error in meta.iter_errors(&schema) {
        has_fault = true;
        let place = file.place_at("schema", error.instance_path().as_str());
        let what = format!("not JSON Schema: {error}");
        file.faults().error(place, what, "correct it as JSON Schema 2020-12 has it");
    }
    if !has_fault && let Err(error) = jsonschema::draft202012::new(&schema) {
        let place = file.place_at("schema", error.instance_path().as_str());
        let what = format!("this schema does not compile: {error}");
        file.faults().error(place, what, "correct it; references lead into this schema only");
    }
    schema
}

/// Reads a JSON pointer into data of `schema`.
pub(super) fn pointer(section: &Section, key: &str, schema: &Value) -> Option<String> {
    let expected = "a JSON pointer such as \"/order_id\"";
    let pointer =
        section.parsed_by(key, expected, |text| is_pointer(text).then(|| text.to_owned()))?;
    warn_if_unknown(section, &section.place_of(key), &pointer, schema);
    Some(pointer)
}

/// Reads a list of JSON pointers into data of `schema`.
pub(super) fn pointers(section: &Section, key: &str, schema: &Value) -> Vec<String> {
    let mut pointers = Vec::new();
    for (text, place) in section.placed_list(key).unwrap_or_default() {
        if is_pointer(&text) {
            warn_if_unknown(section, &place, &text, schema);
            pointers.push(text);
        } else {
            let help = "write a JSON pointer such as \"/order_id\"";
            section.faults().error(place, format!("`{text}` is no JSON pointer"), help);
        }
    }
    pointers
}

/// Whether a text is a JSON pointer (RFC 6901) to something below the top.
pub(super) fn is_pointer(text: &str) -> bool {
    let is_escaped = |step: &str| {
        let mut tail = step.split('~').skip(1);
        tail.all(|after| after.starts_with(['0', '1']))
    };
    text.starts_with('/') && text.split('/').all(is_escaped)
}

/// Warns if `schema` names the properties along `pointer` and one is not among them.
pub(super) fn warn_if_unknown(section: &Section, place: &Place, pointer: &str, schema: &Value) {
    let mut below = schema;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let is_open = ["$ref", "allOf", "anyOf", "oneOf", "patternProperties", "$dynamicRef"];
        let is_open = is_open.iter().any(|keyword| below.get(keyword).is_some());
        let Some(properties) = below.get("properties").and_then(Value::as_object) else { return };
        let Some(next) = properties.get(&step) else {
            if !is_open {
                let names: Vec<_> = properties.keys().map(String::as_str).collect();
                let what = format!("`{pointer}` leads to `{step}`, which the schema does not name");
                let help = suggestion::expected(&step, &names);
                section.faults().warning(place.clone(), what, help);
            }
            return;
        };
        below = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_begin_with_a_slash_and_escape_tildes() {
        for text in ["/order_id", "/a/0/b", "/a~1b", "/m~0n", "/"] {
            assert!(is_pointer(text), "{text}");
        }
        for text in ["", "order_id", "/a~2", "/a~"] {
            assert!(!is_pointer(text), "{text}");
        }
    }
}
