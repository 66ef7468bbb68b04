//! Which programs an agent starts on this machine as this process's user, outside of any sandbox: MCP servers whose manifest says
//! `sandbox: none`, where the operator allows that. Whoever runs such an agent is told so.

use std::collections::BTreeSet;

use stead_core::id::{Name, VersionId};
use stead_manifest::{Manifest, manifest::Kind};
use stead_ports::agent::AgentError;

use super::{AgentStore, gone, wired::Wired};

impl AgentStore {
    /// The programs, as manifests name them, of an agent version and of every agent that it calls.
    ///
    /// # Errors
    /// When a version cannot be read.
    pub async fn unsandboxed(&self, tenant: &Name, version: VersionId) -> Result<BTreeSet<String>, AgentError> {
        let mut programs = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![version];
        while let Some(version) = open.pop() {
            if !seen.insert(version.0) {
                continue;
            }
            let row = self.journal.version(tenant, version).await;
            let row = row.map_err(|e| AgentError { code: e.code, detail: e.detail })?;
            let row = row.ok_or_else(|| gone(version, "it is not stored"))?;
            let wired = Wired::decode(&row.body).map_err(|e| gone(version, &e))?;
            let bundle = wired.bundle(None).map_err(|e| gone(version, &e.to_string()))?;
            programs.extend(of(&bundle.manifest));
            open.extend(wired.children.into_values());
        }
        Ok(programs)
    }
}

/// The programs of one manifest: its MCP servers over stdio without a box.
pub(super) fn of(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.tools.values().filter_map(|tool| match &tool.kind {
        Kind::Mcp(server) if tool.sandbox_in(manifest).is_some_and(|s| s.tier().is_none()) => {
            server.command.first().cloned()
        }
        _ => None,
    })
}
