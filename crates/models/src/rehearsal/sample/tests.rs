//! Gnarly schemas, each judged by the validator that judges real calls.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

#[track_caller]
fn fits(schema: Value) -> Value {
    let value = sample(&schema).unwrap_or_else(|| panic!("nothing found for {schema}"));
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    if let Err(e) = validator.validate(&value) {
        panic!("{value} does not satisfy {schema}: {e}");
    }
    value
}

fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

#[test]
fn required_members_are_filled_and_optional_ones_left_out() {
    let schema = json!({ "type": "object", "required": ["a"],
        "properties": { "a": { "type": "integer" }, "b": { "type": "string" } } });
    assert_eq!(fits(schema), json!({ "a": 1 }));
    assert_eq!(fits(json!({ "type": "object" })), json!({}));
}

#[test]
fn numbers_stay_within_bounds_and_on_their_steps() {
    for schema in [
        json!({ "type": "integer", "minimum": 5, "maximum": 5 }),
        json!({ "type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7 }),
        json!({ "type": "integer", "maximum": -10 }),
        json!({ "type": "integer", "maximum": -10, "multipleOf": 7 }),
        json!({ "type": "integer", "minimum": 100, "multipleOf": 33 }),
        json!({ "type": "integer", "multipleOf": 2.5 }),
        json!({ "type": "integer", "minimum": 1.5, "maximum": 2.5 }),
        json!({ "type": "integer", "minimum": -9_007_199_254_740_991_i64, "maximum": -9_007_199_254_740_990_i64 }),
        json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 }),
        json!({ "type": "number", "minimum": 0.25, "maximum": 0.5, "multipleOf": 0.25 }),
        json!({ "type": "number", "exclusiveMinimum": 0.5, "multipleOf": 0.5 }),
        json!({ "type": ["number", "null"], "maximum": -0.5 }),
        json!({ "minimum": 3 }),
    ] {
        fits(schema);
    }
}

#[test]
fn strings_have_their_length_format_and_pattern() {
    for schema in [
        json!({ "type": "string", "minLength": 30 }),
        json!({ "type": "string", "maxLength": 2 }),
        json!({ "type": "string", "minLength": 3, "maxLength": 3 }),
        json!({ "type": "string", "pattern": r"^ORD-\d{4,6}$" }),
        json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        json!({ "type": "string", "pattern": "^(red|green|blue)-(1|2)$" }),
        json!({ "type": "string", "pattern": "^[a-f0-9]+$", "minLength": 12, "maxLength": 12 }),
        json!({ "type": "string", "pattern": "b+c" }),
        json!({ "type": "string", "pattern": r"^\w+@\w+\.[a-z]{2,}$" }),
        json!({ "type": "string", "pattern": "^[a-z]*$", "minLength": 200 }),
        json!({ "type": "string", "pattern": "^[^abc]{2}$" }),
    ] {
        fits(schema);
    }
    for format in [
        "date-time",
        "date",
        "time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "iri",
        "uri-reference",
        "iri-reference",
        "uri-template",
        "uuid",
        "json-pointer",
        "relative-json-pointer",
        "regex",
        "unheard-of",
    ] {
        fits(json!({ "type": "string", "format": format }));
    }
}

#[test]
fn arrays_have_their_size_prefix_and_distinct_members() {
    for schema in [
        json!({ "type": "array", "items": { "type": "string" }, "minItems": 5, "uniqueItems": true }),
        json!({ "type": "array", "items": { "type": "integer", "minimum": 10, "multipleOf": 5 }, "minItems": 4, "uniqueItems": true }),
        json!({ "type": "array", "items": { "enum": ["a", "b", "c"] }, "minItems": 3, "uniqueItems": true }),
        json!({ "type": "array", "items": { "type": "boolean" }, "minItems": 2, "uniqueItems": true }),
        json!({ "type": "array", "items": { "type": "string", "format": "uuid" }, "minItems": 3, "uniqueItems": true }),
        json!({ "type": "array", "items": { "type": "string", "pattern": "^x+$" }, "minItems": 3, "uniqueItems": true }),
        json!({ "type": "array", "items": object(json!({ "id": { "type": "integer" } })), "minItems": 3, "uniqueItems": true }),
        json!({ "type": "array", "maxItems": 0 }),
        json!({ "type": "array", "items": false }),
        json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "integer" }], "items": false, "minItems": 2 }),
        json!({ "type": "array", "contains": { "const": 7 }, "minContains": 2, "minItems": 3 }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "type": "array",
            "items": [{ "type": "integer" }, { "const": "x" }], "additionalItems": { "type": "null" }, "minItems": 4 }),
    ] {
        fits(schema);
    }
}

