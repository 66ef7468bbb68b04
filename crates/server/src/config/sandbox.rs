//! `[sandbox]`: what the boxes of agents may be on this host, and how much they may take of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// The least part of a processor that a box can have.
const LEAST_CPU: f64 = 0.01;

/// What the boxes of agents may be on this host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Sandbox")]
pub struct Sandbox {
    /// Tiers that manifests and session sandboxes may ask: `namespace`, `oci`, `microvm`, and `wasm` in a build that has it.
    pub tiers: BTreeSet<Tier>,
    /// Folders that may stand for the host's programs (`sandbox.root` of a manifest), each by its name.
    pub roots: BTreeMap<String, PathBuf>,
    /// Folders of this host that boxes of the tier `namespace` see too, read-only and where they are: programs that stand outside of `/usr`.
    pub mounts: Vec<PathBuf>,
    /// Whether a manifest may say `sandbox: none` of an MCP server, which then runs as this server's user.
    pub allow_none: bool,
    /// Actions in boxes at once; the next ones wait.
    #[schemars(range(min = 1))]
    pub boxes: usize,
    /// MCP servers in boxes at once; the next ones wait.
    #[schemars(range(min = 1))]
    pub servers: usize,
    /// Memory of all boxes together, those of session sandboxes too; three quarters of the host's when silent. Beyond it the worst offender is stopped.
    pub memory: Option<Size>,
    /// Bytes of the cache of workspaces in `data_dir`.
    pub cache: Size,
    /// How often content of workspaces is removed that nothing leads to any more; the first time that long after the start, or after
    /// ten minutes.
    pub sweep: Time,
    /// Virtual machines.
    pub microvm: Microvm,
    /// The most that a manifest may ask for one box.
    pub max: SandboxMax,
}

/// How virtual machines run (tier `microvm`).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Microvm")]
pub struct Microvm {
    /// Folders in which an unpacked kernel is looked for first: `boot/vmlinuz-*` and `lib/modules/*` in each.
    pub kernels: Vec<PathBuf>,
    /// Whether machines may run without KVM, some ten times slower.
    pub translate: bool,
}

/// A tier, as manifests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Tier")]
pub enum Tier {
    /// Components of WebAssembly.
    Wasm,
    /// Namespaces of the host's kernel.
    Namespace,
    /// Containers of an OCI runtime.
    Oci,
    /// Virtual machines.
    Microvm,
}

impl From<Tier> for stead_core::sandbox::Tier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Wasm => Self::Wasm,
            Tier::Namespace => Self::Namespace,
            Tier::Oci => Self::Oci,
            Tier::Microvm => Self::Microvm,
        }
    }
}

/// The most that a manifest may ask for one box.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SandboxMax")]
pub struct SandboxMax {
    /// Processors.
    pub cpu: f64,
    /// Memory.
    pub memory: Size,
    /// Bytes that may be written.
    pub disk: Size,
    /// Files and folders that may be written.
    pub inodes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Open files of one process.
    pub open_files: u32,
    /// From the start of a box to its end by force.
    pub timeout: Time,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            tiers: BTreeSet::from([Tier::Namespace]),
            roots: BTreeMap::new(),
            mounts: Vec::new(),
            allow_none: false,
            boxes: 64,
            servers: 128,
            memory: None,
            cache: Size(4 << 30),
            sweep: Time(Duration::from_secs(86_400)),
            microvm: Microvm::default(),
            max: SandboxMax::default(),
        }
    }
}

impl Default for SandboxMax {
    fn default() -> Self {
        Self {
            cpu: 8.0,
            memory: Size(4 << 30),
            disk: Size(4 << 30),
            inodes: 1_000_000,
            pids: 4_096,
            open_files: 65_536,
            timeout: Time(Duration::from_secs(86_400)),
        }
    }
}

impl Sandbox {
    /// What is wrong with it.
    pub(super) fn wrong(&self) -> Option<String> {
        let max = &self.max;
        let zero = [
            ("sandbox.boxes", self.boxes == 0),
            ("sandbox.servers", self.servers == 0),
            ("sandbox.max.memory", max.memory.0 == 0),
            ("sandbox.max.disk", max.disk.0 == 0),
            ("sandbox.max.inodes", max.inodes == 0),
            ("sandbox.max.pids", max.pids == 0),
            ("sandbox.max.open_files", max.open_files == 0),
            ("sandbox.max.timeout", max.timeout.0.is_zero()),
            ("sandbox.sweep", self.sweep.0.is_zero()),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Some(format!("`{key}` must be more than 0"));
        }
        if !(max.cpu.is_finite() && max.cpu >= LEAST_CPU) {
            return Some(format!("`sandbox.max.cpu` must be {LEAST_CPU} at least"));
        }
        let mounts = self.mounts.iter().map(|path| ("mounts", path));
        let kernels = self.microvm.kernels.iter().map(|path| ("microvm.kernels", path));
        let relative = mounts.chain(kernels).find(|(_, path)| !path.is_absolute());
        relative.map(|(key, path)| format!("`sandbox.{key}`: {} is not absolute", path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn what_boxes_may_be_is_read_and_what_lets_none_be_is_refused() {
        let parse = |text: &str| Config::parse(text, Path::new("/etc/stead/stead.toml"));
        let read = parse(
            "[sandbox]\nmounts = [\"/opt/node\"]\nroots = { py = \"roots/py\" }\nmax = { cpu = 0.5, memory = \"64Mi\" }\n",
        );
        let sandbox = read.unwrap().sandbox;
        assert_eq!(sandbox.roots["py"], Path::new("/etc/stead/roots/py"));
        assert_eq!((sandbox.max.memory.0, sandbox.max.pids, sandbox.allow_none), (64 << 20, 4_096, false));
        for bad in [
            "boxes = 0",
            "max = { cpu = 0.0 }",
            "max = { timeout = \"0s\" }",
            "mounts = [\"here\"]",
            "tiers = [\"vm\"]",
        ] {
            assert!(parse(&format!("[sandbox]\n{bad}\n")).is_err(), "{bad}");
        }
    }
}
