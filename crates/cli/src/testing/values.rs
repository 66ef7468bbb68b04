//! Comparing JSON values, and saying what differs.

use regex::Regex;
use serde_json::Value;

/// Differences that are told at once.
const MAX_TOLD: usize = 8;

/// What `found` lacks of `expected`; with `exactly` also what it has besides. `at` names the place.
pub(super) fn differences(at: &str, expected: &Value, found: &Value, exactly: bool) -> Vec<String> {
    let mut out = Vec::new();
    compare(at, expected, found, exactly, &mut out);
    out
}

fn compare(at: &str, expected: &Value, found: &Value, exactly: bool, out: &mut Vec<String>) {
    if out.len() >= MAX_TOLD {
        return;
    }
    match (expected, found) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                match have.get(key) {
                    Some(found) => compare(&format!("{at}.{key}"), value, found, exactly, out),
                    None => out.push(format!("{at}.{key}: expected {}, and it is not there", short(value))),
                }
            }
            for key in have.keys().filter(|key| exactly && !want.contains_key(*key)) {
                out.push(format!("{at}.{key}: not expected, found {}", short(&have[key])));
            }
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            for (n, (want, have)) in want.iter().zip(have).enumerate() {
                compare(&format!("{at}[{n}]"), want, have, exactly, out);
            }
        }
        _ if equal(expected, found) => {}
        _ => out.push(format!("{at}: expected {}, found {}", short(expected), short(found))),
    }
}

/// Whether two values are the same; `1` and `1.0` are.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a.to_bits() == b.to_bits())
}

/// What stands at a place such as `$.items[0].id`.
pub(super) fn at<'v>(value: &'v Value, place: &str) -> Option<&'v Value> {
    let mut value = value;
    for part in place.trim_start_matches('$').split(['.', '[']).filter(|p| !p.is_empty()) {
        value = match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(part)?,
        };
    }
    Some(value)
}

/// Why what stands at a place does not match an expression.
pub(super) fn mismatch(value: &Value, place: &str, expression: &str) -> Option<String> {
    let Some(found) = at(value, place) else {
        return Some(format!("{place}: expected /{expression}/, and it is not there"));
    };
    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
    // It was compiled when the case was read.
    let matches = Regex::new(expression).is_ok_and(|r| r.is_match(&text));
    (!matches).then(|| format!("{place}: expected /{expression}/, found {}", short(found)))
}

/// A value on one line.
pub(super) fn short(value: &Value) -> String {
    crate::ui::term::short(&value.to_string(), 120)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_with_its_place() {
        let found = json!({ "a": 1, "b": [1, { "c": "x" }], "d": null });
        assert!(differences("$", &json!({ "a": 1.0, "b": [1, {}] }), &found, false).is_empty());
        assert_eq!(
            differences("$", &json!({ "a": 2, "b": [1, { "c": "y", "e": 0 }] }), &found, true),
            [
                "$.a: expected 2, found 1",
                "$.b[1].c: expected \"y\", found \"x\"",
                "$.b[1].e: expected 0, and it is not there",
                "$.d: not expected, found null"
            ]
        );
        assert_eq!(differences("$", &json!([1]), &json!([1, 2]), false), ["$: expected [1], found [1,2]"]);
    }

    #[test]
    fn places_are_found_and_matched() {
        let value = json!({ "items": [{ "id": "A-1" }], "n": 42 });
        assert_eq!(at(&value, "$.items[0].id"), Some(&json!("A-1")));
        assert_eq!(at(&value, "$"), Some(&value));
        assert_eq!(at(&value, "$.items[1].id"), None);
        assert_eq!(mismatch(&value, "$.n", "^4"), None);
        assert_eq!(mismatch(&value, "$.n", "^5").as_deref(), Some("$.n: expected /^5/, found 42"));
        assert_eq!(mismatch(&value, "$.m", "x").as_deref(), Some("$.m: expected /x/, and it is not there"));
    }
}