#[test]
fn combinations_are_found_by_a_short_search() {
    for schema in [
        json!({ "allOf": [{ "type": "object", "required": ["a"], "properties": { "a": { "minimum": 3 } } },
            { "required": ["b"], "properties": { "a": { "type": "integer", "maximum": 3 }, "b": { "const": "x" } } }] }),
        json!({ "anyOf": [false, { "type": "string" }] }),
        json!({ "oneOf": [{ "type": "integer" }, { "type": "number", "minimum": 2 }] }),
        json!({ "oneOf": [{ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } },
            { "type": "object", "required": ["a", "b"], "properties": { "a": { "type": "string" }, "b": { "type": "string" } } }] }),
        json!({ "enum": ["a", "b"], "not": { "const": "a" } }),
        json!({ "type": "object", "required": ["kind"], "properties": { "kind": { "enum": ["a", "b"] } },
            "if": { "properties": { "kind": { "const": "a" } } }, "then": { "required": ["x"], "properties": { "x": { "type": "integer" } } },
            "else": { "required": ["y"] } }),
        json!({ "type": "object", "minProperties": 3, "properties": { "a": { "type": "integer" } } }),
        json!({ "type": "object", "minProperties": 2, "patternProperties": { "^k[0-9]+$": { "type": "integer" } }, "additionalProperties": false }),
        json!({ "type": "object", "minProperties": 2, "propertyNames": { "pattern": "^[A-Z]+$" } }),
        json!({ "type": "object", "required": ["card"], "properties": { "card": { "type": "string" }, "cvc": { "type": "integer" } },
            "dependentRequired": { "card": ["cvc"] },
            "dependentSchemas": { "cvc": { "required": ["zip"], "properties": { "zip": { "type": "string", "pattern": "^\\d{5}$" } } } } }),
        json!({ "type": ["string", "null"], "minLength": 2 }),
        json!({ "type": "object", "required": ["a"], "additionalProperties": { "type": "integer" } }),
        json!(true),
        json!({}),
    ] {
        fits(schema);
    }
}

#[test]
fn references_and_recursion_end() {
    fits(json!({ "$ref": "#/$defs/a%20b", "$defs": { "a b": { "type": "integer" } } }));
    fits(json!({ "$ref": "#/$defs/x~1y", "$defs": { "x/y": { "const": 1 } } }));
    fits(
        json!({ "$ref": "#tree", "$defs": { "t": { "$anchor": "tree", "type": "object", "required": ["value", "children"],
        "properties": { "value": { "type": "integer" }, "children": { "type": "array", "items": { "$ref": "#tree" } } } } } }),
    );
    fits(json!({ "$defs": { "list": { "anyOf": [
        { "type": "object", "required": ["next"], "properties": { "next": { "$ref": "#/$defs/list" } } }, { "type": "null" }] } },
        "$ref": "#/$defs/list" }));
}

#[test]
fn what_nothing_satisfies_is_given_up_in_bounded_time() {
    for schema in [
        json!(false),
        json!({ "$ref": "#" }),
        json!({ "type": "string", "minLength": 5, "maxLength": 4 }),
        json!({ "type": "object", "required": ["self"], "properties": { "self": { "$ref": "#" } } }),
        json!({ "type": "array", "minItems": 1_000_000 }),
        json!({ "allOf": [{ "type": "string" }, { "type": "integer" }] }),
        json!({ "type": "string", "pattern": "^(a{1000}){1000}$" }),
        json!({ "allOf": vec![json!({ "$ref": "#" }); 10] }),
    ] {
        assert_eq!(sample(&schema), None, "{schema}");
    }
}

#[test]
fn examples_and_defaults_are_preferred_when_they_are_valid() {
    assert_eq!(fits(object(json!({ "id": { "type": "string", "examples": ["1042"] } }))), json!({ "id": "1042" }));
    assert_eq!(fits(object(json!({ "n": { "type": "integer", "default": 10 } }))), json!({ "n": 10 }));
    fits(object(json!({ "n": { "type": "integer", "default": "wrong" } })));
}

#[test]
fn the_same_schema_gives_the_same_value() {
    let schema =
        object(json!({ "a": { "oneOf": [{ "type": "integer" }, { "type": "number" }] }, "b": { "type": "string" } }));
    assert_eq!(fits(schema.clone()), fits(schema));
}
