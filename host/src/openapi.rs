//! The operations API as an OpenAPI 3.1 document: one request, whose body is one of as many schemas as
//! there are operations; and the operations read back from it.

use serde_json::{Map, Value, json};

use crate::runtime::Operation;

/// Where the schemas of operations are, each below its operation's name.
const SCHEMAS: &str = "#/components/schemas/";
/// What OpenAPI has no place for.
const EXTENSION: &str = "x-harper";

/// The document of an API with these operations.
pub fn document(operations: &[Operation]) -> Value {
    let reference = |operation: &Operation| format!("{SCHEMAS}{}", operation.name);
    let one_of: Vec<_> = operations.iter().map(|one| json!({ "$ref": reference(one) })).collect();
    let mapping: Map<_, _> =
        operations.iter().map(|one| (one.name.clone(), reference(one).into())).collect();
    let mut schemas: Map<_, _> =
        operations.iter().map(|one| (one.name.clone(), schema(one))).collect();
    schemas.insert(
        "Error".into(),
        json!({
            "type": "object",
            "required": ["error"],
            "properties": { "error": { "type": "string", "description": "What is wrong" } },
        }),
    );
    let mut responses: Map<_, _> = [
        ("400", "The request breaks a rule, or there is no such operation"),
        ("401", "Nobody is logged in"),
        ("403", "The user's role may not do this"),
        ("409", "Others changed the same thing meanwhile; nothing was changed"),
        ("413", "The request is too large"),
        ("415", "The content type is not application/json"),
        ("500", "It could not be done"),
        ("503", "Too much is going on"),
    ]
    .map(|(status, text)| (status.to_owned(), error(text)))
    .into_iter()
    .collect();
    responses.insert(
        "200".into(),
        json!({
            "description": "It is done. A result that is a text comes as { \"message\": … }",
            "content": { "application/json": { "schema": {} } },
        }),
    );
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Operations API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "basic": [] }],
        "paths": {
            "/": { "post": {
                "operationId": "perform",
                "summary": "Performs the operation that the body names",
                "requestBody": {
                    "required": true,
                    "content": { "application/json": { "schema": {
                        "oneOf": one_of,
                        "discriminator": { "propertyName": "operation", "mapping": mapping },
                    } } },
                },
                "responses": responses,
            } },
            "/health": { "get": {
                "operationId": "health",
                "summary": "Whether the node runs",
                "security": [],
                "responses": { "200": { "description": "It does" } },
            } },
            "/ready": { "get": {
                "operationId": "ready",
                "summary": "Whether the node is ready for work",
                "security": [],
                "responses": {
                    "200": { "description": "It is" },
                    "503": error("It is not, and why"),
                },
            } },
            "/metrics": { "get": {
                "operationId": "metrics",
                "summary": "Figures for Prometheus",
                "responses": {
                    "200": {
                        "description": "OpenMetrics text",
                        "content": { "application/openmetrics-text": { "schema": { "type": "string" } } },
                    },
                    "401": error("Nobody is logged in"),
                },
            } },
            "/openapi.json": { "get": {
                "operationId": "openapi",
                "summary": "This document, for super_users",
                "responses": {
                    "200": {
                        "description": "An OpenAPI 3.1 document",
                        "content": { "application/json": { "schema": { "type": "object" } } },
                    },
                    "401": error("Nobody is logged in"),
                    "403": error("The user is no super_user"),
                },
            } },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": { "basic": { "type": "http", "scheme": "basic" } },
        },
    })
}

fn error(text: &str) -> Value {
    json!({
        "description": text,
        "content": { "application/json": { "schema": { "$ref": format!("{SCHEMAS}Error") } } },
    })
}

