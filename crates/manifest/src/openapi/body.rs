//! The body of an operation (OpenAPI 3.1 section 4.8.13): JSON or a form. An object's members become arguments of their
//! own; any other body is the argument `body`.

use super::{
    arguments::Arguments,
    document::{Document, Failed, clip},
    parameters::words,
    schema::{self, Schemas, plain},
};
use crate::{
    api::{ApiBody, Fields},
    yaml::{Entry, Node},
};

/// Deepest nesting of `allOf` that is taken apart.
const LEVELS: usize = 8;
const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a request body.
pub(super) fn read<'d>(
    document: &'d Document<'d>,
    operation: &'d Node,
    schemas: &mut Schemas<'d>,
    arguments: &mut Arguments,
) -> Result<Option<ApiBody>, Failed> {
    let Some(entry) = operation.get("requestBody") else { return Ok(None) };
    let body = document.follow(&entry.node)?;
    let content = body.get("content").map(|e| e.node.entries()).unwrap_or_default();
    let (media, json) = choose(document, entry, content)?;
    let described = document.follow(&media.node)?;
    let required = document.flag(body, "required")? == Some(true);
    let name = essence(&media.key).to_owned();
    let about = words(body, "description");
    let Some(schema) = described.get("schema").map(|e| &e.node) else {
        // A body that says nothing of itself may be any JSON.
        let argument = arguments.add("body", "body", serde_json::json!({}), required);
        return Ok(Some(ApiBody { media: name, json, fields: Fields::Whole(argument) }));
    };
    if !json {
        encoding(document, described)?;
    }
    let parts = plain(document, schema, LEVELS);
    let parts = parts.filter(|p| p.required.iter().all(|name| p.properties.iter().any(|(known, _)| known == name)));
    let Some(parts) = parts else {
        let mut converted = schemas.convert(schema)?;
        schema::describe(&mut converted, about);
        let argument = arguments.add("body", "body", converted, required);
        return Ok(Some(ApiBody { media: name, json, fields: Fields::Whole(argument) }));
    };
    let mut members = Vec::new();
    for (property, schema) in parts.properties {
        let required = parts.required.contains(&property);
        let argument = arguments.add(property, "body", schemas.convert(schema)?, required);
        members.push((argument, property.to_owned()));
    }
    Ok(Some(ApiBody { media: name, json, fields: Fields::Members(members) }))
}

/// The media type that is sent: JSON before a form. Others are said to be missing, not guessed.
fn choose<'d>(document: &Document<'_>, body: &Entry, content: &'d [Entry]) -> Result<(&'d Entry, bool), Failed> {
    let is_json = |e: &&Entry| essence(&e.key) == "application/json" || essence(&e.key).ends_with("+json");
    if let Some(entry) = content.iter().find(is_json) {
        return Ok((entry, true));
    }
    if let Some(entry) = content.iter().find(|e| essence(&e.key) == FORM) {
        return Ok((entry, false));
    }
    let found: Vec<String> = content.iter().take(5).map(|e| format!("`{}`", clip(&e.key))).collect();
    let message = if found.is_empty() {
        "the body has no `content`".to_owned()
    } else {
        format!("the body is {}; only JSON and forms are sent", found.join(", "))
    };
    let hint = "leave the operation out of `only`, or describe a JSON body if the service takes one";
    Err(document.error(content.first().map_or(&body.at, |e| &e.at), message, Some(hint.into())))
}

/// A form's fields are written in one way; another would be sent wrongly.
fn encoding(document: &Document<'_>, media: &Node) -> Result<(), Failed> {
    for entry in media.get("encoding").map(|e| e.node.entries()).unwrap_or_default() {
        let style = words(&entry.node, "style").is_some_and(|style| style != "form");
        if style || document.flag(&entry.node, "explode")? == Some(false) {
            let message = format!("the field `{}` is written in a way that is not supported", clip(&entry.key));
            return Err(document.error(&entry.at, message, None));
        }
    }
    Ok(())
}

/// A media type without its parameters.
pub(super) fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}
