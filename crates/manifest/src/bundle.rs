//! An agent version as one thing: the manifest, every file it names, the agents in its folder, and the tools that
//! its MCP servers offered. Its canonical encoding is what is stored, and the hash of that is the version.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stead_core::id::VersionId;

use crate::{
    api::Api,
    apis, canonical,
    error::BundleError,
    files::{self, Allowance},
    manifest::{Manifest, Tracing},
    named,
    parse::parse_source,
    pinned::Pinned,
    policy,
    source::Source,
};

/// The format of the encoding.
const FORMAT: u32 = 1;
/// Most bytes of an encoded bundle: texts may double when they are quoted.
pub const MAX_ENCODED: usize = 3 * files::MAX_TOTAL;
/// Most levels of agents in agents' folders.
pub(crate) const MAX_LEVELS: usize = 4;

/// An agent version.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The manifest.
    pub manifest: Manifest,
    /// Its text.
    pub source: Arc<str>,
    /// Every file that it names, under the name it uses.
    pub files: BTreeMap<String, String>,
    /// Agents of its own folder, under the path it uses.
    pub agents: BTreeMap<String, Bundle>,
    /// What the OpenAPI documents among the files say of the operations that the manifest names, by tool. Made from the
    /// files, so no part of the encoding.
    pub apis: BTreeMap<String, Api>,
    /// What MCP servers offered when the version was made, by tool; the wiring sets it before the digest is taken.
    pub pinned: BTreeMap<String, Vec<Pinned>>,
    /// What is traced where the manifest says nothing of it: fixed when the version is made ([`Bundle::settle`]), so that a version
    /// stays what it was under a later release. `None` in versions of releases that traced nothing then.
    pub unsaid: Option<Tracing>,
    /// Its folder, for what is found there at run time (`sqlite:./shop.db`, programs). No part of the digest.
    pub dir: Option<PathBuf>,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    manifest: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    agents: BTreeMap<String, Stored>,
    #[serde(default)]
    pinned: BTreeMap<String, Vec<Pinned>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsaid: Option<Tracing>,
}

impl Bundle {
    /// Fixes what the manifest leaves to the release that makes a version of it: who says nothing of provenance has it traced. Agents of
    /// its folder become versions of their own, and are settled then.
    pub fn settle(&mut self) {
        self.unsaid = self.manifest.provenance.is_none().then_some(Tracing::Trace);
    }

    /// Whether it is traced where values come from.
    pub fn tracing(&self) -> Tracing {
        self.manifest.provenance.or(self.unsaid).unwrap_or(Tracing::Off)
    }

    /// The canonical encoding: JSON without white space, keys sorted by their bytes.
    pub fn encode(&self) -> Vec<u8> {
        canonical::to_vec(&serde_json::to_value(self.stored()).unwrap_or(Value::Null))
    }

    /// The version: SHA-256 of [`Bundle::encode`].
    pub fn digest(&self) -> VersionId {
        VersionId(Sha256::digest(self.encode()).into())
    }

    /// Reads what [`Bundle::encode`] wrote. The bytes may come from anyone; all bounds hold as for files.
    ///
    /// # Errors
    /// Not a bundle of a known format, or a manifest that is not accepted.
    pub fn decode(bytes: &[u8], dir: Option<PathBuf>) -> Result<Self, BundleError> {
        if bytes.len() > MAX_ENCODED {
            return Err(BundleError::Format(format!("larger than {MAX_ENCODED} bytes")));
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| BundleError::Format(e.to_string()))?;
        Self::from_stored(stored, dir, &mut Allowance::new(), MAX_LEVELS)
    }

    /// The instructions' text.
    pub fn instructions(&self) -> &str {
        let named = &self.manifest.instructions;
        self.files.get(named).map_or(named, String::as_str)
    }

