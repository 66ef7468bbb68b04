//! What two manifests let their tools and models reach: destinations, the names of the credentials that are shown there, the
//! kinds of SQL statements, what is sent there, and what inputs and answers must look like.
//!
//! Not here: what the machine works by (classes, approvals, limits), which is compared in `diff`. No value of a secret is
//! read; manifests hold only names.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use stead_api::version::SafetyChange;
use stead_manifest::{
    Bundle,
    manifest::{Auth, Kind, Mcp, ModelChoice, ModelSource, SecretRef, Tool, Variable},
};

use super::{boxes, environment::provider, requests};

/// What may be reached, by what it is (`destination`, `credential`, `allow`) and whose it is.
type Reached = BTreeMap<(&'static str, String), BTreeSet<String>>;

/// What the second may reach otherwise than the first, agents of their folders included. More of anything is looser; so is a
/// schema that is gone, for then nothing is checked, and any other request: a header that is left out can be the one that said
/// "only try".
pub(super) fn changes(from: &Bundle, to: &Bundle) -> Vec<SafetyChange> {
    let (mut before, mut after) = (Reached::new(), Reached::new());
    collect("", from, &mut before);
    collect("", to, &mut after);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let none = BTreeSet::new();
    let mut out = Vec::new();
    for key in keys {
        let (a, b) = (before.get(key).unwrap_or(&none), after.get(key).unwrap_or(&none));
        if a != b {
            let still = |what| after.contains_key(&(what, key.1.clone()));
            let looser = match key.0 {
                SCHEMA => b.is_empty(),
                requests::REQUEST | requests::HEADER | requests::QUERY | requests::BODY => {
                    still(requests::REQUEST) || still(DESTINATION)
                }
                _ => !b.is_subset(a),
            };
            out.push(SafetyChange { what: key.0.into(), name: key.1.clone(), from: told(a), to: told(b), looser });
        }
    }
    out
}

const DESTINATION: &str = "destination";
const CREDENTIAL: &str = "credential";
const ALLOW: &str = "allow";
const SCHEMA: &str = "schema";
const SANDBOX: &str = "sandbox";
const EGRESS: &str = "egress";
const WORKSPACE: &str = "workspace";

/// Most characters of one text that are told.
const SHOWN: usize = 100;

/// On one line, so that nothing in a manifest looks like a line of the comparison.
fn told(values: &BTreeSet<String>) -> Option<String> {
    let line = values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    (!values.is_empty()).then(|| line.replace(char::is_control, " "))
}

/// A text in short; what was cut shows by its digest.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({})", &text[..end], digest(text)),
        None => text.to_owned(),
    }
}

fn collect(folder: &str, bundle: &Bundle, out: &mut Reached) {
    let name = |own: &str| format!("{folder}{own}");
    let mut put = |what, own: &str, values: Vec<String>| {
        if !values.is_empty() {
            out.entry((what, name(own))).or_default().extend(values);
        }
    };
    for choice in bundle.manifest.model.chain() {
        let place = model_place(choice);
        put(CREDENTIAL, "model", model_keys(choice, place.as_deref()));
        put(DESTINATION, "model", place.into_iter().collect());
    }
    for (tool_name, tool) in &bundle.manifest.tools {
        put(DESTINATION, tool_name, destinations(tool_name, tool, bundle));
        put(CREDENTIAL, tool_name, credentials(tool));
        if let Kind::Sql(sql) = &tool.kind {
            put(ALLOW, tool_name, sql.allow.clone());
        }
        for (operation, parts) in requests::of(tool_name, tool, bundle) {
            parts.into_iter().for_each(|(what, values)| put(what, &operation, values));
        }
        put(WORKSPACE, tool_name, boxes::workspace(tool));
        if let Some(sandbox) = tool.sandbox_in(&bundle.manifest) {
            put(SANDBOX, tool_name, boxes::sandbox(&sandbox));
            put(EGRESS, tool_name, boxes::egress(&sandbox));
            put(CREDENTIAL, tool_name, boxes::secrets(&sandbox));
        }
    }
    for (own, schema) in [("input", bundle.input_schema()), ("output", bundle.output_schema())] {
        put(SCHEMA, own, schema.iter().map(|schema| digest(&sorted(schema).to_string())).collect());
    }
    for (path, agent) in &bundle.agents {
        let below = path.strip_prefix("./").unwrap_or(path).trim_end_matches('/');
        collect(&format!("{folder}{below}/"), agent, out);
    }
}

