//! What documents say, and what they may not.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{ImportError, Wanted, import};
use crate::{
    api::{Api, ApiOperation, Fields, ParameterPlace, Placement, Style},
    source::Source,
};

const HEAD: &str = "openapi: 3.1.0\ninfo: { title: t, version: '1' }\nservers: [{ url: 'https://api.example/v1' }]\n";

fn read(text: &str, only: &[&str], has_credential: bool) -> Result<Api, ImportError> {
    let only: Vec<String> = only.iter().map(|id| (*id).to_owned()).collect();
    let source = Source { file: "api.yaml".into(), text: text.into() };
    import(&source, &Wanted { only: &only, has_credential, has_base_url: false })
}

/// The only wanted operation, `go`, of a document with that text after its head.
fn go(rest: &str) -> ApiOperation {
    match read(&format!("{HEAD}{rest}"), &["go"], false) {
        Ok(api) => api.operations["go"].clone(),
        Err(ImportError::Document(errors)) => panic!("{}", errors[0]),
        Err(ImportError::Unknown(known)) => panic!("{known:?}"),
    }
}

/// The first error of a document, as it is shown.
fn wrong(text: &str, has_credential: bool) -> String {
    match read(text, &["go"], has_credential) {
        Err(ImportError::Document(errors)) => {
            for e in &errors {
                assert!(e.source_text.get(e.span.clone()).is_some());
            }
            errors[0].to_string()
        }
        Err(ImportError::Unknown(known)) => panic!("{known:?}"),
        Ok(api) => panic!("{api:?}"),
    }
}

#[test]
fn an_operation_becomes_arguments_whatever_place_they_go_to() {
    let op = go(
        "paths:\n  /orders/{id}/refunds:\n    summary: Refunds\n    parameters:\n    - { name: id, in: path, required: true, schema: { type: string }, description: The order. }\n    - { name: trace, in: header, schema: { type: string } }\n    post:\n      operationId: go\n      summary: Pays back.\n      description: All of it.\n      parameters:\n      - { name: id, in: query, schema: { type: array, items: { type: integer } } }\n      - { name: trace, in: header, required: true, schema: { type: integer } }\n      - { name: Idempotency-Key, in: header, required: true, schema: { type: string } }\n      - { name: Accept, in: header, schema: { type: string } }\n      requestBody:\n        content:\n          application/json:\n            schema: { type: object, required: [amount], properties: { amount: { type: number }, id: { type: string }, no: { type: string, readOnly: true } } }\n      responses: { '200': { content: { text/csv: {}, application/json: {} } } }\n",
    );
    assert_eq!(
        (op.method, op.path.as_str(), op.server.as_deref()),
        ("POST", "/orders/{id}/refunds", Some("https://api.example/v1"))
    );
    assert_eq!(op.description, "Pays back.\nAll of it.");
    let arguments: Vec<_> = op.arguments().collect();
    assert_eq!(arguments, [("id", true), ("id_query", false), ("trace", true), ("amount", true), ("id_body", false)]);
    assert_eq!(op.schema["properties"]["id"], json!({"type": "string", "description": "The order."}));
    assert_eq!(op.schema["properties"]["trace"], json!({"type": "integer"}), "the operation's own wins");
    let body = op.body.unwrap();
    let members = [("amount", "amount"), ("id_body", "id")].map(|(a, n)| (a.to_owned(), n.to_owned()));
    assert_eq!((body.json, body.fields), (true, Fields::Members(members.into())));
    let query = op.parameters.iter().find(|p| p.place == ParameterPlace::Query).unwrap();
    assert_eq!((query.style, query.explode, query.name.as_str()), (Style::Form, true, "id"));
    assert_eq!(op.accept, ["application/json", "text/csv"]);
}

#[test]
fn schemas_of_3_0_mean_what_3_0_says() {
    let text = "openapi: 3.0.3\nservers: [{ url: 'http://h' }]\npaths:\n  /x:\n    get:\n      operationId: go\n      parameters:\n      - { name: a, in: query, schema: { type: integer, minimum: 1, exclusiveMinimum: true, maximum: 9, exclusiveMaximum: false, nullable: true, example: 3 } }\n      - { name: b, in: query, schema: { $ref: '#/components/schemas/B', nullable: true } }\n      - { name: c, in: query, schema: { nullable: true, oneOf: [{ type: string }] } }\ncomponents: { schemas: { B: { type: string, x-internal: true } } }\n";
    let api = read(text, &["go"], false).ok().unwrap();
    let schema = &api.operations["go"].schema;
    let a = json!({"type": ["integer", "null"], "exclusiveMinimum": 1, "maximum": 9, "examples": [3]});
    assert_eq!(schema["properties"]["a"], a);
    assert_eq!(schema["properties"]["b"], json!({"$ref": "#/$defs/B"}));
    assert_eq!(schema["properties"]["c"], json!({"oneOf": [{"type": "string"}]}));
    assert_eq!(schema["$defs"], json!({"B": {"type": "string"}}));
}

