//! Placeholders: `{{args.NAME}}` in HTTP templates, and `${…}`, which stands for what only the running process knows.

use std::collections::BTreeMap;

use super::{Findings, tools::optional};
use crate::{
    manifest::{HttpOperation, Kind, Manifest, Tool},
    places::{self, Variable},
};

/// Headers whose value is a credential, which a manifest must not hold.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

pub(super) fn check(findings: &mut Findings<'_>, manifest: &Manifest) {
    let services: Vec<&str> = manifest.dev.services.keys().map(String::as_str).collect();
    if let Some(url) = &manifest.model.first.base_url {
        variables(findings, &["model", "base_url"], url, &services);
    }
    for url in manifest.model.fallback.iter().filter_map(|m| m.base_url.as_ref()) {
        variables(findings, &["model", "fallback"], url, &services);
    }
    for (name, service) in &manifest.dev.services {
        for part in &service.command {
            // A service cannot wait for another: only the folder is known when it starts.
            variables(findings, &["dev", "services", name, "command"], part, &[]);
        }
    }
    for (name, tool) in &manifest.tools {
        match &tool.kind {
            Kind::Sql(sql) => variables(findings, &["tools", name, "sql", "url"], &sql.url, &services),
            Kind::Mcp(mcp) => {
                for part in &mcp.command {
                    variables(findings, &["tools", name, "mcp", "command"], part, &services);
                }
                if let Some(url) = &mcp.url {
                    variables(findings, &["tools", name, "mcp", "url"], url, &services);
                }
                credentials(findings, &["tools", name, "mcp", "headers"], &mcp.headers);
            }
            Kind::Http(http) => {
                if let Some(url) = &http.base_url {
                    variables(findings, &["tools", name, "http", "base_url"], url, &services);
                }
                for (operation, o) in &http.operations {
                    http_operation(findings, &["tools", name, "http", "operations", operation], o);
                }
            }
            Kind::Command(words) => command(findings, name, tool, words),
            Kind::Agent(_) | Kind::Files(_) => {}
        }
    }
}

/// A command's words and its input, and what they stand for.
fn command(findings: &mut Findings<'_>, name: &str, tool: &Tool, words: &[String]) {
    optional(findings, &["tools", name, "optional"], &tool.optional, &tool.params);
    let known: Vec<&str> = tool.params.keys().map(String::as_str).collect();
    let program = words.first().map_or("", String::as_str);
    if arguments(program).next().is_some() {
        let hint = "name the program here; arguments stand for the words after it";
        findings.value(&["tools", name, "command"], "the model would choose which program runs", Some(hint.into()));
    }
    if let Some(file) = program.strip_prefix("./") {
        let hint = format!("name it under `include` and write `/opt/agent/{file}`");
        findings.value(
            &["tools", name, "command"],
            format!("`{program}` would be a file of the workspace"),
            Some(hint),
        );
    }
    let texts = words.iter().map(|word| ("command", word)).chain(tool.stdin.iter().map(|text| ("stdin", text)));
    for (key, text) in texts {
        for argument in arguments(text).filter(|a| !tool.params.contains_key(*a)) {
            findings.unknown(&["tools", name, key], "parameter", argument, &known);
        }
    }
}

/// Every `${…}` must be one that this release can fill in.
fn variables(findings: &mut Findings<'_>, path: &[&str], text: &str, services: &[&str]) {
    for variable in places::variables(text) {
        match variable {
            Variable::Data => {}
            Variable::Service(name) if services.contains(&name) => {}
            Variable::Service(name) => findings.unknown(path, "service", name, services),
            Variable::Unknown(name) => findings.value(
                path,
                format!("`${{{name}}}` stands for nothing"),
                Some("there is `${data}`, the agent's data folder, and `${services.NAME.url}`".into()),
            ),
        }
    }
}

fn http_operation(findings: &mut Findings<'_>, path: &[&str], operation: &HttpOperation) {
    let under = |key: &'static str| [path, &[key]].concat();
    optional(findings, &under("optional"), &operation.optional, &operation.params);
    for argument in arguments(&operation.path) {
        argument_exists(findings, &under("path"), operation, argument);
        if operation.optional.iter().any(|o| o == argument) {
            findings.value(&under("path"), format!("`{argument}` may be left out, so the path cannot need it"), None);
        }
    }
    for (key, values) in [("query", &operation.query), ("headers", &operation.headers)] {
        for (name, value) in values {
            for argument in arguments(value) {
                argument_exists(findings, &[path, &[key, name]].concat(), operation, argument);
            }
        }
    }
    credentials(findings, &under("headers"), &operation.headers);
    let mut texts = Vec::new();
    operation.body.iter().for_each(|body| strings(body, &mut texts));
    for argument in texts.into_iter().flat_map(arguments) {
        argument_exists(findings, &under("body"), operation, argument);
    }
}

/// Refuses headers that hold a credential.
fn credentials(findings: &mut Findings<'_>, path: &[&str], headers: &BTreeMap<String, String>) {
    for name in headers.keys().filter(|h| CREDENTIALS.contains(&h.to_ascii_lowercase().as_str())) {
        let hint = "give the tool `auth: env://NAME`; a manifest never holds a credential";
        findings.value(&[path, &[name]].concat(), format!("`{name}` is a credential"), Some(hint.into()));
    }
}

fn argument_exists(findings: &mut Findings<'_>, path: &[&str], operation: &HttpOperation, argument: &str) {
    if !operation.params.contains_key(argument) {
        let known: Vec<&str> = operation.params.keys().map(String::as_str).collect();
        findings.unknown(path, "parameter", argument, &known);
    }
}

/// Names of the arguments in `{{args.NAME}}` and `{{args.NAME.more}}`.
fn arguments(template: &str) -> impl Iterator<Item = &str> {
    template.split("{{").skip(1).filter_map(|rest| {
        let inside = rest.split("}}").next()?.trim().strip_prefix("args.")?;
        inside.split(['.', ' ', '[']).next()
    })
}

/// Every string in a JSON value.
fn strings<'v>(value: &'v serde_json::Value, out: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::String(s) => out.push(s),
        serde_json::Value::Array(items) => items.iter().for_each(|v| strings(v, out)),
        serde_json::Value::Object(map) => map.values().for_each(|v| strings(v, out)),
        _ => {}
    }
}
