//! The OpenAPI document in the repository is the one that the server gives.

use std::path::Path;

use serde_json::Value;

use crate::lab::Lab;

#[tokio::test]
async fn the_document_in_docs_is_the_one_that_is_served() {
    let lab = Lab::new().await;
    let served: Value = lab.get("/v1/openapi.json").await.json().await.unwrap();
    let text = format!("{}\n", serde_json::to_string_pretty(&served).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == text, "docs/openapi.json is not what is served: cargo xtask gen");
}

/// Checks an answer against the schema that the document has for it, as far as required fields and refused ones go.
#[tokio::test]
async fn answers_have_the_fields_that_the_document_requires() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let document: Value = lab.get("/v1/openapi.json").await.json().await.unwrap();
    let run = waiting.summary.id;
    for (path, at) in [
        ("/v1/status".to_owned(), "/v1/status"),
        ("/v1/agents".to_owned(), "/v1/agents"),
        ("/v1/agents/asking".to_owned(), "/v1/agents/{agent}"),
        ("/v1/sessions".to_owned(), "/v1/sessions"),
        (format!("/v1/runs/{run}"), "/v1/runs/{run}"),
        ("/v1/runs".to_owned(), "/v1/runs"),
        (format!("/v1/runs/{run}/facts"), "/v1/runs/{run}/facts"),
        ("/v1/approvals".to_owned(), "/v1/approvals"),
        ("/healthz".to_owned(), "/healthz"),
    ] {
        let answer: Value = lab.get(&path).await.json().await.unwrap();
        let schema = &document["paths"][at]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        fits(&answer, schema, &document, &path);
    }
}

fn fits(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(to) = schema["$ref"].as_str() {
        return fits(value, document.pointer(&to[1..]).unwrap(), document, at);
    }
    if let Some(fields) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
        }
        let known = schema["properties"].as_object();
        for (name, inner) in fields {
            match known.and_then(|k| k.get(name)) {
                Some(schema) => fits(inner, schema, document, &format!("{at}.{name}")),
                // Maps and facts are open; a struct's every field is told.
                None => assert!(
                    known.is_none() || schema["additionalProperties"] == true || schema.get("oneOf").is_some(),
                    "{at} has `{name}`, which the document does not tell"
                ),
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], document, at);
    }
}