#[test]
fn references_are_followed_once_and_cycles_end() {
    let op = go("paths:\n  /x: { $ref: '#/components/pathItems/X' }\ncomponents:\n  pathItems:\n    X:\n      post:\n        operationId: go\n        parameters: [{ $ref: '#/components/parameters/P' }]\n        requestBody: { $ref: '#/components/requestBodies/R' }\n  parameters:\n    P: { name: p, in: query, schema: { $ref: '#/paths/~1y/x-kept' } }\n  requestBodies:\n    R: { required: true, content: { application/json: { schema: { $ref: '#/components/schemas/Node' } } } }\n  schemas:\n    Node: { type: object, properties: { next: { $ref: '#/components/schemas/Node' }, all: { type: array, items: { $ref: '#/components/schemas/Node' } } } }\n".replace("paths:\n", "paths:\n  /y: { x-kept: { type: boolean } }\n").as_str());
    assert_eq!(op.schema["properties"]["p"], json!({"$ref": "#/$defs/x-kept"}));
    assert_eq!(op.schema["properties"]["next"], json!({"$ref": "#/$defs/Node"}));
    assert_eq!(op.schema["$defs"]["Node"]["properties"]["all"]["items"], json!({"$ref": "#/$defs/Node"}));
    let validator = jsonschema::draft202012::new(&op.schema).unwrap();
    assert!(validator.is_valid(&json!({"next": {"next": {"all": [{}]}}, "p": true})));
    assert!(!validator.is_valid(&json!({"next": {"next": 1}})));
}

#[test]
fn bodies_that_are_no_plain_object_are_one_argument() {
    let with = |schema: &str, media: &str| {
        go(&format!(
            "paths:\n  /x:\n    post:\n      operationId: go\n      requestBody:\n        required: true\n        content: {{ {media}: {{ schema: {schema} }} }}\n"
        ))
    };
    for schema in [
        "{ type: array, items: { type: string } }",
        "{ type: object, additionalProperties: { type: integer } }",
        "{ type: object, properties: { a: {} }, oneOf: [{ required: [a] }] }",
        "{ type: object, properties: { a: {} }, required: [b] }",
        "{ allOf: [{ type: object, properties: { a: {} } }, { type: object, properties: { a: {} } }] }",
    ] {
        let op = with(schema, "application/json");
        assert_eq!(op.body.as_ref().unwrap().fields, Fields::Whole("body".into()), "{schema}");
        assert_eq!(op.arguments().collect::<Vec<_>>(), [("body", true)], "{schema}");
    }
    let merged = "{ allOf: [{ type: object, required: [a], properties: { a: {} } }, { properties: { b: {} } }] }";
    let op = with(merged, "application/merge-patch+json");
    assert_eq!(op.arguments().collect::<Vec<_>>(), [("a", true), ("b", false)]);
    assert_eq!(op.body.unwrap().media, "application/merge-patch+json");
    let form = with("{ type: object, properties: { a: {} } }", "application/x-www-form-urlencoded");
    assert!(!form.body.unwrap().json);
}

