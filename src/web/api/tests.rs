//! The list of routes, and the document that is made of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn whole() -> Value {
    let (_, declared) = routes().finish();
    document::document(&declared)
}

/// Every operation with its path.
fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().values().map(move |operation| (path.as_str(), operation))
    });
    methods.collect()
}

/// Every reference below `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_list_of_routes_is_the_only_way_into_the_api() {
    let (_, declared) = routes().finish();

    for (index, route) in declared.iter().enumerate() {
        let (method, path) = (&route.method, route.path);
        assert!(path.starts_with("/v1/"), "{path}");
        let is_twin = |other: &routes::Declared| other.path == path && other.method == *method;
        assert!(!declared[..index].iter().any(is_twin), "{method} {path} is declared twice");
        assert!(!route.says.is_empty(), "say what {method} {path} does, by `.says()`");
        let is_told = route.gives.0 == 204 || !route.gives.1.is_empty();
        assert!(is_told, "say what {method} {path} answers, by `.says()`");
    }
    // A route beside the list would need no scope and be in no document.
    assert!(!include_str!("../../web.rs").contains("\"/v1/"), "declare it in web/api.rs");
}

#[test]
fn the_document_holds_together() {
    let document = whole();

    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for (path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}: {operation}");
        let parameters = operation["parameters"].as_array().unwrap();
        let mut names = BTreeSet::new();
        for parameter in parameters {
            let (name, place) = (&parameter["name"], parameter["in"].as_str().unwrap());
            assert!(names.insert((name.as_str().unwrap(), place)), "{path}: {name} twice");
            assert!(parameter["schema"].is_object(), "{path}: {parameter}");
        }
        let in_path = names.iter().filter(|(_, place)| *place == "path");
        let in_path: BTreeSet<_> = in_path.map(|(name, _)| format!("{{{name}}}")).collect();
        let braces = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned);
        assert_eq!(in_path, braces.collect(), "{path}");
        for answer in operation["responses"].as_object().unwrap().values() {
            assert!(answer["description"].is_string() || answer["$ref"].is_string(), "{path}");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}: {schema}");
    }
}

#[test]
fn the_document_is_as_it_was_agreed() {
    insta::assert_json_snapshot!(whole());
}
