//! Where a description says that its service is (OpenAPI 3.1 sections 4.8.5 and 4.8.6).

use super::document::{Document, Failed, clip, text};
use crate::yaml::Node;

/// Longest URL.
const MAX_URL: usize = 500;

/// The first server of the nearest list, when it is an absolute URL. A relative one says nothing to a file.
pub(super) fn first(document: &Document<'_>, holders: [&Node; 3]) -> Result<Option<String>, Failed> {
    for holder in holders {
        if let Some(server) = document.list(holder, "servers")?.first() {
            return url(document, server);
        }
    }
    Ok(None)
}

fn url(document: &Document<'_>, server: &Node) -> Result<Option<String>, Failed> {
    let template = document.text(server, "url")?.unwrap_or_default();
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(document.error(&server.at, "the server's URL has a `{` without `}`", None));
        };
        let variable = server.get("variables").and_then(|v| v.node.get(name));
        let Some(default) = variable.and_then(|v| v.node.get("default")).and_then(|e| text(&e.node)) else {
            let message = format!("the server's variable `{}` has no default", clip(name));
            let hint = "give the tool a `base_url`, which replaces the document's servers";
            return Err(document.error(&server.at, message, Some(hint.into())));
        };
        out.push_str(before);
        out.push_str(default);
        rest = after;
    }
    out.push_str(rest);
    let absolute = out.starts_with("https://") || out.starts_with("http://");
    if absolute && (out.len() > MAX_URL || out.contains(['?', '#', '@']) || !out.bytes().all(|b| b.is_ascii_graphic()))
    {
        let message = "the server's URL is too long, or holds a credential, `?`, `#` or blanks";
        return Err(document.error(&server.at, message, None));
    }
    Ok(absolute.then_some(out))
}
