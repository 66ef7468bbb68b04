//! The OpenAPI documents of a manifest: imported with its files, and compared with what its `effects` say.

use std::{collections::BTreeMap, ops::Range, path::Path};

use stead_core::{code, effect::EffectClass};

use crate::{
    api::{Api, ApiOperation},
    check::locate,
    error::{ManifestError, listed, nearest},
    manifest::{Kind, Manifest, Tool},
    openapi::{self, ImportError, Wanted},
    source::Source,
    yaml::{Node, Value},
};

/// The operations that each tool names, or everything that is wrong with them.
pub(crate) fn import(
    source: &Source,
    root: &Node,
    manifest: &Manifest,
    files: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Api>, Vec<ManifestError>> {
    let mut apis = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, tool) in &manifest.tools {
        let Kind::Http(http) = &tool.kind else { continue };
        let Some((file, text)) = http.openapi.as_ref().and_then(|file| files.get_key_value(file)) else { continue };
        let document = Source { file: beside(&source.file, file), text: text.as_str().into() };
        let wanted =
            Wanted { only: &http.only, has_credential: tool.auth.is_some(), has_base_url: http.base_url.is_some() };
        let mut findings = Findings { source, root, tool: name, errors: &mut errors };
        match openapi::import(&document, &wanted) {
            Ok(api) => {
                effects(&mut findings, tool, &api);
                apis.insert(name.clone(), api);
            }
            Err(ImportError::Document(wrong)) => errors.extend(wrong),
            Err(ImportError::Unknown(unknown)) => {
                for (i, known) in unknown {
                    findings.unknown(i, &http.only[i], file, &known);
                }
            }
        }
    }
    if errors.is_empty() { Ok(apis) } else { Err(errors) }
}

/// The name by which errors call a file of the manifest's folder.
fn beside(manifest: &str, file: &str) -> String {
    let file = file.strip_prefix("./").unwrap_or(file);
    Path::new(manifest).with_file_name(file).display().to_string()
}

/// Errors in the manifest.
struct Findings<'f> {
    source: &'f Source,
    root: &'f Node,
    tool: &'f str,
    errors: &'f mut Vec<ManifestError>,
}

impl Findings<'_> {
    /// The item of `only` that the document does not have.
    fn unknown(&mut self, item: usize, id: &str, file: &str, known: &[String]) {
        let path = ["tools", self.tool, "http", "only"];
        let only = path.iter().try_fold(self.root, |node, key| node.get(key).map(|e| &e.node));
        let at = match only.map(|n| &n.value) {
            Some(Value::List(items)) => items.get(item).map(|n| n.at.clone()),
            _ => None,
        };
        let hint = match nearest(id, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "none of its operations has an `operationId`".to_owned(),
            None => format!("there is {}", listed(known.iter().map(String::as_str).take(20))),
        };
        let at = at.unwrap_or_else(|| locate(self.root, &path));
        self.value(&at, &path, format!("`{file}` has no operation `{id}`"), Some(hint));
    }

    fn effect(&mut self, operation: &str, key: &str, message: String, hint: Option<String>) {
        let path = ["tools", self.tool, "effects", operation, key];
        self.value(&locate(self.root, &path), &path, message, hint);
    }

    fn value(&mut self, at: &Range<usize>, path: &[&str], message: String, hint: Option<String>) {
        self.errors.push(self.source.error(code::MANIFEST_VALUE, at, path.join("."), message, hint));
    }
}

/// What the manifest says of an operation must be possible for it.
fn effects(findings: &mut Findings<'_>, tool: &Tool, api: &Api) {
    for (name, effect) in &tool.effects {
        let Some(operation) = api.operations.get(name) else { continue };
        if let Some((by, asks)) = effect.reconcile.as_ref().and_then(|by| api.operations.get_key_value(by)) {
            reconciler(findings, name, operation, by, asks);
        }
        let Some(argument) = effect.key.as_ref().and_then(|k| k.strip_prefix("$.")?.split('.').next()) else {
            continue;
        };
        let arguments: BTreeMap<&str, bool> = operation.arguments().collect();
        let keyless = effect.class.or(tool.effect) == Some(EffectClass::Pure);
        match arguments.get(argument) {
            None if !keyless => {
                let near = nearest(argument, arguments.keys().copied()).map(|n| format!("did you mean `$.{n}`?"));
                let hint = near.unwrap_or_else(|| format!("there is {}", listed(arguments.keys().copied().take(20))));
                findings.effect(name, "key", format!("there is no argument `{argument}`"), Some(hint));
            }
            Some(false) => {
                findings.effect(name, "key", format!("`{argument}` may be left out, so it cannot be the key"), None);
            }
            _ => {}
        }
    }
}

/// A reconcile operation is a read that the same arguments can ask.
fn reconciler(findings: &mut Findings<'_>, name: &str, asked: &ApiOperation, by: &str, asks: &ApiOperation) {
    if !asks.reads() {
        let message = format!("`{by}` is no read: a reconcile operation is a GET or HEAD");
        findings.effect(name, "reconcile", message, None);
    }
    let has: Vec<&str> = asked.arguments().map(|(argument, _)| argument).collect();
    for (need, _) in asks.arguments().filter(|(argument, required)| *required && !has.contains(argument)) {
        let message = format!("`{by}` needs `{need}`, which `{name}` does not have");
        let hint = "it is called with the arguments of the call that it asks about";
        findings.effect(name, "reconcile", message, Some(hint.into()));
    }
}
