//! How a value is written in a path, a query, a header or a cookie: the styles of OpenAPI, which are those of RFC 6570.
//! Every value is escaped for its place, so that none can change the shape of a request.

use serde_json::Value;

use super::template::percent_encode;
use crate::{
    config::{ApiParameter, ParameterPlace, Style},
    text,
};

/// `name=value` pairs, encoded.
pub(super) type Pairs = Vec<String>;

/// A value taken apart; members are scalars as text.
enum Parts {
    One(String),
    List(Vec<String>),
    Object(Vec<(String, String)>),
}

fn parts(p: &ApiParameter, value: &Value) -> Result<Parts, String> {
    if p.style == Style::Json {
        return Ok(Parts::One(text::json(value)));
    }
    let nested = || format!("`{}` is nested deeper than its place in the request can hold", p.argument);
    let scalar = |v: &Value| match v {
        Value::String(s) => Ok(s.clone()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(nested()),
        other => Ok(other.to_string()),
    };
    Ok(match value {
        Value::Array(items) => Parts::List(items.iter().map(scalar).collect::<Result<_, _>>()?),
        Value::Object(map) => {
            Parts::Object(map.iter().map(|(k, v)| Ok((k.clone(), scalar(v)?))).collect::<Result<_, String>>()?)
        }
        one => Parts::One(scalar(one)?),
    })
}

/// As a part of a path.
pub(super) fn path(p: &ApiParameter, value: &Value) -> Result<String, String> {
    let parts = parts(p, value)?;
    let empty = match &parts {
        Parts::One(text) => text.is_empty(),
        Parts::List(items) => items.is_empty() || items.iter().any(String::is_empty),
        Parts::Object(members) => members.is_empty(),
    };
    if empty {
        return Err(format!("`{}` stands in the path, so it must not be empty", p.argument));
    }
    let name = percent_encode(&p.name);
    Ok(match p.style {
        Style::Label => {
            let by = if p.explode { "." } else { "," };
            format!(".{}", listed(&parts, p.explode, by, percent_encode))
        }
        Style::Matrix => match &parts {
            Parts::List(items) if p.explode => {
                items.iter().map(|item| format!(";{name}={}", percent_encode(item))).collect()
            }
            Parts::Object(members) if p.explode => {
                members.iter().map(|(k, v)| format!(";{}={}", percent_encode(k), percent_encode(v))).collect()
            }
            parts => format!(";{name}={}", listed(parts, false, ",", percent_encode)),
        },
        _ => listed(&parts, p.explode, ",", percent_encode),
    })
}

/// As a header's value; the caller checks its characters.
pub(super) fn header(p: &ApiParameter, value: &Value) -> Result<String, String> {
    let written = listed(&parts(p, value)?, p.explode, ",", str::to_owned);
    if written.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Ok(written);
    }
    Err(format!("`{}` stands in a header, so it must be visible ASCII on one line", p.argument))
}

/// As `name=value` pairs of a query, a form or a cookie header.
pub(super) fn pairs(p: &ApiParameter, value: &Value) -> Result<Pairs, String> {
    let name = percent_encode(&p.name);
    let pair = |name: &str, value: &str| format!("{name}={}", percent_encode(value));
    let separator = match p.style {
        Style::SpaceDelimited => "%20",
        Style::PipeDelimited => "%7C",
        _ => ",",
    };
    let parts = parts(p, value)?;
    if p.place == ParameterPlace::Cookie && !matches!(parts, Parts::One(_)) && p.explode {
        return Err(format!("`{}` stands in a cookie, which holds one value", p.argument));
    }
    Ok(match parts {
        Parts::One(text) => vec![pair(&name, &text)],
        Parts::List(items) if p.explode && p.style != Style::DeepObject => {
            items.iter().map(|item| pair(&name, item)).collect()
        }
        Parts::List(_) if p.style == Style::DeepObject => {
            return Err(format!("`{}` must be an object", p.argument));
        }
        Parts::Object(members) if p.style == Style::DeepObject => {
            members.iter().map(|(k, v)| pair(&format!("{name}%5B{}%5D", percent_encode(k)), v)).collect()
        }
        Parts::Object(members) if p.explode => members.iter().map(|(k, v)| pair(&percent_encode(k), v)).collect(),
        parts => vec![format!("{name}={}", listed(&parts, false, separator, percent_encode))],
    })
}

