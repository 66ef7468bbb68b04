//! Where an operation takes its credential (OpenAPI 3.1 sections 4.8.27 and 4.8.30).

use super::document::{Document, Failed, clip, text};
use crate::{api::Placement, yaml::Node};

/// Where the one credential of a tool goes for this operation. `None`: the operation takes none.
///
/// A document that never speaks of security says nothing, and the credential goes where it goes by default: a bearer
/// token.
pub(super) fn placement(
    document: &Document<'_>,
    operation: &Node,
    has_credential: bool,
) -> Result<Option<Placement>, Failed> {
    let holder = [operation, &document.root].into_iter().find(|n| n.get("security").is_some());
    let Some(holder) = holder else {
        let speaks = document.root.get("components").is_some_and(|c| c.node.get("securitySchemes").is_some());
        return Ok((has_credential && !speaks).then_some(Placement::Bearer));
    };
    let choices = document.list(holder, "security")?;
    let mut why = None;
    for choice in choices {
        match choice.entries() {
            [] if !has_credential => return Ok(None),
            [] => {}
            [one] => match scheme(document, &one.key, one) {
                Ok(placement) if has_credential => return Ok(Some(placement)),
                Ok(_) => {}
                Err(e) => {
                    why.get_or_insert(e);
                }
            },
            [_, second, ..] => {
                let message = "more than one credential at once; a tool has one";
                why.get_or_insert(document.error(&second.at, message, None));
            }
        }
    }
    // Anonymous calls are allowed, or nothing is asked for.
    if choices.is_empty() || choices.iter().any(|c| c.entries().is_empty()) {
        return Ok(None);
    }
    if !has_credential {
        let at = holder.get("security").map_or(0..0, |e| e.at.clone());
        let hint = "give the tool `auth: env://NAME`";
        return Err(document.error(&at, "the operation needs a credential", Some(hint.into())));
    }
    Err(why.unwrap_or_else(|| document.error(&holder.at, "the operation's credential is not described", None)))
}

/// Where a scheme puts its credential.
fn scheme(document: &Document<'_>, name: &str, named: &crate::yaml::Entry) -> Result<Placement, Failed> {
    let schemes = document.root.get("components").and_then(|c| c.node.get("securitySchemes"));
    let Some(entry) = schemes.and_then(|s| s.node.get(name)) else {
        let message = format!("there is no security scheme `{}`", clip(name));
        return Err(document.error(&named.at, message, None));
    };
    let node = document.follow(&entry.node)?;
    let word = |key: &str| node.get(key).and_then(|e| text(&e.node)).unwrap_or_default();
    match word("type") {
        "apiKey" => {
            let name = word("name").to_owned();
            match word("in") {
                _ if name.is_empty() => Err(document.error(&entry.at, "an API key needs `name`", None)),
                "header" if name.eq_ignore_ascii_case("authorization") => Ok(Placement::Header("authorization".into())),
                "header" => Ok(Placement::Header(name)),
                "query" => Ok(Placement::Query(name)),
                "cookie" => Ok(Placement::Cookie(name)),
                other => Err(document.error(&entry.at, format!("an API key cannot stand in `{}`", clip(other)), None)),
            }
        }
        "http" => match word("scheme").to_ascii_lowercase().as_str() {
            "bearer" => Ok(Placement::Bearer),
            "basic" => Ok(Placement::Basic),
            other => Err(document.error(&entry.at, format!("the scheme `{}` is not supported", clip(other)), None)),
        },
        // Whoever gives the credential has fetched the token (RFC 6750).
        "oauth2" | "openIdConnect" => Ok(Placement::Bearer),
        other => Err(document.error(&entry.at, format!("the scheme type `{}` is not supported", clip(other)), None)),
    }
}