/// Where a model answers: its URL, or its provider, whose usual address it is then. Scripts and cassettes reach nothing.
fn model_place(choice: &ModelChoice) -> Option<String> {
    let ModelSource::Provider(model) = &choice.source else { return None };
    let name = model.as_str().split(':').next().unwrap_or_default();
    match &choice.base_url {
        Some(url) => Some(format!("{name} at {url}")),
        None => (name != "rehearsal").then(|| name.to_owned()),
    }
}

/// The names of a model's keys, with where they go. An endpoint of the manifest's own choice has no usual key.
fn model_keys(choice: &ModelChoice, place: Option<&str>) -> Vec<String> {
    let Some(place) = place else { return Vec::new() };
    let names = match (&choice.key, &choice.base_url) {
        (Some(key), _) => vec![key.as_str()],
        (None, None) => provider(choice).map_or_else(Vec::new, |p| p.key_vars.to_vec()),
        (None, Some(_)) => Vec::new(),
    };
    names.into_iter().map(|key| format!("{key} to {place}")).collect()
}

/// Where a tool leads: URLs, or the program that is started.
fn destinations(name: &str, tool: &Tool, bundle: &Bundle) -> Vec<String> {
    let mut out = match &tool.kind {
        Kind::Mcp(server) => mcp(server),
        Kind::Command(words) => vec![command(tool, words)],
        _ => urls(name, tool, bundle),
    };
    if let Some(Auth::OAuth2(client)) = &tool.auth {
        out.push(format!("{} for a token", client.token_url));
    }
    out
}

/// The URLs that a tool speaks to. An agent behind it is compared by its version.
pub(super) fn urls(name: &str, tool: &Tool, bundle: &Bundle) -> Vec<String> {
    match &tool.kind {
        Kind::Sql(sql) => vec![sql.url.clone()],
        Kind::Http(http) => match (&http.base_url, bundle.apis.get(name)) {
            (Some(url), _) => vec![url.clone()],
            // Each operation has its own where the manifest is silent.
            (None, Some(api)) => api.operations.values().filter_map(|o| o.server.clone()).collect(),
            (None, None) => Vec::new(),
        },
        Kind::Mcp(server) => server.url.iter().cloned().collect(),
        Kind::Command(_) | Kind::Agent(_) | Kind::Files(_) => Vec::new(),
    }
}

/// What a command runs, with what it is given to read.
fn command(tool: &Tool, words: &[String]) -> String {
    let input = tool.stdin.as_ref().map_or_else(String::new, |text| format!(" < {}", short(text)));
    format!("`{}`{input}", words.join(" "))
}

fn mcp(server: &Mcp) -> Vec<String> {
    let plain = if server.plain_http { " (plain HTTP allowed)" } else { "" };
    let program = (!server.command.is_empty()).then(|| {
        let place = server.cwd.as_ref().map_or_else(String::new, |cwd| format!(" in {cwd}"));
        format!("`{}`{place}", server.command.join(" "))
    });
    server.url.iter().map(|url| format!("{url}{plain}")).chain(program).collect()
}

/// The names of what a tool is given to show: its credential, and the variables of a program.
fn credentials(tool: &Tool) -> Vec<String> {
    let auth = tool.auth.as_ref().map(|auth| match auth {
        Auth::Secret(reference) => reference.as_str().to_owned(),
        Auth::OAuth2(client) => {
            let scopes = client.scopes.join(" ");
            let scopes = if scopes.is_empty() { String::new() } else { format!(" for {scopes}") };
            format!("{} of client {}{scopes}", client.client_secret.as_str(), client.client_id)
        }
        Auth::Delegate(to) => {
            let scopes = to.scopes.join(" ");
            let scopes = if scopes.is_empty() { String::new() } else { format!(" with {scopes}") };
            format!("a token on the person's behalf for {}{scopes}", to.audience)
        }
    });
    auth.into_iter().chain(tool.variables().map(variable)).collect()
}

fn variable(variable: Variable<'_>) -> String {
    match variable.from {
        Some(reference) => format!("{} as {}", reference.as_str(), variable.name),
        None => SecretRef::env(variable.name).as_str().to_owned(),
    }
}

/// The order in which a file has the keys of its objects makes no difference.
fn sorted(schema: &serde_json::Value) -> serde_json::Value {
    let mut schema = schema.clone();
    schema.sort_all_objects();
    schema
}

/// A text in six bytes; the diff of the files has all of it.
fn digest(text: &str) -> String {
    Sha256::digest(text)[..6].iter().map(|b| format!("{b:02x}")).collect()
}