    /// The text of a file that the manifest names: a script, a seed.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// The files of its folder of policies, by name: `./policy/refunds.cedar`.
    pub fn policy(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = |name: &str| self.manifest.policy.as_deref().is_some_and(|folder| policy::is_file(folder, name));
        self.files.iter().filter(move |(name, _)| own(name)).map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// JSON Schema of the input.
    pub fn input_schema(&self) -> Option<Value> {
        self.schema_file(self.manifest.input.as_deref())
    }

    /// JSON Schema of the answer.
    pub fn output_schema(&self) -> Option<Value> {
        self.schema_file(self.manifest.output.as_ref().map(|output| output.schema.as_str()))
    }

    pub(crate) fn source(&self) -> Source {
        Source { file: "agent.yaml".into(), text: self.source.clone() }
    }

    fn schema_file(&self, name: Option<&str>) -> Option<Value> {
        // Checked to be a JSON object when the bundle was made.
        serde_json::from_str(self.file(name?)?).ok()
    }

    fn stored(&self) -> Stored {
        Stored {
            format: FORMAT,
            manifest: self.source.to_string(),
            files: self.files.clone(),
            agents: self.agents.iter().map(|(k, b)| (k.clone(), b.stored())).collect(),
            pinned: self.pinned.clone(),
            unsaid: self.unsaid,
        }
    }

    fn from_stored(
        mut stored: Stored,
        dir: Option<PathBuf>,
        allowance: &mut Allowance,
        levels: usize,
    ) -> Result<Self, BundleError> {
        if stored.format != FORMAT {
            return Err(BundleError::Format(format!("format {} is not known to this release", stored.format)));
        }
        let format = |e: String| BundleError::Format(e);
        allowance.take("agent.yaml", stored.manifest.len()).map_err(format)?;
        for (name, text) in &stored.files {
            allowance.take(name, text.len()).map_err(format)?;
        }
        let source = Source { file: "agent.yaml".into(), text: stored.manifest.as_str().into() };
        let (manifest, root) = parse_source(&source).map_err(BundleError::Manifest)?;
        if manifest.provenance.is_some() && stored.unsaid.is_some() {
            return Err(BundleError::Format("it says twice what is traced".into()));
        }
        let named = named::files(&manifest);
        let names: BTreeSet<&str> = named.iter().map(|f| f.name).collect();
        let policies = |file: &&str| manifest.policy.as_deref().is_some_and(|folder| policy::is_file(folder, file));
        if let Some(folder) = &manifest.policy {
            policy::enough(folder, stored.files.keys().map(String::as_str).filter(policies)).map_err(format)?;
        }
        let others = stored.files.keys().map(String::as_str).filter(|file| names.contains(file) || !policies(file));
        if !others.eq(names.iter().copied()) {
            return Err(BundleError::Format("its files are not those that its manifest names".into()));
        }
        for file in named {
            let text = stored.files.get(file.name).map_or("", String::as_str);
            file.check(text).map_err(|e| BundleError::Format(format!("{}: {e}", file.name)))?;
        }
        let folders: BTreeSet<&str> = named::agents(&manifest).into_iter().map(|f| f.name).collect();
        if !stored.agents.keys().map(String::as_str).eq(folders) {
            return Err(BundleError::Format("its agents are not those that its manifest names".into()));
        }
        if levels == 0 && !stored.agents.is_empty() {
            return Err(BundleError::Format("agents inside of agents, too deep".into()));
        }
        let mut agents = BTreeMap::new();
        for (path, agent) in std::mem::take(&mut stored.agents) {
            let dir = dir.as_ref().map(|d| d.join(&path));
            agents.insert(path, Self::from_stored(agent, dir, allowance, levels - 1)?);
        }
        let apis = apis::import(&source, &root, &manifest, &stored.files).map_err(BundleError::Manifest)?;
        let Stored { files, pinned, unsaid, .. } = stored;
        Ok(Self { manifest, source: source.text, files, agents, apis, pinned, unsaid, dir })
    }
}
