//! `[sandbox]`: what the boxes of agents may be on this host, and how much they may take of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::sandbox::Property;
use stead_ports::tool::MAX_FILE;
use stead_tier::root::NEEDED;

use super::units::{Size, Time};

/// The least part of a processor that a box can have.
const LEAST_CPU: f64 = 0.01;
/// Folders that may be shown to all boxes.
const MOUNTS: usize = 16;
/// Where a box has its own.
const OWN: [&str; 8] = ["/dev", "/home/box", "/opt/agent", "/opt/certificates", "/proc", "/sys", "/tmp", "/workspace"];
/// What an agent's boxes mount on in a root, besides what every box needs there.
const PLACES: [&str; 2] = ["workspace", "opt"];

/// What the boxes of agents may be on this host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Sandbox")]
pub struct Sandbox {
    /// Tiers that manifests and session sandboxes may ask: `namespace`, `oci`, `microvm`, and `wasm` in a build that has it.
    pub tiers: BTreeSet<Tier>,
    /// What every tier must be able to promise here, whatever a manifest or a template requires besides: an agent or a session sandbox whose
    /// tier lacks one is refused. `memory_limit`, `pids_limit`, `cpu_limit`, `accounting`, `disk_quota`, `egress_control`, `syscall_filter`,
    /// `file_rules`, `own_kernel`.
    #[schemars(with = "BTreeSet<String>")]
    pub requires: BTreeSet<Property>,
    /// Folders that may stand for the host's programs (`sandbox.root` of a manifest), each by its name. Each needs the folders `/proc`, `/dev`,
    /// `/tmp`, `/home/box`, `/workspace` and `/opt` in it, to mount on.
    pub roots: BTreeMap<String, PathBuf>,
    /// Folders of this host that boxes without a `root` of their own see too, read-only and where they are: programs that stand outside of
    /// `/usr`, 16 at most. Into a machine (tier `microvm`) they are copied at its start. Not together with the tier `wasm`.
    pub mounts: Vec<PathBuf>,
    /// Names of the environment variables whose values boxes may be handed (a bare name in `env` of a tool). No secrets: whatever runs in
    /// such a box can read them, and write them into the workspace.
    #[schemars(inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")))]
    pub env: BTreeSet<String>,
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
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Microvm")]
pub struct Microvm {
    /// Folders in which an unpacked kernel is looked for first: `boot/vmlinuz-*` and `lib/modules/*` in each.
    pub kernels: Vec<PathBuf>,
    /// Whether machines may run without KVM, some ten times slower.
    pub translate: bool,
    /// Machines at once, of actions and of MCP servers; the next ones wait.
    #[schemars(range(min = 1))]
    pub machines: usize,
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
    /// Bytes kept of each output of a command; 8Mi at most.
    pub output: Size,
}

impl SandboxMax {
    /// Thousandths of a processor.
    pub(crate) fn cpu_milli(&self) -> u64 {
        (self.cpu * 1e3) as u64
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            tiers: BTreeSet::from([Tier::Namespace]),
            requires: BTreeSet::new(),
            roots: BTreeMap::new(),
            mounts: Vec::new(),
            env: BTreeSet::new(),
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

impl Default for Microvm {
    fn default() -> Self {
        Self { kernels: Vec::new(), translate: false, machines: 16 }
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
            output: Size(4 << 20),
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
            ("sandbox.microvm.machines", self.microvm.machines == 0),
            ("sandbox.max.memory", max.memory.0 == 0),
            ("sandbox.max.disk", max.disk.0 == 0),
            ("sandbox.max.inodes", max.inodes == 0),
            ("sandbox.max.pids", max.pids == 0),
            ("sandbox.max.open_files", max.open_files == 0),
            ("sandbox.max.timeout", max.timeout.0.is_zero()),
            ("sandbox.max.output", max.output.0 == 0),
            ("sandbox.sweep", self.sweep.0.is_zero()),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Some(format!("`{key}` must be more than 0"));
        }
        if max.output.0 as u64 > MAX_FILE as u64 {
            return Some(format!(
                "`sandbox.max.output` can be {MAX_FILE} at most: an output that is no text is kept as a file"
            ));
        }
        if !(max.cpu.is_finite() && max.cpu >= LEAST_CPU) {
            return Some(format!("`sandbox.max.cpu` must be {LEAST_CPU} at least"));
        }
        let mounts = self.mounts.iter().map(|path| ("mounts", path));
        let kernels = self.microvm.kernels.iter().map(|path| ("microvm.kernels", path));
        let relative = mounts.chain(kernels).find(|(_, path)| !path.is_absolute());
        if let Some((key, path)) = relative {
            return Some(format!("`sandbox.{key}`: {} is not absolute", path.display()));
        }
        self.wrong_mounts()
    }

    /// What can be said of `mounts` without looking at this host.
    fn wrong_mounts(&self) -> Option<String> {
        if self.mounts.is_empty() {
            return None;
        }
        if self.mounts.len() > MOUNTS {
            return Some(format!("`sandbox.mounts` names {} folders, and may name {MOUNTS}", self.mounts.len()));
        }
        if self.tiers.contains(&Tier::Wasm) {
            return Some(
                "`sandbox.mounts` cannot be had together with the tier `wasm`: a component would read them with the rights of this server, \
                 not with those of a box. Leave `wasm` out of `sandbox.tiers`, or `mounts` out"
                    .to_owned(),
            );
        }
        let plain = |path: &Path| path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        if let Some(path) = self.mounts.iter().find(|path| !plain(path)) {
            return Some(format!("`sandbox.mounts`: {} has `..` in it", path.display()));
        }
        let covers = |path: &&PathBuf| OWN.iter().any(|own| path.starts_with(own) || Path::new(own).starts_with(path));
        let path = self.mounts.iter().find(covers)?;
        let own = OWN.join(", ");
        Some(format!(
            "`sandbox.mounts`: {} would cover what is a box's own ({own}), or be covered by it",
            path.display()
        ))
    }

    /// What this host lacks of it, and what to do: folders that are not there, and roots that nothing can be mounted on.
    pub(super) fn missing(&self) -> Option<(String, String)> {
        let gone = self.mounts.iter().find(|path| !path.is_dir()).map(|path| {
            let hint = "make it, or take it out of the list".to_owned();
            (format!("`sandbox.mounts`: {} is no folder of this host", path.display()), hint)
        });
        let roots = || self.roots.iter().map(|(name, path)| (format!("sandbox.roots.{name}"), path, &PLACES[..]));
        gone.or_else(|| roots().find_map(|(key, path, places)| no_root(&key, path, places)))
    }
}

/// What a folder lacks to be the root of boxes that mount on those places in it.
pub(super) fn no_root(key: &str, path: &Path, places: &[&str]) -> Option<(String, String)> {
    let shown = path.display();
    if !path.is_dir() {
        let hint = "unpack a root there, or take the key out".to_owned();
        return Some((format!("`{key}`: {shown} is no folder of this host"), hint));
    }
    // A link would lead out of the root, or nowhere.
    let lacks = |name: &&&str| !path.join(name).symlink_metadata().is_ok_and(|found| found.is_dir());
    let names: Vec<&str> = NEEDED.iter().chain(places).filter(lacks).copied().collect();
    let first = names.first()?;
    let all: Vec<String> = names.iter().map(|name| format!("{shown}/{name}")).collect();
    let hint = format!("make what is missing, empty: mkdir -p {}", all.join(" "));
    Some((format!("`{key}`: {shown} has no folder /{first}, which sandboxes mount on"), hint))
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
            "max = { output = \"9Mi\" }",
            "mounts = [\"here\"]",
            "mounts = [\"/opt\"]",
            "mounts = [\"/srv/../tmp\"]",
            "mounts = [\"/tmp/tools\"]",
            "tiers = [\"wasm\"]\nmounts = [\"/srv/tools\"]",
            "microvm = { machines = 0 }",
            "tiers = [\"vm\"]",
        ] {
            assert!(parse(&format!("[sandbox]\n{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_root_that_nothing_can_be_mounted_on_is_refused_when_the_file_is_read_with_what_makes_it_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stead.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::load(&file).map_err(|e| (e.message, e.hint.unwrap_or_default()))
        };
        let make = |names: &[&str]| names.iter().for_each(|n| std::fs::create_dir_all(dir.path().join(n)).unwrap());
        for (text, key) in [
            ("[sandbox]\nroots = { py = \"py\" }\n", "`sandbox.roots.py`"),
            ("[sandboxes.templates.x]\nroot = \"py\"\n", "`sandboxes.templates.x.root`"),
        ] {
            let (message, _) = load(text).unwrap_err();
            assert!(message.starts_with(key) && message.contains("no folder of this host"), "{message}");
        }
        make(&["py/proc", "py/dev", "py/tmp", "py/home/box"]);
        std::os::unix::fs::symlink("/srv", dir.path().join("py/opt")).unwrap();
        let (message, hint) = load("[sandbox]\nroots = { py = \"py\" }\n").unwrap_err();
        assert!(message.contains("has no folder /workspace"), "{message}");
        assert!(hint.starts_with("make what is missing, empty: mkdir -p /") && hint.ends_with("py/opt"), "{hint}");
        make(&["py/workspace"]);
        load("[sandboxes.templates.x]\nroot = \"py\"\n").unwrap();
        let (message, _) = load("[sandbox]\nroots = { py = \"py\" }\n").unwrap_err();
        assert!(message.contains("has no folder /opt"), "a link is none: {message}");
        std::fs::remove_file(dir.path().join("py/opt")).unwrap();
        make(&["py/opt"]);
        load("[sandbox]\nroots = { py = \"py\" }\n").unwrap();
        let (message, _) = load("[sandbox]\nmounts = [\"/srv/is-not-there\"]\n").unwrap_err();
        assert!(message.starts_with("`sandbox.mounts`: /srv/is-not-there is no folder"), "{message}");
    }
}
