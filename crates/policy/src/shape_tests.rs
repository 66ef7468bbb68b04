//! What of a JSON Schema policies can name.

use serde_json::json;

use super::*;

fn field(shape: Shape, required: bool) -> Field {
    Field { shape, required }
}

fn of(schema: &Value) -> Fields {
    Shape::of_arguments(schema)
}

#[test]
fn each_type_has_its_shape_and_what_has_none_cannot_be_named() {
    let schema = json!({
        "type": "object",
        "required": ["amount", "lines", "maybe"],
        "properties": {
            "amount": { "type": "integer" },
            "rate": { "type": "number" },
            "ok": { "type": "boolean" },
            "kind": { "enum": ["a", "b"] },
            "level": { "const": 3 },
            "maybe": { "type": ["string", "null"] },
            "also": { "type": "string", "nullable": true },
            "lines": { "type": "array", "items": { "type": "object", "properties": { "sku": { "type": "string" } } } },
            "anything": {},
            "two": { "type": ["string", "integer"] },
            "mixed": { "enum": ["a", 1] },
            "tuple": { "type": "array" },
            "holes": { "type": "array", "items": { "type": ["string", "null"] } },
        },
    });
    let sku = Fields::from([("sku".to_owned(), field(Shape::Text, false))]);
    let expected = Fields::from([
        ("amount".to_owned(), field(Shape::Long, true)),
        ("rate".to_owned(), field(Shape::Decimal, false)),
        ("ok".to_owned(), field(Shape::Bool, false)),
        ("kind".to_owned(), field(Shape::Text, false)),
        ("level".to_owned(), field(Shape::Long, false)),
        ("maybe".to_owned(), field(Shape::Text, false)),
        ("also".to_owned(), field(Shape::Text, false)),
        ("lines".to_owned(), field(Shape::Set(Box::new(Shape::Record(sku))), true)),
    ]);
    assert_eq!(of(&schema), expected);
}

#[test]
fn alternatives_leave_optional_attributes_and_none_where_they_disagree() {
    let schema = json!({
        "oneOf": [
            { "type": "object", "required": ["to", "iban"],
              "properties": { "to": { "type": "string" }, "iban": { "type": "string" }, "x": { "type": "integer" } } },
            { "type": "object", "required": ["to"],
              "properties": { "to": { "type": "string" }, "x": { "type": "string" } } },
        ],
    });
    let expected =
        Fields::from([("to".to_owned(), field(Shape::Text, true)), ("iban".to_owned(), field(Shape::Text, false))]);
    assert_eq!(of(&schema), expected);
    assert_eq!(
        of(&json!({ "anyOf": [{ "type": "object", "properties": { "a": { "type": "string" } } }, {}] })),
        Fields::new()
    );
}

#[test]
fn parts_that_all_hold_are_put_together() {
    let schema = json!({
        "allOf": [{ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] }],
        "properties": { "b": { "anyOf": [{ "type": "integer" }, { "type": "null" }] } },
    });
    let expected =
        Fields::from([("a".to_owned(), field(Shape::Text, true)), ("b".to_owned(), field(Shape::Long, false))]);
    assert_eq!(of(&schema), expected);
}

#[test]
fn references_are_followed_and_what_contains_itself_cannot_be_named() {
    let schema = json!({
        "$defs": {
            "money": { "type": "object", "properties": { "cents": { "type": "integer" } }, "required": ["cents"] },
            "tree": { "type": "object", "properties": { "name": { "type": "string" }, "below": { "$ref": "#/$defs/tree" } } },
        },
        "type": "object",
        "properties": {
            "price": { "$ref": "#/$defs/money" },
            "tree": { "$ref": "#/$defs/tree" },
            "away": { "$ref": "https://example.com/x.json" },
        },
    });
    let money = Fields::from([("cents".to_owned(), field(Shape::Long, true))]);
    let tree = Fields::from([("name".to_owned(), field(Shape::Text, false))]);
    let expected = Fields::from([
        ("price".to_owned(), field(Shape::Record(money), false)),
        ("tree".to_owned(), field(Shape::Record(tree), false)),
    ]);
    assert_eq!(of(&schema), expected);
}

#[test]
fn two_tools_of_one_name_share_what_they_agree_on() {
    let a = of(&json!({ "type": "object", "required": ["x", "y"],
        "properties": { "x": { "type": "integer" }, "y": { "type": "string" }, "z": { "type": "string" } } }));
    let b = of(&json!({ "type": "object", "required": ["x"],
        "properties": { "x": { "type": "integer" }, "y": { "type": "boolean" } } }));
    let expected =
        Fields::from([("x".to_owned(), field(Shape::Long, true)), ("z".to_owned(), field(Shape::Text, false))]);
    assert_eq!(Shape::common(&a, &b), expected);
}

#[test]
fn a_schema_that_is_too_deep_or_too_wide_is_read_as_far_as_the_bounds() {
    let mut deep = json!({ "type": "string" });
    for _ in 0..40 {
        deep = json!({ "type": "object", "properties": { "a": deep } });
    }
    assert_eq!(of(&deep).len(), 1);
    let wide: Map<String, Value> = (0..2_000).map(|n| (format!("a{n}"), json!({ "type": "string" }))).collect();
    assert_eq!(of(&json!({ "type": "object", "properties": wide })).len(), MAX_ATTRIBUTES);
}
