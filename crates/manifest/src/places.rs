//! `${…}` in a manifest: what only the running process knows. It is filled in when an agent is loaded and is no part
//! of the agent's digest.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use stead_core::code;

use crate::{
    bundle::Bundle,
    error::ManifestError,
    manifest::{Kind, Manifest, Service},
};

/// What the `${…}` of a manifest stand for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `${data}`: an absolute folder of this agent's own in the data directory.
    pub data: PathBuf,
    /// `${services.NAME.url}`: where the services under `dev.services` answer. Empty on a server.
    pub services: BTreeMap<String, String>,
}

/// One `${…}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Variable<'t> {
    /// `${data}`.
    Data,
    /// `${services.NAME.url}`.
    Service(&'t str),
    /// Anything else.
    Unknown(&'t str),
}

/// The variables in a text, in order; `${` without an end counts as unknown.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = Variable<'_>> {
    text.split("${").skip(1).map(|rest| variable(rest).0)
}

fn variable(rest: &str) -> (Variable<'_>, &str) {
    let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
    let known = match name {
        "data" => Variable::Data,
        _ => match name.strip_prefix("services.").and_then(|n| n.strip_suffix(".url")) {
            Some(service) => Variable::Service(service),
            None => Variable::Unknown(name),
        },
    };
    (known, after)
}

impl Places {
    /// The text with its variables filled in; the name of the service that is not there.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split("${");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (variable, after) = variable(part);
            match variable {
                Variable::Data => out.push_str(&self.data.to_string_lossy()),
                Variable::Service(name) => out.push_str(self.services.get(name).ok_or_else(|| name.to_owned())?),
                // Refused when the manifest was read.
                Variable::Unknown(_) => {}
            }
            out.push_str(after);
        }
        Ok(out)
    }

    fn fill_all(&self, manifest: &mut Manifest) -> Result<(), String> {
        let model = &mut manifest.model;
        for choice in std::iter::once(&mut model.first).chain(&mut model.fallback) {
            if let Some(url) = &mut choice.base_url {
                *url = self.fill(url)?;
            }
        }
        for tool in manifest.tools.values_mut() {
            match &mut tool.kind {
                Kind::Sql(sql) => sql.url = self.fill(&sql.url)?,
                Kind::Http(http) => {
                    if let Some(url) = &mut http.base_url {
                        *url = self.fill(url)?;
                    }
                }
                Kind::Mcp(mcp) => {
                    if let Some(url) = &mut mcp.url {
                        *url = self.fill(url)?;
                    }
                    for part in &mut mcp.command {
                        *part = self.fill(part)?;
                    }
                }
                Kind::Agent(_) | Kind::Command(_) | Kind::Files(_) => {}
            }
        }
        Ok(())
    }
}

impl Bundle {
    /// The manifest with every `${…}` filled in.
    ///
    /// # Errors
    /// ST0105 for a service that is not running: a server starts none.
    pub fn placed(&self, places: &Places) -> Result<Manifest, Box<ManifestError>> {
        let mut manifest = self.manifest.clone();
        places.fill_all(&mut manifest).map_err(|service| {
            let name = format!("${{services.{service}.url}}");
            let at = self.source.find(&name).map_or(0..0, |n| n..n + name.len());
            let message = format!("the service `{service}` does not run here");
            let hint = "services under `dev` belong to `stead run` and `stead dev`; give a server a real address";
            Box::new(self.source().error(code::MANIFEST_UNSUPPORTED, &at, "dev.services", message, Some(hint.into())))
        })?;
        Ok(manifest)
    }
}

impl Service {
    /// The command with `${data}` filled in.
    pub fn command_in(&self, data: &Path) -> Vec<String> {
        let places = Places { data: data.to_owned(), services: BTreeMap::new() };
        self.command.iter().map(|part| places.fill(part).unwrap_or_else(|_| part.clone())).collect()
    }
}