/// An operation's schema, which other schemas of the document cannot be mistaken for.
fn schema(operation: &Operation) -> Value {
    let Operation { name, plugin, super_user, changes, warning, help, schema } = operation;
    let mut schema = schema.clone();
    localise(&mut schema, &format!("{SCHEMAS}{name}"));
    let Value::Object(mut schema) = schema else { return json!({}) };
    let is_object = |value: &Value| value == "object";
    if !schema.get("type").is_some_and(is_object) {
        schema.insert("type".into(), "object".into());
    }
    if !schema.get("properties").is_some_and(Value::is_object) {
        schema.insert("properties".into(), json!({}));
        // Who names none takes any.
        schema.entry("additionalProperties").or_insert(Value::Bool(true));
    }
    schema["properties"]["operation"] = json!({ "const": name });
    let mut required = match schema.remove("required") {
        Some(Value::Array(required)) => required,
        _ => Vec::new(),
    };
    if !required.iter().any(|key| key == "operation") {
        required.insert(0, "operation".into());
    }
    schema.insert("required".into(), required.into());
    schema.insert("title".into(), name.as_str().into());
    let text = match warning {
        Some(warning) => format!("{help}. {warning}"),
        None => help.clone(),
    };
    schema.insert("description".into(), text.into());
    let extension = json!({
        "plugin": plugin, "super_user": super_user, "changes": changes, "warning": warning,
        "help": help,
    });
    schema.insert(EXTENSION.into(), extension);
    Value::Object(schema)
}

/// Keywords by which a schema names itself or another one.
const NAMING: [&str; 7] =
    ["$ref", "$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"];

/// References within a schema of a plugin's own lead to where it is in the document; those to other
/// places are taken out, so that nobody who reads it is led there.
fn localise(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, value| {
                let of_itself = value.as_str().is_some_and(|to| to == "#" || to.starts_with("#/"));
                // A property may be called so, and is no text then.
                !NAMING.contains(&key.as_str())
                    || value.is_object() && key != "$vocabulary"
                    || key == "$ref" && of_itself
            });
            for (key, value) in object {
                match value.as_str().filter(|_| key == "$ref") {
                    Some(to) => *value = format!("{place}{}", to.trim_start_matches('#')).into(),
                    None => localise(value, place),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| localise(item, place)),
        _ => {}
    }
}

/// The operations of a document that [`document`] has made, as their owners describe them.
pub fn operations(document: &Value) -> Vec<Operation> {
    let schemas = document["components"]["schemas"].as_object();
    let operation = |(name, schema): (&String, &Value)| {
        let of = schema.get(EXTENSION)?;
        let text = |key: &str| of[key].as_str().map(str::to_owned);
        let mut schema = schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            schema.shift_remove(EXTENSION);
        }
        Some(Operation {
            name: name.clone(),
            plugin: text("plugin"),
            super_user: of["super_user"] != false,
            changes: of["changes"] != false,
            warning: text("warning"),
            help: text("help").unwrap_or_default(),
            schema,
        })
    };
    schemas.into_iter().flatten().filter_map(operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: openapi.references
    #[test]
    fn a_schema_refers_to_itself_alone() {
        let operation = Operation::new("grow", "Grow").with_schema(json!({
            "$id": "https://example.org/x",
            "properties": {
                "tree": { "$ref": "#/$defs/tree" },
                "other": { "$ref": "https://example.org/y" },
                "$ref": { "type": "string" },
            },
            "$defs": { "tree": { "items": { "$ref": "#/$defs/tree" } } },
        }));
        let document = document(&[operation]);
        let schema = &document["components"]["schemas"]["grow"];
        let tree = "#/components/schemas/grow/$defs/tree";
        assert_eq!(schema["properties"]["tree"], json!({ "$ref": tree }));
        assert_eq!(schema["$defs"]["tree"]["items"], json!({ "$ref": tree }));
        assert_eq!(schema["properties"]["other"], json!({}));
        assert_eq!(schema["properties"]["$ref"], json!({ "type": "string" }));
        assert!(!document.to_string().contains("example.org"), "{schema}");
    }

    #[test]
    fn operations_are_read_back() {
        let all = crate::operations::descriptions();
        let mut read = operations(&document(&all));
        let names = |operations: &[Operation]| {
            operations.iter().map(|one| (one.name.clone(), one.help.clone())).collect::<Vec<_>>()
        };
        assert_eq!(names(&read), names(&all));
        for (read, one) in read.iter_mut().zip(&all) {
            assert_eq!((&read.plugin, &read.warning), (&one.plugin, &one.warning));
            assert_eq!((read.super_user, read.changes), (one.super_user, one.changes));
            let keys = |operation: &Operation| {
                operation.schema["properties"].as_object().map(|keys| keys.len())
            };
            assert_eq!(keys(read), keys(one), "{}", one.name);
        }
    }
}
