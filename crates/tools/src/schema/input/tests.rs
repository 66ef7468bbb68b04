//! Which inputs are taken, and what is told of the others.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn order() -> InputSchema {
    compile_input(json!({
        "type": "object",
        "properties": {
            "order_id": { "type": "integer", "minimum": 1000 },
            "why": { "enum": ["broken", "late"] },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/line" }, "minItems": 1 }
        },
        "required": ["order_id", "lines"],
        "additionalProperties": false,
        "$defs": { "line": { "type": "object", "properties": { "sku": { "type": "string", "minLength": 2 } }, "required": ["sku"] } }
    }))
    .unwrap()
}

fn wrong(schema: &InputSchema, input: &str) -> Vec<(String, String)> {
    (schema.check)(input).unwrap_err().wrong.into_iter().map(|w| (w.at, w.why)).collect()
}

#[test]
fn what_is_wrong_is_told_with_its_place_what_was_expected_and_an_input_that_fits() {
    let order = order();
    (order.check)(r#"{"order_id": 1042, "lines": [{"sku": "ab"}]}"#).unwrap();
    let told = wrong(&order, r#"{"order_id": "1042", "lines": [{"sku": 7}]}"#);
    assert_eq!((told.len(), told[0].0.as_str(), told[1].0.as_str()), (2, "/lines/0/sku", "/order_id"));
    assert_eq!(told[1].1, r#"the value is not of type "integer" (found "1042")"#);
    let misfit = (order.check)("{}").unwrap_err();
    let example = misfit.example.clone().unwrap();
    (order.check)(&example).unwrap();
    assert!(misfit.to_string().contains(r#""order_id" is a required property"#), "{misfit}");
}

#[test]
fn an_input_that_is_no_strict_json_is_refused_as_a_whole() {
    let order = order();
    for no_json in ["Refund order 1042", "", "{\"order_id\": 1042,}", "{} {}", "{\"a\": 1, \"a\": 2}", "NaN"] {
        let told = wrong(&order, no_json);
        assert_eq!((told.len(), told[0].0.as_str()), (1, ""), "{told:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(wrong(&order, &deep)[0].1.contains("ST0208"));
}

#[test]
fn a_schema_of_a_text_takes_the_text_itself() {
    let text = compile_input(json!({ "type": "string", "minLength": 3, "maxLength": 20 })).unwrap();
    (text.check)("Where is it?").unwrap();
    (text.check)(r#"{"even": "this"}"#).unwrap();
    let told = wrong(&text, "x");
    assert_eq!(told[0].0, "");
    assert!(told[0].1.contains("3"), "{told:?}");
    let example = (text.check)("").unwrap_err().example.unwrap();
    (text.check)(&example).unwrap();
}

#[test]
fn an_agent_takes_its_schema_as_the_arguments_of_a_tool() {
    let (offered, handed) = offered_input(&order().schema).unwrap();
    assert_eq!((&offered, handed), (&*order().schema, Handed::Arguments));

    let (offered, handed) = offered_input(&json!({ "type": "string", "maxLength": 9 })).unwrap();
    assert_eq!((&offered["properties"]["input"]["maxLength"], handed), (&json!(9), Handed::Text));
    assert_eq!(offered["required"], json!(["input"]));

    let list = json!({ "type": "array", "items": { "$ref": "#/$defs/n" }, "$defs": { "n": { "type": "integer" } } });
    let (offered, handed) = offered_input(&list).unwrap();
    assert_eq!(handed, Handed::Value);
    let check = super::super::compile(&offered).unwrap();
    check(r#"{"input": [1, 2]}"#).unwrap();
    check(r#"{"input": ["1"]}"#).unwrap_err();
    for elsewhere in [json!({ "type": "array", "items": { "$ref": "#" } }), json!({ "$id": "x", "type": "array" })] {
        assert!(offered_input(&elsewhere).unwrap_err().detail.contains("cannot be offered"));
    }
}

#[test]
fn an_example_is_told_only_when_it_fits() {
    let odd = compile_input(json!({ "type": "string", "pattern": "^[a-z]{40}$" })).unwrap();
    assert_eq!((odd.check)("1").unwrap_err().example, None);
    let own = compile_input(json!({ "type": "string", "pattern": "^[a-z]{3}$", "examples": ["abc"] })).unwrap();
    assert_eq!((own.check)("1").unwrap_err().example.as_deref(), Some("abc"));
    // A schema that holds itself ends as far as it is followed.
    let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#" } }, "required": ["next"] });
    assert_eq!((compile_input(tree).unwrap().check)("1").unwrap_err().example, None);
}
