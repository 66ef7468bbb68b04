//! Which schemas are taken, and what a model is told of arguments that do not fit.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn orders() -> ArgumentCheck {
    compile(&json!({
        "type": "object",
        "properties": {
            "order_id": {"type": "integer", "minimum": 1},
            "lines": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
            "mode": {"enum": ["fast", "slow"]}
        },
        "required": ["order_id"],
        "additionalProperties": false
    }))
    .unwrap()
}

#[test]
fn an_error_names_the_path_and_what_is_expected() {
    let check = orders();
    assert_eq!(check(r#"{"order_id": 7}"#), Ok(()));
    let text = check(r#"{"order_id": "7", "lines": [{"sku": 1}], "mode": "warp"}"#).unwrap_err();
    assert!(text.contains(r#"- $.order_id: the value is not of type "integer" (found "7")"#), "{text}");
    assert!(text.contains(r#"$.lines[0].sku: the value is not of type "string" (found 1)"#), "{text}");
    assert!(text.contains(r#""fast""#), "{text}");
    let text = check(r#"{"id": 7}"#).unwrap_err();
    assert!(text.contains("order_id") && text.contains("required"), "{text}");
    assert!(text.contains("'id'"), "{text}");
}

#[test]
fn at_most_five_problems_are_named_and_each_is_short() {
    let check = compile(&json!({"type": "object", "additionalProperties": {"type": "integer"}})).unwrap();
    let long = "x".repeat(5_000);
    let many: serde_json::Map<_, _> = (0..9).map(|i| (format!("k{i}"), json!(long))).collect();
    let text = check(&text::json(&many)).unwrap_err();
    assert_eq!(text.lines().count(), 1 + MAX_PROBLEMS);
    assert!(text.len() < 3_000);
    let big: serde_json::Map<_, _> = (0..5_000).map(|i| (format!("key-number-{i}"), json!("no"))).collect();
    assert_eq!(check(&text::json(&big)).unwrap_err().lines().count(), 2);
}

#[test]
fn hostile_arguments_are_refused_before_they_are_parsed() {
    let check = orders();
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(check(&deep).unwrap_err().contains("ST0208"));
    assert!(check(&format!("{}{}", "[".repeat(65), "]".repeat(65))).unwrap_err().contains("ST0208"));
    assert!(check(&"x".repeat(MAX_BYTES + 1)).unwrap_err().contains("ST0203"));
    assert!(check("nonsense").unwrap_err().contains("not valid JSON"));
    assert!(check("[]").unwrap_err().contains("must be a JSON object"));
    assert!(check(r#"{"order_id": 1, "order_id": 2}"#).unwrap_err().contains("stands twice"));
    assert!(check(r#"{"order_id": 1, "lines": [{"sku": "a", "sku": "b"}]}"#).unwrap_err().contains("stands twice"));
    assert!(check(r#"{"order_id": 1} {"order_id": 2}"#).is_err());
}

#[test]
fn brackets_inside_strings_do_not_count_as_depth() {
    let check = compile(&json!({"type": "object"})).unwrap();
    assert_eq!(check(&format!(r#"{{"a": "{}\"[[["}}"#, "[".repeat(500))), Ok(()));
}

#[test]
fn references_stay_inside_the_schema() {
    for outside in [
        "http://127.0.0.1:1/x.json",
        "file:///etc/passwd",
        "other.json",
        "#anchor",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let error = compile(&json!({"type": "object", "properties": {"a": {"$ref": outside}}})).err().unwrap();
        assert!(error.detail.contains("$ref"), "{outside}: {error}");
    }
    let local = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "null"}}});
    let check = compile(&local).unwrap();
    assert!(check(r#"{"a": null}"#).is_ok() && check(r#"{"a": 1}"#).is_err());
    assert!(compile(&json!({"$schema": "https://example.com/own-dialect", "type": "object"})).is_err());
    assert!(compile(&json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"})).is_ok());
}

#[test]
fn a_schema_that_never_ends_or_explodes_is_refused() {
    for endless in [
        json!({"$ref": "#"}),
        json!({"type": "object", "allOf": [{"$ref": "#"}]}),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
    ] {
        assert!(compile(&endless).err().unwrap().detail.contains("leads back to itself"));
    }
    let mut defs = serde_json::Map::from_iter([("d0".to_owned(), json!({"type": "string"}))]);
    for i in 1..50 {
        let below = json!({"$ref": format!("#/$defs/d{}", i - 1)});
        defs.insert(format!("d{i}"), json!({"allOf": [below, below]}));
    }
    let bomb = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d49"}}, "$defs": defs});
    // It compiles, but no input that would reach the bomb is worth checking.
    let check = compile(&bomb).unwrap();
    assert!(check(r#"{"a": "x"}"#).unwrap_err().contains("ST0208"));
}

#[test]
fn a_recursive_schema_serves_ordinary_input_and_refuses_the_explosive_kind() {
    let tree = json!({"type": "object", "properties": {
        "next": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "null"}]}}});
    let check = compile(&tree).unwrap();
    assert_eq!(check(r#"{"next": {"next": {"next": null}}}"#), Ok(()));
    let deep = format!("{}1{}", r#"{"next":"#.repeat(60), "}".repeat(60));
    assert!(check(&deep).unwrap_err().contains("ST0208"));
}

#[test]
fn patterns_cannot_backtrack() {
    let schema = |p: &str| json!({"type": "object", "properties": {"a": {"type": "string", "pattern": p}}});
    let check = compile(&schema("^(a+)+$")).unwrap();
    assert!(check(&format!(r#"{{"a": "{}!"}}"#, "a".repeat(50_000))).is_err());
    // Look-around and back-references need backtracking, so they are not offered.
    assert!(compile(&schema("(?=a)b")).is_err());
    assert!(compile(&schema(r"(a)\1")).is_err());
    assert!(compile(&schema(&format!("({}){{1000}}", "a{1000}"))).is_err());
}

#[test]
fn a_schema_must_be_of_an_object_valid_and_small() {
    assert!(compile(&json!({"type": "array"})).is_err());
    assert!(compile(&json!(true)).is_err());
    assert!(compile(&json!({"type": "object", "properties": {"a": {"type": "strange"}}})).is_err());
    assert!(compile(&json!({"type": "object", "description": "x".repeat(MAX_SCHEMA_BYTES)})).is_err());
    let mut deep = json!({});
    for _ in 0..70 {
        deep = json!({"not": deep});
    }
    assert!(compile(&deep).is_err());
}

#[test]
fn the_digest_ignores_order_and_nothing_else() {
    let a: Value = serde_json::from_str(r#"{"type":"object","properties":{"b":{},"a":{"x":[1,2]}}}"#).unwrap();
    let b: Value = serde_json::from_str(r#"{ "properties": {"a":{"x":[1,2]},"b":{}}, "type":"object"}"#).unwrap();
    let c: Value = serde_json::from_str(r#"{"type":"object","properties":{"b":{},"a":{"x":[2,1]}}}"#).unwrap();
    assert_eq!(digest(&a), digest(&b));
    assert_ne!(digest(&a), digest(&c));
    // Pinned: an agent version made today must still match tomorrow.
    assert_eq!(digest(&json!({"b": 1, "a": "é"})), digest_of(r#"{"a":"é","b":1}"#));
}

fn digest_of(text: &str) -> [u8; 16] {
    Sha256::digest(text)[..16].try_into().unwrap()
}

#[test]
fn an_answer_may_be_any_json_and_is_told_where_it_does_not_fit() {
    let check = compile_answer(&json!({"type": "array", "items": {"type": "integer"}})).unwrap();
    assert_eq!(check(" [1, 2] "), Ok(()));
    let text = check(r#"[1, "two"]"#).unwrap_err();
    assert!(text.starts_with("the answer does not fit the output's JSON Schema:\n"), "{text}");
    assert!(text.contains(r#"- $[1]: the value is not of type "integer" (found "two")"#), "{text}");
    // What stands around it would be in the way of whoever reads it.
    let fenced = check("```json\n[1]\n```").unwrap_err();
    assert!(fenced.starts_with("the answer is not valid JSON:"), "{fenced}");
    assert!(check(&"1".repeat(MAX_BYTES + 1)).unwrap_err().contains("ST0203: the answer has more than"));
    let endless = compile_answer(&json!({"$ref": "#"})).err().unwrap();
    assert!(endless.detail.starts_with("the output schema cannot be used:"), "{}", endless.detail);
}