#[test]
fn the_credential_goes_where_the_document_says() {
    let text = |security: &str| {
        format!(
            "{HEAD}paths: {{ /x: {{ get: {{ operationId: go, {security} parameters: [{{ name: X-Key, in: header, schema: {{}} }}] }} }} }}\ncomponents:\n  securitySchemes:\n    head: {{ type: apiKey, in: header, name: x-key }}\n    q: {{ type: apiKey, in: query, name: key }}\n    c: {{ type: apiKey, in: cookie, name: sid }}\n    basic: {{ type: http, scheme: Basic }}\n    bearer: {{ type: http, scheme: bearer }}\n    oauth: {{ type: oauth2, flows: {{}} }}\n    tls: {{ type: mutualTLS }}\n"
        )
    };
    for (security, want) in [
        ("security: [{ head: [] }],", Some(Placement::Header("x-key".into()))),
        ("security: [{ q: [] }],", Some(Placement::Query("key".into()))),
        ("security: [{ c: [] }],", Some(Placement::Cookie("sid".into()))),
        ("security: [{ basic: [] }],", Some(Placement::Basic)),
        ("security: [{ tls: [] }, { head: [], q: [] }, { oauth: [read] }],", Some(Placement::Bearer)),
        ("security: [{}, { bearer: [] }],", Some(Placement::Bearer)),
        ("security: [],", None),
        ("security: [{}],", None),
        ("", None),
    ] {
        let api = read(&text(security), &["go"], true).ok().unwrap();
        let op = &api.operations["go"];
        assert_eq!(op.credential, want, "{security}");
        // What the credential fills in is no argument.
        assert_eq!(op.arguments().count(), usize::from(want != Some(Placement::Header("x-key".into()))), "{security}");
    }
    let silent = format!("{HEAD}paths: {{ /x: {{ get: {{ operationId: go }} }} }}\n");
    assert_eq!(read(&silent, &["go"], true).ok().unwrap().operations["go"].credential, Some(Placement::Bearer));
    assert!(wrong(&text("security: [{ head: [] }],"), false).contains("needs a credential"));
    assert!(read(&text("security: [{ head: [] }, {}],"), &["go"], false).is_ok());
    assert!(wrong(&text("security: [{ tls: [] }],"), true).contains("`mutualTLS` is not supported"));
    assert!(wrong(&text("security: [{ nope: [] }],"), true).contains("no security scheme `nope`"));
    assert!(wrong(&text("security: [{ head: [], q: [] }],"), true).contains("more than one credential"));
}

#[test]
fn servers_are_the_nearest_and_their_variables_are_filled_in() {
    let with =
        |root: &str, op: &str| format!("openapi: 3.0.0\n{root}paths: {{ /x: {{ get: {{ operationId: go{op} }} }} }}\n");
    let server = |text: String| read(&text, &["go"], false).ok().unwrap().operations["go"].server.clone().unwrap();
    let variable = "servers: [{ url: 'https://{region}.example/{v}', variables: { region: { default: eu }, v: { default: v2 } } }]\n";
    assert_eq!(server(with(variable, "")), "https://eu.example/v2");
    assert_eq!(server(with(variable, ", servers: [{ url: 'http://own' }]")), "http://own");
    assert!(wrong(&with("servers: [{ url: /v1 }]\n", ""), false).contains("does not say where"));
    assert!(wrong(&with("", ""), false).contains("`base_url`"));
    assert!(wrong(&with("servers: [{ url: 'https://{r}.example' }]\n", ""), false).contains("`r` has no default"));
    assert!(wrong(&with("servers: [{ url: 'https://u:p@h' }]\n", ""), false).contains("credential"));
}

#[test]
fn what_cannot_be_sent_as_described_is_refused_with_its_place() {
    let post = |more: &str| format!("{HEAD}paths:\n  /x/{{id}}:\n    post:\n      operationId: go\n{more}");
    let id = "      parameters: [{ name: id, in: path, required: true, schema: {} }]\n";
    let body = |content: &str| post(&format!("{id}      requestBody: {{ content: {{ {content} }} }}\n"));
    for (text, place, says) in [
        (post(""), "api.yaml:6:5", "has no parameter `id`"),
        (body("multipart/form-data: {}"), "api.yaml:9:33", "the body is `multipart/form-data`"),
        (body(""), "api.yaml:9:7", "no `content`"),
        (
            post("      parameters: [{ $ref: 'https://evil.example/p.yaml' }]\n"),
            "api.yaml:8:28",
            "leads out of this document",
        ),
        (post("      parameters: [{ $ref: 'other.yaml#/p' }]\n"), "api.yaml:8:28", "leads out of this document"),
        (
            post("      parameters: [{ $ref: '#/components/parmeters/P' }]\ncomponents: { parameters: {} }\n"),
            "api.yaml:8:28",
            "did you mean `parameters`?",
        ),
        (
            post("      parameters: [{ $ref: '#/paths/~1x~1{id}/post/parameters/0' }]\n"),
            "api.yaml:8",
            "leads back to itself",
        ),
        (
            post("      parameters: [{ name: id, in: path, style: form, schema: {} }]\n"),
            "api.yaml:8",
            "use `simple`, `label` or `matrix`",
        ),
        (
            post("      parameters: [{ name: id, in: path, content: { text/plain: {} } }]\n"),
            "api.yaml:8",
            "only JSON is",
        ),
        (post("      parameters: [{ name: id, in: path }]\n"), "api.yaml:8", "has no schema"),
        (post("      parameters: [{ name: id, in: path, schema: { $id: 'x' } }]\n"), "api.yaml:8", "`$id` in a schema"),
        (
            post("      parameters: [{ name: id, in: path, schema: [] }]\n"),
            "api.yaml:8",
            "must be a mapping, found a list",
        ),
        (
            format!(
                "{HEAD}paths: {{ /x: {{ get: {{ operationId: go, requestBody: {{ content: {{ application/json: {{}} }} }} }} }} }}\n"
            ),
            "api.yaml:4",
            "with a body",
        ),
        (format!("{HEAD}paths: {{ /x: {{ trace: {{ operationId: go }} }} }}\n"), "api.yaml:4", "cannot be called"),
        (
            format!("{HEAD}paths: {{ /x: {{ get: {{ operationId: go }}, put: {{ operationId: go }} }} }}\n"),
            "api.yaml:4",
            "same `operationId`",
        ),
        ("swagger: '2.0'\n".into(), "api.yaml:1:1", "Swagger 2.0"),
        ("openapi: 4.0.0\n".into(), "api.yaml:1:10", "`4.0.0` is not known"),
        ("openapi: 3.1.0\npaths: {\n".into(), "api.yaml:2:8", "unclosed"),
        ("{\"openapi\": \"3.1.0\", \"openapi\": \"3.1.0\"}".into(), "api.yaml:1", "twice"),
    ] {
        let shown = wrong(&text, false);
        assert!(shown.starts_with(place) && shown.contains("ST0055") && shown.contains(says), "{text}\n{shown}");
    }
}

