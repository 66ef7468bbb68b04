//! The files and folders that a manifest names, each with the key that names it.

use serde_json::Value;

use crate::manifest::{Kind, Manifest, ModelSource};

/// A file or folder that a manifest names.
pub(crate) struct Named<'m> {
    /// The name as written: `./INSTRUCTIONS.md`.
    pub(crate) name: &'m str,
    /// The key that names it.
    pub(crate) key: Vec<&'m str>,
    /// Whether it must hold a JSON Schema.
    schema: bool,
}

impl Named<'_> {
    /// What is wrong with the text, if anything is.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        if !self.schema {
            return Ok(());
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) => Ok(()),
            Ok(_) => Err("a JSON Schema must be an object".into()),
            Err(e) => Err(format!("not JSON: {e}")),
        }
    }
}

/// Every file, in the order of the manifest's keys; one named twice stands here twice.
pub(crate) fn files(manifest: &Manifest) -> Vec<Named<'_>> {
    let mut out = Vec::new();
    let mut add = |name, key: Vec<_>, schema| out.push(Named { name, key, schema });
    for (i, choice) in manifest.model.chain().enumerate() {
        if let ModelSource::Script(name) = &choice.source {
            add(name.as_str(), vec!["model", if i == 0 { "rehearsal" } else { "fallback" }], false);
        }
        if let ModelSource::Cassette(name) = &choice.source {
            add(name.as_str(), vec!["model", if i == 0 { "cassette" } else { "fallback" }], false);
        }
    }
    if manifest.instructions.starts_with("./") {
        add(&manifest.instructions, vec!["instructions"], false);
    }
    if let Some(name) = &manifest.input {
        add(name, vec!["input"], true);
    }
    if let Some(output) = &manifest.output {
        add(&output.schema, vec!["output", "schema"], true);
    }
    for (tool, t) in &manifest.tools {
        match &t.kind {
            Kind::Sql(sql) => sql.seed.iter().for_each(|f| add(f, vec!["tools", tool, "sql", "seed"], false)),
            Kind::Http(http) => http.openapi.iter().for_each(|f| add(f, vec!["tools", tool, "http", "openapi"], false)),
            Kind::Mcp(_) | Kind::Agent(_) | Kind::Command(_) | Kind::Files(_) => {}
        }
    }
    for name in &manifest.include {
        add(name, vec!["include"], false);
    }
    out
}

/// Every agent that is a folder of this one's.
pub(crate) fn agents(manifest: &Manifest) -> Vec<Named<'_>> {
    manifest
        .tools
        .iter()
        .filter_map(|(tool, t)| match &t.kind {
            Kind::Agent(name) if name.starts_with("./") => {
                Some(Named { name, key: vec!["tools", tool, "agent"], schema: false })
            }
            _ => None,
        })
        .collect()
}
