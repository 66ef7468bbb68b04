//! Parameters outside of the body (OpenAPI 3.1 section 4.8.12).

use super::{
    arguments::Arguments,
    document::{Document, Failed, clip, text},
    schema::{self, Schemas},
};
use crate::{
    api::{ApiParameter, ParameterPlace, Placement, Style},
    yaml::{Node, Value},
};

/// Most parameters of an operation.
const MAX_PARAMETERS: usize = 100;
/// Headers that a description may name and that are not parameters (OpenAPI 3.1 section 4.8.12.2), and the one that the
/// runtime sends itself.
const NOT_ARGUMENTS: &[&str] = &["accept", "content-type", "authorization", "idempotency-key"];

/// A parameter as it is described.
struct Described<'d> {
    node: &'d Node,
    name: &'d str,
    place: ParameterPlace,
}

/// Reads the parameters of an operation: its own, and those of its path that it does not replace.
pub(super) fn read<'d>(
    document: &'d Document<'d>,
    path: &str,
    lists: [&'d Node; 2],
    credential: Option<&Placement>,
    schemas: &mut Schemas<'d>,
    arguments: &mut Arguments,
) -> Result<Vec<ApiParameter>, Failed> {
    let mut found: Vec<Described<'d>> = Vec::new();
    for list in lists {
        for item in document.list(list, "parameters")? {
            let parameter = described(document, item)?;
            found.retain(|other| (other.name, other.place) != (parameter.name, parameter.place));
            found.push(parameter);
        }
        if found.len() > MAX_PARAMETERS {
            let message = format!("more than {MAX_PARAMETERS} parameters");
            return Err(document.error(&list.at, message, None));
        }
    }
    // The path keeps its names; a stable sort keeps the rest in order.
    found.sort_by_key(|p| p.place);
    let mut out = Vec::new();
    for p in found {
        let skipped = match p.place {
            ParameterPlace::Path => !path.contains(&format!("{{{}}}", p.name)),
            ParameterPlace::Header => NOT_ARGUMENTS.contains(&p.name.to_ascii_lowercase().as_str()),
            _ => false,
        };
        if !skipped && !is_credential(&p, credential) {
            out.push(parameter(document, &p, schemas, arguments)?);
        }
    }
    Ok(out)
}

fn described<'d>(document: &'d Document<'d>, item: &'d Node) -> Result<Described<'d>, Failed> {
    let node = document.follow(item)?;
    let places = [
        ("path", ParameterPlace::Path),
        ("query", ParameterPlace::Query),
        ("header", ParameterPlace::Header),
        ("cookie", ParameterPlace::Cookie),
    ];
    let (Some(name), Some(place)) = (document.text(node, "name")?, document.word(node, "in", &places)?) else {
        return Err(document.error(&node.at, "a parameter needs `name` and `in`", None));
    };
    Ok(Described { node, name, place })
}

/// Whether `auth` fills it in.
fn is_credential(p: &Described<'_>, credential: Option<&Placement>) -> bool {
    match (credential, p.place) {
        (Some(Placement::Header(name)), ParameterPlace::Header) => name.eq_ignore_ascii_case(p.name),
        (Some(Placement::Query(name)), ParameterPlace::Query)
        | (Some(Placement::Cookie(name)), ParameterPlace::Cookie) => name == p.name,
        _ => false,
    }
}

fn parameter<'d>(
    document: &'d Document<'d>,
    p: &Described<'d>,
    schemas: &mut Schemas<'d>,
    arguments: &mut Arguments,
) -> Result<ApiParameter, Failed> {
    let allowed: &[(&str, Style)] = match p.place {
        ParameterPlace::Path => &[("simple", Style::Simple), ("label", Style::Label), ("matrix", Style::Matrix)],
        ParameterPlace::Query => &[
            ("form", Style::Form),
            ("spaceDelimited", Style::SpaceDelimited),
            ("pipeDelimited", Style::PipeDelimited),
            ("deepObject", Style::DeepObject),
        ],
        ParameterPlace::Header => &[("simple", Style::Simple)],
        ParameterPlace::Cookie => &[("form", Style::Form)],
    };
    let style = document.word(p.node, "style", allowed)?;
    let mut style = style.unwrap_or(allowed[0].1);
    let explode = document.flag(p.node, "explode")?.unwrap_or(style == Style::Form);
    let (schema, json) = schema_of(document, p)?;
    if json {
        style = Style::Json;
    }
    let mut schema = schemas.convert(schema)?;
    schema::describe(&mut schema, document.text(p.node, "description")?);
    let required = p.place == ParameterPlace::Path || document.flag(p.node, "required")? == Some(true);
    let place = match p.place {
        ParameterPlace::Path => "path",
        ParameterPlace::Query => "query",
        ParameterPlace::Header => "header",
        ParameterPlace::Cookie => "cookie",
    };
    let argument = arguments.add(p.name, place, schema, required);
    Ok(ApiParameter { argument, name: p.name.to_owned(), place: p.place, style, explode })
}

/// A parameter's schema, and whether its value is written as JSON.
fn schema_of<'d>(document: &'d Document<'d>, p: &Described<'d>) -> Result<(&'d Node, bool), Failed> {
    if let Some(entry) = p.node.get("schema") {
        return Ok((&entry.node, false));
    }
    let content = p.node.get("content").map(|e| &e.node);
    if let Some(Node { value: Value::Map(entries), .. }) = content
        && let [only] = entries.as_slice()
    {
        let json =
            only.key.split(';').next().is_some_and(|m| m.trim() == "application/json" || m.trim().ends_with("+json"));
        let media = document.follow(&only.node)?;
        if json && let Some(entry) = media.get("schema") {
            return Ok((&entry.node, true));
        }
        let message = format!("the parameter `{}` is written as `{}`; only JSON is", clip(p.name), clip(&only.key));
        return Err(document.error(&only.at, message, None));
    }
    Err(document.error(&p.node.at, format!("the parameter `{}` has no schema", clip(p.name)), None))
}

/// Names in the braces of a path that no parameter fills.
pub(super) fn unfilled<'p>(path: &'p str, parameters: &[ApiParameter]) -> Option<&'p str> {
    let names = path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    names.into_iter().find(|name| !parameters.iter().any(|p| p.place == ParameterPlace::Path && p.name == *name))
}

/// The text under a key that need not be there.
pub(super) fn words<'d>(node: &'d Node, key: &str) -> Option<&'d str> {
    node.get(key).and_then(|e| text(&e.node))
}
