//! What templates may and may not put into a request.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn path(template: &str, arguments: Value) -> Result<String, String> {
    Template::compile(template).unwrap().path(&Values { arguments: &arguments, key: "run_1.e2" })
}

#[test]
fn a_value_in_a_path_stays_one_segment() {
    let ok = |value: &str| path("/orders/{{args.id}}/refunds", json!({"id": value})).unwrap();
    assert_eq!(ok("a b"), "/orders/a%20b/refunds");
    assert_eq!(ok("../admin"), "/orders/..%2Fadmin/refunds");
    assert_eq!(ok("a/../../b"), "/orders/a%2F..%2F..%2Fb/refunds");
    assert_eq!(ok("%2e%2e"), "/orders/%252e%252e/refunds");
    assert_eq!(ok("x?admin=1#y"), "/orders/x%3Fadmin%3D1%23y/refunds");
    assert_eq!(ok("\\..\\x"), "/orders/%5C..%5Cx/refunds");
    assert_eq!(ok("@evil.example:80//"), "/orders/%40evil.example%3A80%2F%2F/refunds");
    assert_eq!(ok("é\r\nHost: x"), "/orders/%C3%A9%0D%0AHost%3A%20x/refunds");
    for bad in [".", "..", ""] {
        assert!(path("/orders/{{args.id}}/refunds", json!({"id": bad})).is_err(), "{bad}");
    }
    // Two values or a value and fixed text cannot make a dot segment together either.
    assert!(path("/x/{{args.a}}{{args.b}}", json!({"a": ".", "b": "."})).is_err());
    assert!(path("/x/.{{args.a}}", json!({"a": "."})).is_err());
    assert!(path("/x/{{args.a}}", json!({"a": ["."]})).is_err());
    assert!(path("/x/{{args.a}}", json!({})).is_err());
    assert!(path("/x/{{args.a}}", json!({"a": null})).is_err());
    assert!(path("/x/{{args.a}}", json!({"a": "y".repeat(9_000)})).is_err());
    assert_eq!(path("/x/{{ args.deep.id }}/{{key}}", json!({"deep": {"id": 7}})).unwrap(), "/x/7/run_1.e2");
}

#[test]
fn a_value_in_a_header_cannot_start_another() {
    let template = Template::compile("tag {{args.a}}").unwrap();
    let header = |a: Value| template.header(&Values { arguments: &json!({"a": a}), key: "k" });
    assert_eq!(header(json!("x y")), Ok(Some("tag x y".into())));
    assert_eq!(header(Value::Null), Ok(None));
    for bad in ["x\r\nHost: evil", "x\ny", "x\ry", "x\0", "\u{7f}", "é", "\t", "\u{2028}"] {
        assert!(header(json!(bad)).is_err(), "{bad:?}");
    }
    let key = Template::compile("{{key}}").unwrap();
    assert!(key.header(&Values { arguments: &json!({}), key: "a\r\nb: c" }).is_err());
}

#[test]
fn a_value_in_a_body_keeps_its_type_and_its_place() {
    let template = json!({"id": "{{args.id}}", "all": "{{args}}", "note": "for {{args.who}}, {{key}}", "n": 1,
        "list": ["{{args.tags}}", "{{args.gone}}"], "gone": "{{args.gone}}", "half": "x {{args.gone}}"});
    let arguments = json!({"id": 7, "who": "\", \"admin\": true, \"x\": \"", "tags": ["a"]});
    let body = Body::compile(&template).unwrap().render(&Values { arguments: &arguments, key: "k" }).unwrap();
    assert_eq!(
        body,
        json!({"id": 7, "all": arguments, "note": "for \", \"admin\": true, \"x\": \", k", "n": 1, "list": [["a"]]})
    );
    // A value that looks like a template is only a value.
    let arguments = json!({"id": "{{key}}"});
    let body = Body::compile(&json!(["{{args.id}}", "<{{args.id}}>"])).unwrap();
    assert_eq!(body.render(&Values { arguments: &arguments, key: "k" }).unwrap(), json!(["{{key}}", "<{{key}}>"]));
}

#[test]
fn wrong_templates_are_refused_when_they_are_read() {
    for bad in ["{{args.id", "{{}}", "{{env.HOME}}", "{{args.}}", "{{args.a b}}", "{{args..b}}", "{{{{key}}}}"] {
        assert!(Template::compile(bad).is_err(), "{bad}");
    }
    for bad in
        ["orders", "//evil.example/x", "/a/../b", "/a/%2e%2E/b", "/a?b=c", "/a#b", "/a\\b", "/a b", "/{{args}}", "/é"]
    {
        assert!(check_path(bad, &Template::compile(bad).unwrap()).is_err(), "{bad}");
    }
    for good in ["/", "/a/{{args.id}}.json", "/a:do/v1/{{args.a}}-{{args.b}}"] {
        assert_eq!(check_path(good, &Template::compile(good).unwrap()), Ok(()), "{good}");
    }
}