#[test]
fn json_is_read_with_every_escape_of_json() {
    let text = json!({"openapi": "3.1.0", "servers": [{"url": "https://h"}], "paths": {"/x": {"get": {
        "operationId": "go", "description": "smile", "parameters": [{"name": "n", "in": "query", "schema": {"maximum": 1.5e3}}]}}}});
    for smile in ["\\ud83d\\ude00", "a\\/b", "\\u00e9"] {
        let text = text.to_string().replace("smile", smile);
        let api = read(&text, &["go"], false).unwrap_or_else(|_| panic!("{text}"));
        let said: Value = serde_json::from_str(&format!("\"{smile}\"")).unwrap();
        assert_eq!(api.operations["go"].description, said.as_str().unwrap());
        assert_eq!(api.operations["go"].schema["properties"]["n"]["maximum"], json!(1500.0));
    }
}

#[test]
fn documents_that_grow_when_they_are_read_are_refused() {
    let many: String = (0..600).map(|n| format!("    S{n}: {{ $ref: '#/components/schemas/S{}' }}\n", n + 1)).collect();
    let text = format!(
        "{HEAD}paths: {{ /x: {{ get: {{ operationId: go, parameters: [{{ name: a, in: query, schema: {{ $ref: '#/components/schemas/S0' }} }}] }} }} }}\ncomponents:\n  schemas:\n{many}    S600: {{}}\n"
    );
    assert!(wrong(&text, false).contains("more than 500 schemas"));
    let wide = format!("[{}]", vec!["{}"; 25_000].join(", "));
    let text = format!(
        "{HEAD}paths: {{ /x: {{ get: {{ operationId: go, parameters: [{{ name: a, in: query, schema: {{ anyOf: {wide} }} }}] }} }} }}\n"
    );
    assert!(wrong(&text, false).contains("more than 20000 values"));
    let parameters =
        (0..101).map(|n| format!("{{ name: p{n}, in: query, schema: {{}} }}")).collect::<Vec<_>>().join(", ");
    let text = format!("{HEAD}paths: {{ /x: {{ get: {{ operationId: go, parameters: [{parameters}] }} }} }}\n");
    assert!(wrong(&text, false).contains("more than 100 parameters"));
    let deep = format!("{HEAD}paths: {}{}\n", "{ a: ".repeat(100), "}".repeat(100));
    assert!(wrong(&deep, false).contains("api.yaml:"));
}

proptest::proptest! {
    #[test]
    fn a_damaged_document_never_panics(
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0_usize..6, "[ -~\n]{0,6}"), 1..8),
    ) {
        let text = format!("{HEAD}paths:\n  /x/{{id}}:\n    post:\n      operationId: go\n      parameters: [{{ name: id, in: path, schema: {{ $ref: '#/components/schemas/S' }} }}]\n      requestBody: {{ content: {{ application/json: {{ schema: {{ allOf: [{{ $ref: '#/components/schemas/S' }}] }} }} }} }}\ncomponents: {{ schemas: {{ S: {{ type: object, properties: {{ s: {{ $ref: '#/components/schemas/S' }} }} }} }} }}\n");
        let mut chars: Vec<char> = text.chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        if let Err(ImportError::Document(errors)) = read(&text, &["go"], false) {
            for e in errors {
                proptest::prop_assert!(e.source_text.get(e.span.clone()).is_some());
            }
        }
    }
}
