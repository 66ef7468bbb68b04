//! The transform `redact`: texts of a call's arguments are replaced, every other byte of a member stays what it was.

use serde_json::value::RawValue;

use crate::{
    encode::{Place, Unfit},
    json::{self, Members},
    wanted::Path,
};

/// What stands in the place of a redacted text.
pub const REDACTED: &str = "[redacted]";

/// Arrays within arrays that are followed.
const MAX_NESTED: usize = 16;

/// The arguments with these fields replaced. A field that is not there, or `null`, stays so.
///
/// # Errors
/// A field that is no text, a name that stands twice.
pub(crate) fn redact(arguments: &str, fields: &[Path]) -> Result<String, Unfit> {
    let paths: Vec<&[String]> = fields.iter().map(Vec::as_slice).collect();
    let mut out = String::with_capacity(arguments.len());
    value(arguments, &paths, &Place::Root("context.args"), 0, &mut out)?;
    Ok(out)
}

fn value(text: &str, paths: &[&[String]], place: &Place<'_>, nested: usize, out: &mut String) -> Result<(), Unfit> {
    let unfit = |problem: String| Unfit { path: place.to_string(), problem };
    match text.trim_start().as_bytes().first() {
        Some(b'[') if nested < MAX_NESTED => {
            out.push('[');
            for (i, element) in json::elements(text).map_err(unfit)?.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                value(element.get(), paths, place, nested + 1, out)?;
            }
            out.push(']');
        }
        Some(b'"') if paths.iter().any(|path| path.is_empty()) => out.push_str(&quoted(REDACTED)),
        Some(b'n') if paths.iter().any(|path| path.is_empty()) => out.push_str(text),
        Some(b'{') if paths.iter().all(|path| !path.is_empty()) => members(text, paths, place, out)?,
        _ => return Err(unfit("is no text, so it cannot be redacted".to_owned())),
    }
    Ok(())
}

fn members(text: &str, paths: &[&[String]], place: &Place<'_>, out: &mut String) -> Result<(), Unfit> {
    let members = Members::of(text).map_err(|problem| Unfit { path: place.to_string(), problem })?;
    out.push('{');
    for (i, (name, raw)) in members.0.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        let below = paths.iter().filter(|path| path.first().is_some_and(|first| first == name));
        let below: Vec<&[String]> = below.map(|path| &path[1..]).collect();
        match below.as_slice() {
            [] => out.push_str(raw.get()),
            _ if raw.get() == "null" => out.push_str("null"),
            _ => value(raw.get(), &below, &Place::Below(place, name), 0, out)?,
        }
    }
    out.push('}');
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::value::to_raw_value(text)
        .as_deref()
        .map_or_else(|_| String::from("\"\""), |raw| RawValue::get(raw).to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn path(text: &str) -> Path {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn the_named_texts_are_replaced_and_nothing_else() {
        let arguments = r#"{"to":"a@b.c","n":1e400,"body":"x","lines":[{"note":"y","k":0.10},{"k":2}],"cc":null}"#;
        let fields = [path("body"), path("lines.note"), path("cc"), path("missing")];
        assert_eq!(
            redact(arguments, &fields).unwrap(),
            r#"{"to":"a@b.c","n":1e400,"body":"[redacted]","lines":[{"note":"[redacted]","k":0.10},{"k":2}],"cc":null}"#
        );
    }

    #[test]
    fn what_is_no_text_is_not_let_through() {
        assert!(redact(r#"{"body":{"x":"y"}}"#, &[path("body")]).is_err());
        assert!(redact(r#"{"body":7}"#, &[path("body")]).is_err());
        assert!(redact(r#"{"body":"a","body":"b"}"#, &[path("body")]).is_err());
    }
}
