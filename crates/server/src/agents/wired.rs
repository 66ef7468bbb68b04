//! The stored form of an agent version: the bundle, under the name it has here, with the versions of the agents it calls.

use std::{collections::BTreeMap, path::PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use stead_core::id::{Name, VersionId};
use stead_manifest::{Bundle, BundleError};

/// The format of the stored form.
const FORMAT: u32 = 1;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wired {
    format: u32,
    /// The agent's name here: the manifest's, or `parent/name` for an agent of another's folder.
    pub(super) name: Name,
    /// The versions behind tools that are agents, by tool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) children: BTreeMap<String, VersionId>,
    bundle: Box<RawValue>,
}

impl Wired {
    pub(super) fn new(name: Name, children: BTreeMap<String, VersionId>, bundle: &Bundle) -> Result<Self, String> {
        let text = String::from_utf8(bundle.encode()).map_err(|e| e.to_string())?;
        let bundle = RawValue::from_string(text).map_err(|e| e.to_string())?;
        Ok(Self { format: FORMAT, name, children, bundle })
    }

    pub(super) fn encode(&self) -> Result<Bytes, String> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|e| e.to_string())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let wired: Self = serde_json::from_slice(bytes).map_err(|e| format!("its stored form is damaged: {e}"))?;
        if wired.format != FORMAT {
            return Err(format!("its stored form {} is not known to this release", wired.format));
        }
        Ok(wired)
    }

    pub(super) fn bundle(&self, dir: Option<PathBuf>) -> Result<Bundle, BundleError> {
        Bundle::decode(self.bundle.get().as_bytes(), dir)
    }

    /// The version: the bundle's digest, unless more than the bundle decides what runs. Then it is the digest of all of
    /// it, so that one version never stands for two behaviours.
    pub(super) fn version(&self, bundle: &Bundle) -> Result<VersionId, String> {
        if self.children.is_empty() && self.name == bundle.manifest.name {
            return Ok(bundle.digest());
        }
        let digest = Sha256::new().chain_update(b"stead/wired/v1").chain_update(self.encode()?);
        Ok(VersionId(digest.finalize().into()))
    }
}
