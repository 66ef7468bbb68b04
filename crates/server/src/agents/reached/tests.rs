//! What is told of two manifests, a line each.
#![expect(clippy::unwrap_used, reason = "tests")]
use std::fs;

use super::*;

fn bundle(manifest: &str, files: &[(&str, &str)]) -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain(&[("agent.yaml", manifest)]) {
        fs::write(dir.path().join(name), text).unwrap();
    }
    stead_manifest::load(dir.path()).unwrap()
}

/// One line each, as the command line has it.
fn lines(from: &Bundle, to: &Bundle) -> Vec<String> {
    let mark = |c: &SafetyChange| if c.looser { '!' } else { ' ' };
    let side = |s: &Option<String>| s.clone().unwrap_or_else(|| "none".into());
    let line = |c: &SafetyChange| format!("{} {} {}: {} → {}", mark(c), c.what, c.name, side(&c.from), side(&c.to));
    changes(from, to).iter().map(line).collect()
}

const HEAD: &str = "stead: v1\nname: a\ninstructions: Help.\n";

#[test]
fn another_destination_another_credential_and_a_wider_allow_are_told_and_marked() {
    let manifest = |model: &str, sql: &str, http: &str, mcp: &str, auth: &str| {
        format!(
            "{HEAD}model: {model}\ntools:\n  shop: {{ sql: {{ url: \"sqlite:./shop.db\", allow: {sql} }} }}\n  pay:\n    \
             http: {{ base_url: \"{http}\", operations: {{ pay: {{ method: POST, path: /pay }} }} }}\n    auth: \
             {auth}\n  files:\n    mcp: {mcp}\n    sandbox: none\n"
        )
    };
    let from = bundle(
        &manifest(
            "{ use: \"openai:m\" }",
            "[SELECT]",
            "https://pay.example",
            "{ command: [files, --read], env: [HOME] }",
            "secret://PAY",
        ),
        &[],
    );
    let to = bundle(
        &manifest(
            "{ use: \"openai:m\", base_url: \"https://other.example/v1\", key: secret://MINE }",
            "[SELECT, DELETE]",
            "https://evil.example",
            "{ command: [files, --write], env: [HOME, \"TOKEN=secret://PAY\"] }",
            "{ oauth2: { token_url: \"https://login.example/t\", client_id: c, client_secret: secret://PAY } }",
        ),
        &[],
    );
    assert_eq!(
        lines(&from, &to),
        [
            "! allow shop: SELECT → DELETE, SELECT",
            "! credential files: env://HOME → env://HOME, secret://PAY as TOKEN",
            "! credential model: OPENAI_API_KEY to openai → secret://MINE to openai at https://other.example/v1",
            "! credential pay: secret://PAY → secret://PAY of client c",
            "! destination files: `files --read` → `files --write`",
            "! destination model: openai → openai at https://other.example/v1",
            "! destination pay: https://pay.example → https://evil.example, https://login.example/t for a token",
        ]
    );
    assert!(lines(&from, &from).is_empty());
    // The way back narrows what may be done to the shop, and takes a variable away.
    let back = lines(&to, &from);
    assert!(back.contains(&"  allow shop: DELETE, SELECT → SELECT".to_owned()), "{back:?}");
    assert!(
        back.contains(&"  credential files: env://HOME, secret://PAY as TOKEN → env://HOME".to_owned()),
        "{back:?}"
    );
    assert!(back.contains(&"! destination model: openai at https://other.example/v1 → openai".to_owned()), "{back:?}");
}

#[test]
fn a_model_that_leaves_this_machine_is_another_destination_and_a_schema_that_goes_is_looser() {
    let schemas = "input: ./in.json\noutput: { schema: ./out.json }\n";
    let files = |of: &'static str| [("in.json", of), ("out.json", "{\"type\":\"object\"}")];
    let narrow = r#"{"type":"object","required":["id"]}"#;
    let first = bundle(&format!("{HEAD}model: rehearsal:auto\n{schemas}"), &files(narrow));
    let spaced = bundle(
        &format!("{HEAD}model: rehearsal:auto\n{schemas}"),
        &files("{ \"required\": [\"id\"], \"type\": \"object\" }"),
    );
    assert!(lines(&first, &spaced).is_empty(), "the same schema");
    let wider = bundle(&format!("{HEAD}model: rehearsal:auto\n{schemas}"), &files("{\"type\":\"object\"}"));
    let told = lines(&first, &wider);
    assert!(told.len() == 1 && told[0].starts_with("  schema input: "), "{told:?}");
    let gone = bundle(&format!("{HEAD}model: \"groq:m\"\n"), &[]);
    let told = lines(&first, &gone);
    assert_eq!(told[..2], ["! credential model: none → GROQ_API_KEY to groq", "! destination model: none → groq"]);
    assert!(told[2].starts_with("! schema input: ") && told[3].ends_with(" → none"), "{told:?}");
}

/// A manifest with one HTTP tool, its operations as given.
fn paying(operations: &str) -> Bundle {
    let http = format!("{{ base_url: \"https://pay.example\", operations: {{ {operations} }} }}");
    bundle(&format!("{HEAD}model: rehearsal:auto\ntools:\n  pay:\n    http: {http}\n"), &[])
}

