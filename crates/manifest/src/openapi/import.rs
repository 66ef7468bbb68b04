//! From a document's text to the operations that a manifest names.

use std::collections::BTreeMap;

use super::{
    arguments::Arguments,
    body,
    document::{Document, Failed, clip},
    parameters::{self, words},
    schema::Schemas,
    security, servers,
};
use crate::{
    api::{Api, ApiOperation},
    error::ManifestError,
    source::Source,
    yaml::{Entry, Node},
};

/// Methods that a tool may use, as a path names them.
const METHODS: &[(&str, &str)] =
    &[("get", "GET"), ("head", "HEAD"), ("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("delete", "DELETE")];
/// Methods that a path may have and a tool may not use.
const OTHERS: &[&str] = &["options", "trace", "query"];
/// Most characters of a description.
const MAX_DESCRIPTION: usize = 4_000;
/// Most media types that are asked for.
const MAX_ACCEPT: usize = 8;

/// What is wanted of a document.
pub(crate) struct Wanted<'w> {
    /// Ids of the operations.
    pub(crate) only: &'w [String],
    /// Whether the tool has a credential.
    pub(crate) has_credential: bool,
    /// Whether the manifest says where the service is.
    pub(crate) has_base_url: bool,
}

/// Why nothing was imported.
pub(crate) enum ImportError {
    /// The document is wrong, there.
    Document(Vec<ManifestError>),
    /// The document has no such operation; it has those.
    Unknown(Vec<(usize, Vec<String>)>),
}

/// Imports the wanted operations.
pub(crate) fn import(source: &Source, wanted: &Wanted<'_>) -> Result<Api, ImportError> {
    let document = Document::read(source).map_err(|e| ImportError::Document(vec![*e]))?;
    let all = operations(&document).map_err(|e| ImportError::Document(vec![*e]))?;
    let known = || all.keys().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let unknown = wanted.only.iter().enumerate().filter(|(_, id)| !all.contains_key(id.as_str()));
    let unknown: Vec<_> = unknown.map(|(i, _)| (i, known())).collect();
    if !unknown.is_empty() {
        return Err(ImportError::Unknown(unknown));
    }
    let mut api = Api::default();
    let mut errors = Vec::new();
    for id in wanted.only {
        let Some(found) = all.get(id.as_str()) else { continue };
        match operation(&document, found, wanted) {
            Ok(operation) => {
                api.operations.insert(id.clone(), operation);
            }
            Err(mut e) => {
                e.message = format!("operation `{id}`: {}", e.message);
                errors.push(*e);
            }
        }
    }
    if errors.is_empty() { Ok(api) } else { Err(ImportError::Document(errors)) }
}

/// An operation and where it stands.
struct Found<'d> {
    path: &'d str,
    item: &'d Node,
    method: &'d Entry,
    /// Where another operation has the same id.
    twice: bool,
}

/// Every operation that has an id.
fn operations<'d>(document: &'d Document<'d>) -> Result<BTreeMap<&'d str, Found<'d>>, Failed> {
    let mut all: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    for path in document.root.get("paths").map(|p| p.node.entries()).unwrap_or_default() {
        let item = document.follow(&path.node)?;
        for method in item.entries() {
            let key = method.key.as_str();
            if !METHODS.iter().any(|(name, _)| *name == key) && !OTHERS.contains(&key) {
                continue;
            }
            let Some(id) = words(&method.node, "operationId") else { continue };
            all.entry(id).and_modify(|found| found.twice = true).or_insert(Found {
                path: &path.key,
                item,
                method,
                twice: false,
            });
        }
    }
    Ok(all)
}

fn operation<'d>(document: &'d Document<'d>, found: &Found<'d>, wanted: &Wanted<'_>) -> Result<ApiOperation, Failed> {
    let at = &found.method.at;
    if found.twice {
        return Err(document.error(at, "another operation has the same `operationId`", None));
    }
    let Some((_, method)) = METHODS.iter().find(|(name, _)| *name == found.method.key) else {
        let message = format!("`{}` operations cannot be called", found.method.key);
        return Err(document.error(at, message, None));
    };
    let node = &found.method.node;
    let credential = security::placement(document, node, wanted.has_credential)?;
    let server = servers::first(document, [node, found.item, &document.root])?;
    if server.is_none() && !wanted.has_base_url {
        let hint = "give the tool a `base_url`";
        return Err(document.error(at, "the document does not say where the service is", Some(hint.into())));
    }
    let mut schemas = Schemas::new(document);
    let mut arguments = Arguments::default();
    let lists = [found.item, node];
    let parameters = parameters::read(document, found.path, lists, credential.as_ref(), &mut schemas, &mut arguments)?;
    if let Some(name) = parameters::unfilled(found.path, &parameters) {
        let message = format!("the path `{}` has no parameter `{}`", clip(found.path), clip(name));
        return Err(document.error(at, message, None));
    }
    let body = body::read(document, node, &mut schemas, &mut arguments)?;
    if body.is_some() && matches!(*method, "GET" | "HEAD") {
        return Err(document.error(at, "a GET or HEAD with a body cannot be called", None));
    }
    let defs = schemas.defs()?;
    Ok(ApiOperation {
        method,
        path: found.path.to_owned(),
        server,
        description: description(found.item, node),
        schema: arguments.schema(defs),
        parameters,
        body,
        accept: accept(document, node)?,
        credential,
    })
}

/// What the model reads of it.
fn description(item: &Node, node: &Node) -> String {
    let of = |key| words(node, key).or_else(|| words(item, key)).map(str::trim).filter(|w| !w.is_empty());
    let (summary, long) = (of("summary"), of("description"));
    let deprecated = words(node, "deprecated") == Some("true");
    let parts = [summary, long.filter(|l| Some(*l) != summary), deprecated.then_some("It is deprecated.")];
    let whole = parts.into_iter().flatten().collect::<Vec<_>>().join("\n");
    whole.chars().take(MAX_DESCRIPTION).collect()
}

/// Media types of good answers, JSON first.
fn accept(document: &Document<'_>, node: &Node) -> Result<Vec<String>, Failed> {
    let mut found: Vec<String> = Vec::new();
    for response in node.get("responses").map(|r| r.node.entries()).unwrap_or_default() {
        if !response.key.starts_with('2') && response.key != "default" {
            continue;
        }
        let response = document.follow(&response.node)?;
        for media in response.get("content").map(|c| c.node.entries()).unwrap_or_default() {
            let essence = body::essence(&media.key);
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+*/".contains(&b);
            let usable = essence.len() <= 100 && essence.contains('/') && essence.bytes().all(token);
            if usable && !found.iter().any(|known| known == essence) {
                found.push(essence.to_owned());
            }
        }
    }
    found.sort_by_key(|media| !media.ends_with("json"));
    found.truncate(MAX_ACCEPT);
    Ok(found)
}
