//! Cases: what is taken, what is refused, and where.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{
    super::{Crash, Returned},
    *,
};

const CASE_TEXT: &str = r#"stead: test/v1
input: Refund order 1042
model: { rehearsal: ./script.yaml }
approvals:
  - { tool: payments_refund, answer: approve }
tools:
  payments_refund: { returns: { id: rf_1 } }
  mail_send:
    answers:
      - unknown: lost
      - returns: sent
expect:
  answer: { contains: [Done] }
  calls:
    - orders_lookup
    - tool: payments_refund
      args: { order_id: "1042" }
      where: { "$.amount_cents": "^[0-9]+$" }
  effects: { payments_refund: 1 }
  at_most: { usd: 0.01, tool_calls: 3 }
crash: { every: true }
"#;

fn errors(text: &str) -> String {
    let errors = parse_case(text, "tests/x.yaml").unwrap_err();
    errors.iter().map(|e| format!("{e}\n")).collect()
}

#[test]
fn a_case_is_read_and_knows_its_lines() {
    let case = parse_case(CASE_TEXT, "tests/x.yaml").unwrap();
    assert_eq!(case.crash, Some(Crash::Every(true)));
    assert_eq!(case.tools[&"mail_send".into()].answers[0], Returned::Unknown("lost".into()));
    assert_eq!(
        case.tools[&"payments_refund".into()].always,
        Some(Returned::Returns(serde_json::json!({ "id": "rf_1" })))
    );
    let calls = case.expect.calls.as_ref().unwrap();
    assert_eq!((calls[0].tool.as_str(), calls[1].tool.as_str()), ("orders_lookup", "payments_refund"));
    let lines = ["input", "expect.calls", "expect.calls[1]", "expect.calls[1].args", "expect.calls[1].nothing"];
    assert_eq!(lines.map(|path| case.line(path)), [2, 14, 16, 17, 16]);
}

#[test]
fn no_calls_at_all_can_be_expected_and_are_not_the_same_as_silence() {
    let head = "stead: test/v1\ninput: x\n";
    let calls = |text: &str| parse_case(&format!("{head}{text}"), "tests/x.yaml").unwrap().expect.calls;
    assert_eq!(calls("expect: { calls: [] }\n"), Some(Vec::new()));
    assert_eq!(calls("expect: {}\n"), None);
    let json = yaml::parse(&format!("{head}expect: {{ calls: [] }}\n")).unwrap().json().unwrap();
    assert!(jsonschema::draft202012::new(&case_schema()).unwrap().is_valid(&json));
    // Where an empty list says nothing it stays a mistake.
    assert!(errors(&format!("{head}expect: {{ never: [] }}\n")).contains("expected 1 to 64 items, found 0"));
}

#[test]
fn the_schema_takes_what_the_parser_takes_and_is_a_schema() {
    let schema = case_schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let json = yaml::parse(CASE_TEXT).unwrap().json().unwrap();
    assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&json));
}

#[test]
fn the_page_names_every_key_of_a_case() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/testing-agents.md");
    let page = std::fs::read_to_string(page).unwrap();
    let schema = case_schema();
    let sections = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<&String> = sections.flat_map(|s| s["properties"].as_object().unwrap().keys()).collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        let told = [format!("`{key}`"), format!("{{ {key}"), format!(", {key}"), format!("`{{ {key}:")];
        assert!(told.iter().any(|t| page.contains(t)), "docs/testing-agents.md does not name `{key}`");
    }
}

#[test]
fn mistakes_are_answered_with_their_place_and_a_way_out() {
    let head = "stead: test/v1\ninput: x\n";
    let told: String = [
        "stead: test/v1\n".to_owned(),
        format!("{head}turns: [{{ input: y }}]\n"),
        format!("{head}expects: {{}}\n"),
        format!("{head}expect: {{ call: [a] }}\n"),
        format!("{head}expect: {{ calls: [{{ tool: a, decision: alowed }}] }}\n"),
        format!("{head}expect: {{ calls: [{{ tool: a, args: {{}}, exactly: {{}} }}] }}\n"),
        format!("{head}expect: {{ calls: [{{ tool: a, where: {{ \"$.x\": \"(\" }} }}] }}\n"),
        format!("{head}expect: {{ answer: {{ matches: \"[\" }} }}\n"),
        format!("{head}expect: {{ code: ST0044 }}\n"),
        format!("{head}model: {{ rehearsal: ./a.yaml, loose: true }}\n"),
        format!("{head}tools: {{ a: {{ return: 1 }} }}\n"),
        format!("{head}crash: {{ at: 0 }}\n"),
    ]
    .iter()
    .map(|text| errors(text))
    .collect();
    insta::assert_snapshot!(told);
}
