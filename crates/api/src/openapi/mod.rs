//! The OpenAPI 3.1 document, made from [`operations()`] and the schemas of the types. OpenAPI 3.1 uses JSON Schema
//! 2020-12 as it is, so nothing is translated.

mod approvers;
mod audit;
mod erasure;
mod operation;
mod operations;
mod policies;
mod sandboxes;

use serde_json::{Map, Value, json};
use stead_core::code::Code;

pub use operation::{Answer, Error, Media, Operation, Param, Place, Request, SchemaOf};
pub use operations::operations;

use crate::{
    problem::{self, Problem},
    right::Right,
};

/// The whole document, for the release `version`.
pub fn document(version: &str) -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        })
        .into_generator();
    // Answers as they are written: a reader sees every field that is always there as required.
    let mut paths = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_ascii_lowercase()] = describe(&operation, &mut generator);
    }
    generator.subschema_for::<Problem>();
    generator.subschema_for::<crate::fact::FactEvent>();
    generator.subschema_for::<crate::stream::StreamDelta>();
    generator.subschema_for::<crate::approval::ApprovalEvent>();
    generator.subschema_for::<crate::sandbox::OutputChunk>();
    generator.subschema_for::<crate::sandbox::OutputLost>();
    generator.subschema_for::<crate::sandbox::OutputExit>();
    generator.subschema_for::<crate::sandbox::FileChange>();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Stead",
            "version": version,
            "summary": "An agent runtime environment.",
            "description": "Runs AI agents durably. Ids are text with a prefix, instants and spans are microseconds, money is \
                micro-dollars (null when it is not known). Errors are RFC 9457 problem documents with a stable code. Answers may get new fields.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" }
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "agents", "description": "Agents and their immutable versions." },
            { "name": "sessions", "description": "The conversation and budget that runs share." },
            { "name": "runs", "description": "One piece of work of an agent: a journal of facts." },
            { "name": "approvals", "description": "Actions that wait for a human." },
            { "name": "policies", "description": "Policy sets: what agents may do, and when a human is asked." },
            { "name": "sandboxes", "description": "Session sandboxes: boxes that stay. They end with the server." },
            { "name": "audit", "description": "The audit log: what proves that nothing of the past was changed." },
            { "name": "server", "description": "The server itself." }
        ],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer",
                "description": "A token of the server's configuration, with its rights; the data directory's own token has all." } },
            "schemas": generator.take_definitions(true)
        }
    })
}

fn describe(operation: &Operation, generator: &mut schemars::SchemaGenerator) -> Value {
    let mut out = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    });
    let description = [operation.description.to_owned(), needed(operation.rights)];
    let description: Vec<String> = description.into_iter().filter(|part| !part.is_empty()).collect();
    if !description.is_empty() {
        out["description"] = description.join(" ").into();
    }
    if operation.open {
        out["security"] = json!([]);
    }
    let parameters: Vec<Value> = operation.params.iter().map(|p| p.describe(generator)).collect();
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    if let Some(request) = &operation.request {
        out["requestBody"] = json!({
            "required": request.required,
            "content": { request.media.as_str(): { "schema": (request.schema)(generator) } }
        });
    }
    let mut responses = Map::new();
    for answer in &operation.answers {
        responses.insert(answer.status.to_string(), answer.describe(generator));
    }
    for error in operation.all_errors() {
        let said: Vec<String> = error.codes.iter().map(|c: &Code| format!("{c} {}", c.title())).collect();
        let mut response = json!({
            "description": said.join("; "),
            "content": { problem::MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } }
        });
        if error.status == 503 {
            response["headers"] = json!({ "Retry-After": { "description": "Seconds to wait.",
                "schema": { "type": "integer", "minimum": 1 } } });
        }
        if error.status == 401 {
            response["headers"] = json!({ "WWW-Authenticate": { "description": "Names the scheme: `Bearer`.",
                "schema": { "type": "string" } } });
        }
        responses.insert(error.status.to_string(), response);
    }
    out["responses"] = responses.into();
    out
}

/// What a token must allow, in words; empty when any token will do.
fn needed(rights: &[Right]) -> String {
    let rights: Vec<String> = rights.iter().map(|r| format!("`{r}`")).collect();
    match rights.len() {
        0 => String::new(),
        1 => format!("Needs the right {}.", rights[0]),
        _ => format!("Needs the rights {}.", rights.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_is_named_once_and_declares_its_path_parameters() {
        let mut ids = BTreeSet::new();
        for operation in operations() {
            assert!(ids.insert(operation.id), "{} is named twice", operation.id);
            let in_path: BTreeSet<&str> =
                operation.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
            let declared: BTreeSet<&str> =
                operation.params.iter().filter(|p| p.place == Place::Path).map(|p| p.name).collect();
            assert_eq!(in_path, declared, "{}", operation.path);
            assert!(!operation.answers.is_empty(), "{} never answers", operation.id);
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        assert!(document.pointer(&to[1..]).is_some(), "{to} leads nowhere");
                    }
                    map.values().for_each(|v| walk(v, document));
                }
                Value::Array(items) => items.iter().for_each(|v| walk(v, document)),
                _ => {}
            }
        }
        let document = document("0.0.0");
        walk(&document, &document);
    }

    #[test]
    fn requests_refuse_unknown_fields_in_the_document_too() {
        let document = document("0.0.0");
        for name in ["StartRun", "ApplyAgent", "OpenSession", "StartInSession", "Answer", "Limits"] {
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
}