#[test]
fn another_method_path_header_query_or_body_of_a_request_is_told_and_marked() {
    let from = paying(
        "pay: { method: POST, path: /try, headers: { X-Mode: test, X-Dry-Run: \"yes\" }, query: { to: a }, body: { cents: 1 } }",
    );
    let to =
        paying("pay: { method: PUT, path: /really, headers: { X-Mode: live }, query: { to: b }, body: { cents: 2 } }");
    assert_eq!(
        lines(&from, &to),
        [
            r#"! body pay_pay: {"cents":1} → {"cents":2}"#,
            "! header pay_pay: X-Dry-Run: yes, X-Mode: test → X-Mode: live",
            "! query pay_pay: to: a → to: b",
            "! request pay_pay: POST /try → PUT /really",
        ]
    );
    assert!(lines(&to, &to).is_empty());
    let bare = paying("pay: { method: PUT, path: /really, query: { to: b }, body: { cents: 2 } }");
    assert_eq!(lines(&to, &bare), ["! header pay_pay: X-Mode: live → none"], "less is sent, and nobody knows what for");
}

#[test]
fn an_operation_that_is_new_is_told_with_what_it_sends_and_one_that_is_gone_is_no_looser() {
    let look = "look: { method: GET, path: /orders }";
    let (from, to) =
        (paying(look), paying(&format!("{look}, drop: {{ method: DELETE, path: /orders, headers: {{ A: b }} }}")));
    assert_eq!(lines(&from, &to), ["! header pay_drop: none → A: b", "! request pay_drop: none → DELETE /orders"]);
    assert_eq!(lines(&to, &from), ["  header pay_drop: A: b → none", "  request pay_drop: DELETE /orders → none"]);
}

#[test]
fn a_change_behind_what_is_shown_is_told_and_nothing_looks_like_another_line() {
    let with =
        |end: char| paying(&format!("pay: {{ method: GET, path: /, headers: {{ X: {}{end} }} }}", "x".repeat(500)));
    let told = lines(&with('a'), &with('b'));
    assert!(told.len() == 1 && told[0].starts_with("! header pay_pay: X: xxx") && told[0].len() < 400, "{told:?}");
    let stdin = |text: &str| {
        let stdin = serde_json::to_string(text).unwrap();
        bundle(&format!("{HEAD}model: rehearsal:auto\ntools:\n  sh: {{ command: [sh], stdin: {stdin} }}\n"), &[])
    };
    let told = lines(&stdin("date"), &stdin(&format!("date\n  destination sh: `true`\n{}rm -rf .", "#".repeat(200))));
    assert!(told.len() == 1 && !told[0].contains('\n'), "{told:?}");
    let long = |end: &str| stdin(&format!("{}{end}", "#".repeat(200)));
    assert_eq!(lines(&long("date"), &long("reboot")).len(), 1);
}

#[test]
fn what_an_openapi_document_sends_is_told_in_the_same_words() {
    let api = |method: &str, place: &str, key: &str| {
        let parameter =
            |name: &str, at: &str| format!("{{ name: {name}, in: {at}, required: true, schema: {{ type: string }} }}");
        let document = format!(
            "openapi: 3.1.0\ninfo: {{ title: Shop, version: \"1\" }}\nservers: [{{ url: \"https://shop.example\" }}]\n\
             components: {{ securitySchemes: {{ k: {{ type: apiKey, in: {key}, name: k }} }} }}\nsecurity: [{{ k: [] }}]\n\
             paths:\n  /orders/{{id}}:\n    {method}:\n      operationId: change\n      parameters: [{}, {}]\n      \
             responses: {{ \"200\": {{ description: Done }} }}\n",
            parameter("id", "path"),
            parameter("mode", place),
        );
        let tool = "shop:\n    http: { openapi: ./shop.yaml, only: [change] }\n    auth: secret://SHOP\n";
        bundle(&format!("{HEAD}model: rehearsal:auto\ntools:\n  {tool}"), &[("shop.yaml", &document)])
    };
    assert_eq!(
        lines(&api("post", "header", "header"), &api("delete", "query", "query")),
        [
            "! credential shop_change: in the header k → in the query as k",
            "! header shop_change: mode: {{args.mode}} → none",
            "! query shop_change: none → mode: {{args.mode}}",
            "! request shop_change: POST https://shop.example/orders/{{args.id}} → DELETE \
             https://shop.example/orders/{{args.id}}",
        ]
    );
}

#[test]
fn headers_that_an_mcp_server_is_sent_are_told() {
    let server = |headers: &str| {
        let mcp = format!("{{ url: \"https://mcp.example\", headers: {headers} }}");
        bundle(&format!("{HEAD}model: rehearsal:auto\ntools:\n  desk: {{ mcp: {mcp} }}\n"), &[])
    };
    assert_eq!(lines(&server("{ X-Team: a }"), &server("{ X-Team: b }")), ["! header desk: X-Team: a → X-Team: b"]);
}
