//! The API's own document (OpenAPI 3.1), made of the routes as they are declared.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::routes::{Declared, Takes};
use super::shapes::{Kind, Member};

/// The objects that have names of their own, by name.
type Schemas = BTreeMap<String, Value>;

/// The document of all routes.
pub(super) fn document(declared: &[Declared]) -> Value {
    let mut schemas = Schemas::new();
    schemas.insert("Problem".to_owned(), problem());
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in declared {
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(method, operation(route, &mut schemas));
    }
    let refusal = json!({
        "description": "Refused; `detail` says why and what to do (RFC 9457).",
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Loa", "version": "1",
            "description": "Business events in; messages that partners really receive, and the \
                            proof of each. Each operation names the scope that a key needs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Refusal": refusal },
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer",
                         "description": "A key that `loa keys create` made." },
            },
        },
    })
}

fn operation(route: &Declared, schemas: &mut Schemas) -> Value {
    let (status, members) = route.gives;
    let mut answer = json!({ "description": route.says });
    if !members.is_empty() {
        answer["content"] = json!({ "application/json": { "schema": object(members, schemas) } });
    }
    let in_path = names_in(route.path).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = route.query.iter().map(|parameter| json!(parameter));
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.path.split('/').nth(2).unwrap_or_default()],
        "summary": route.says,
        "security": [{ "key": [route.scope.as_str()] }],
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": {
            status.to_string(): answer,
            "default": { "$ref": "#/components/responses/Refusal" },
        },
    });
    match &route.takes {
        Takes::Nothing => {}
        Takes::Json { name, schemas: taken } => {
            schemas.extend(taken.iter().map(|(name, schema)| (name.clone(), json!(schema))));
            let content = json!({ "application/json": { "schema": reference(name) } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        Takes::Anything { says, media_types } => {
            let any = |kind: &&str| ((*kind).to_owned(), json!({ "schema": {} }));
            let content: Map<_, _> = media_types.iter().map(any).collect();
            operation["requestBody"] = json!({ "description": says, "content": content });
        }
    }
    operation
}

/// `get_deliveries_id` for `GET /v1/deliveries/{id}`.
fn operation_id(route: &Declared) -> String {
    let words = route.path.split(['/', '{', '}', '-']).filter(|word| !word.is_empty()).skip(1);
    let method = route.method.as_str().to_ascii_lowercase();
    words.fold(method, |id, word| format!("{id}_{word}"))
}

/// The names in braces of a path.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn object(members: &[Member], schemas: &mut Schemas) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, kind, says) in members {
        let plain = name.strip_suffix('?');
        let mut schema = schema(*kind, schemas);
        if plain.is_none() {
            required.push(*name);
        } else if let Some(kind) = schema.get("type").cloned() {
            schema["type"] = json!([kind, "null"]);
        } else {
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        schema["description"] = json!(says);
        properties.insert(plain.unwrap_or(name).to_owned(), schema);
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

fn schema(kind: Kind, schemas: &mut Schemas) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Count => json!({ "type": "integer" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Object => json!({ "type": "object" }),
        Kind::One(shape) => {
            // An object may hold others of its own sort; it is entered before they are looked at.
            if !schemas.contains_key(shape.name) {
                schemas.insert(shape.name.to_owned(), Value::Null);
                let found = object(shape.members, schemas);
                schemas.insert(shape.name.to_owned(), found);
            }
            reference(shape.name)
        }
        Kind::Many(shape) => {
            json!({ "type": "array", "items": schema(Kind::One(shape), schemas) })
        }
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "what is wrong and what to do" },
            "pointer": { "type": ["string", "null"], "description": "the place of the fault" },
            "scope": { "type": "string", "description": "the scope that the key lacks" },
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