/// Items and members in one text, as RFC 6570 lists them.
fn listed(parts: &Parts, explode: bool, by: &str, escape: impl Fn(&str) -> String) -> String {
    let items: Vec<String> = match parts {
        Parts::One(text) => vec![escape(text)],
        Parts::List(items) => items.iter().map(|item| escape(item)).collect(),
        Parts::Object(members) => members
            .iter()
            .map(
                |(k, v)| if explode { format!("{}={}", escape(k), escape(v)) } else { [escape(k), escape(v)].join(by) },
            )
            .collect(),
    };
    items.join(by)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn parameter(place: ParameterPlace, style: Style, explode: bool) -> ApiParameter {
        ApiParameter { argument: "color".into(), name: "color".into(), place, style, explode }
    }

    #[test]
    fn values_are_written_as_the_table_of_the_specification_says() {
        let (one, list, object) = (json!("blue"), json!(["blue", "black"]), json!({"R": 100, "G": 200}));
        let path = |style, explode, value| path(&parameter(ParameterPlace::Path, style, explode), value).unwrap();
        for (style, explode, want) in [
            (Style::Simple, false, ["blue", "blue,black", "R,100,G,200"]),
            (Style::Simple, true, ["blue", "blue,black", "R=100,G=200"]),
            (Style::Label, false, [".blue", ".blue,black", ".R,100,G,200"]),
            (Style::Label, true, [".blue", ".blue.black", ".R=100.G=200"]),
            (Style::Matrix, false, [";color=blue", ";color=blue,black", ";color=R,100,G,200"]),
            (Style::Matrix, true, [";color=blue", ";color=blue;color=black", ";R=100;G=200"]),
        ] {
            assert_eq!([&one, &list, &object].map(|v| path(style, explode, v)), want, "{style:?} {explode}");
        }
        let query = |style, explode, value| {
            pairs(&parameter(ParameterPlace::Query, style, explode), value).map(|pairs| pairs.join("&"))
        };
        for (style, explode, want) in [
            (Style::Form, false, ["color=blue", "color=blue,black", "color=R,100,G,200"]),
            (Style::Form, true, ["color=blue", "color=blue&color=black", "R=100&G=200"]),
            (Style::SpaceDelimited, false, ["color=blue", "color=blue%20black", "color=R%20100%20G%20200"]),
            (Style::PipeDelimited, false, ["color=blue", "color=blue%7Cblack", "color=R%7C100%7CG%7C200"]),
        ] {
            assert_eq!([&one, &list, &object].map(|v| query(style, explode, v).unwrap()), want, "{style:?} {explode}");
        }
        assert_eq!(query(Style::DeepObject, true, &object).unwrap(), "color%5BR%5D=100&color%5BG%5D=200");
        assert!(query(Style::DeepObject, true, &list).is_err());
        assert_eq!(query(Style::Json, true, &object).unwrap(), "color=%7B%22R%22%3A100%2C%22G%22%3A200%7D");
        assert!(query(Style::Form, true, &json!([[1]])).is_err());
    }

    #[test]
    fn no_value_changes_the_shape_of_a_request() {
        let p = parameter(ParameterPlace::Query, Style::Form, true);
        assert_eq!(pairs(&p, &json!("a&admin=1#x")).unwrap(), ["color=a%26admin%3D1%23x"]);
        assert_eq!(pairs(&p, &json!({"a&b": "c=d"})).unwrap(), ["a%26b=c%3Dd"]);
        let p = parameter(ParameterPlace::Path, Style::Simple, false);
        assert_eq!(path(&p, &json!(["../x", "y?z"])).unwrap(), "..%2Fx,y%3Fz");
        for empty in [json!(""), json!([]), json!([""]), json!({})] {
            assert!(path(&p, &empty).is_err(), "{empty}");
        }
        let p = parameter(ParameterPlace::Header, Style::Simple, false);
        assert!(header(&p, &json!("a\r\nHost: x")).is_err() && header(&p, &json!(["é"])).is_err());
        let p = parameter(ParameterPlace::Cookie, Style::Form, true);
        assert_eq!(pairs(&p, &json!("a; b=c")).unwrap(), ["color=a%3B%20b%3Dc"]);
        assert!(pairs(&p, &json!(["a", "b"])).is_err());
    }
}
