//! `[sandboxes]`: how many session sandboxes there may be, and what callers may have of each template.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::sandbox::{Property, Tier};
use stead_ports::sandbox::STAYING;

use super::{
    sandbox::no_root,
    units::{Size, Time},
};

/// How many session sandboxes there may be, and what callers may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Sandboxes")]
pub struct Sandboxes {
    /// Session sandboxes at once; the next ones wait a moment, and are refused.
    #[schemars(range(min = 1))]
    pub most: usize,
    /// Session sandboxes of one tenant at once.
    #[schemars(range(min = 1))]
    pub most_of_tenant: usize,
    /// What callers may have, each by its name. `default` is what they get who name none.
    pub templates: BTreeMap<String, Template>,
}

impl Default for Sandboxes {
    fn default() -> Self {
        Self { most: 64, most_of_tenant: 16, templates: BTreeMap::new() }
    }
}

/// What callers may have of a session sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "SandboxTemplate")]
pub struct Template {
    /// The tier: one whose boxes can stay (`namespace`), and that `sandbox.tiers` has.
    #[schemars(with = "String")]
    pub tier: Tier,
    /// Folder with a root of its own, relative to this file; the host's programs when silent.
    pub root: Option<PathBuf>,
    /// What the tier must be able to promise, or no sandbox is made: `memory_limit`, `pids_limit`, `cpu_limit`, `accounting`,
    /// `disk_quota`, `egress_control`, `syscall_filter`, `file_rules`, `own_kernel`.
    #[schemars(with = "BTreeSet<String>")]
    pub requires: BTreeSet<Property>,
    /// Bytes of memory, unless a caller asks for other.
    pub memory: Size,
    /// The most that a caller may ask for.
    pub max_memory: Size,
    /// Thousandths of a processor, unless a caller asks for other.
    #[schemars(range(min = 1))]
    pub cpu_milli: u32,
    /// The most that a caller may ask for.
    #[schemars(range(min = 1))]
    pub max_cpu_milli: u32,
    /// Processes and threads, unless a caller asks for other.
    #[schemars(range(min = 8))]
    pub pids: u32,
    /// The most that a caller may ask for.
    #[schemars(range(min = 8))]
    pub max_pids: u32,
    /// Bytes of private folders and of changes of the workspace, unless a caller asks for other.
    pub disk: Size,
    /// The most that a caller may ask for.
    pub max_disk: Size,
    /// How long a sandbox stays, unless a caller asks for other.
    pub ttl: Time,
    /// The longest time that a caller may ask for, each time.
    pub max_ttl: Time,
    /// Variables of every command. A value `secret://NAME` is a placeholder of a secret that an egress rule names.
    pub env: BTreeMap<String, String>,
    /// What it may reach, unless a caller asks for other: `"host:port"`, or a table with more (docs/egress.md). Only these rules may name
    /// secrets and internal addresses.
    #[schemars(with = "Vec<stead_api::schema::EgressRule>")]
    pub egress: Vec<serde_json::Value>,
    /// Whether callers may name hosts that are not in `egress`.
    pub any_egress: bool,
}

impl Default for Template {
    fn default() -> Self {
        Self {
            tier: Tier::Namespace,
            root: None,
            requires: BTreeSet::new(),
            memory: Size(512 << 20),
            max_memory: Size(2 << 30),
            cpu_milli: 1000,
            max_cpu_milli: 4000,
            pids: 128,
            max_pids: 1024,
            disk: Size(256 << 20),
            max_disk: Size(1 << 30),
            ttl: Time(Duration::from_secs(15 * 60)),
            max_ttl: Time(Duration::from_secs(24 * 3600)),
            env: BTreeMap::new(),
            egress: Vec::new(),
            any_egress: true,
        }
    }
}

/// Longest time of a sandbox.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Sandboxes {
    /// What is wrong, if something is.
    pub(super) fn wrong(&self, offered: &BTreeSet<super::Tier>) -> Option<String> {
        if self.most == 0 || self.most_of_tenant == 0 {
            return Some("`sandboxes.most` and `sandboxes.most_of_tenant` must be at least 1".to_owned());
        }
        self.templates.iter().find_map(|(name, template)| {
            template.wrong(offered).map(|wrong| format!("`sandboxes.templates.{name}`: {wrong}"))
        })
    }

    /// What this host lacks of a root, and what to do.
    pub(super) fn missing(&self) -> Option<(String, String)> {
        let mut roots = self.templates.iter().filter_map(|(name, template)| Some((name, template.root.as_deref()?)));
        roots.find_map(|(name, root)| no_root(&format!("sandboxes.templates.{name}.root"), root, &["workspace"]))
    }
}

impl Template {
    fn wrong(&self, offered: &BTreeSet<super::Tier>) -> Option<String> {
        if let Some(wrong) = self.wrong_tier(offered) {
            return Some(wrong);
        }
        for (what, usual, most) in [
            ("memory", self.memory.0 as u64, self.max_memory.0 as u64),
            ("cpu_milli", self.cpu_milli.into(), self.max_cpu_milli.into()),
            ("pids", self.pids.into(), self.max_pids.into()),
            ("disk", self.disk.0 as u64, self.max_disk.0 as u64),
        ] {
            if usual == 0 || usual > most {
                return Some(format!("`{what}` must be more than 0 and at most `max_{what}`"));
            }
        }
        let (ttl, most) = (self.ttl.0, self.max_ttl.0);
        if ttl < Duration::from_secs(1) || ttl > most || most > LONGEST {
            return Some("`ttl` must be 1s to `max_ttl`, and that at most 30d".to_owned());
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Some(format!("`env`: {name:?} names no variable"));
        }
        #[cfg(target_os = "linux")]
        if let Err(wrong) = crate::sandboxes::rules(&self.egress) {
            return Some(format!("`egress`: {wrong}"));
        }
        None
    }

    /// A tier is never another one's place taker: what cannot be had as it is written is refused.
    fn wrong_tier(&self, offered: &BTreeSet<super::Tier>) -> Option<String> {
        let tier = self.tier;
        let staying = STAYING.map(|tier| format!("`tier = \"{tier}\"`")).join(" or ");
        if !STAYING.contains(&tier) {
            return Some(format!(
                "a session sandbox is a box that stays, and the tier `{tier}` has none: write {staying}, or leave `tier` out; commands of \
                 agents can have it (docs/sandbox.md)"
            ));
        }
        if !offered.iter().any(|offered| Tier::from(*offered) == tier) {
            return Some(format!(
                "this server offers no tier `{tier}`: write it into `sandbox.tiers`, or leave the template out"
            ));
        }
        // A namespace of the host's kernel has no other, on no host.
        self.requires.contains(&Property::OwnKernel).then(|| {
            "`requires`: no box that stays has a kernel of its own; leave `own_kernel` out, or have agents run commands in the tier \
             `microvm`"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, crate::config::ConfigError> {
        Config::parse(text, "/etc/stead/stead.toml".as_ref())
    }

    #[test]
    fn a_template_says_what_callers_may_have() {
        let config = parse(
            "[sandboxes]\nmost = 8\n[sandboxes.templates.python]\nroot = \"roots/python\"\nmemory = \"1Gi\"\nrequires = [\"memory_limit\"]\n\
             egress = [\"packages.example.com:443\", { host = \"api.example.com\", methods = [\"GET\"] }]\nany_egress = false\n",
        )
        .unwrap();
        let template = &config.sandboxes.templates["python"];
        assert_eq!(template.root.as_deref(), Some("/etc/stead/roots/python".as_ref()));
        assert_eq!((template.memory, template.egress.len()), (Size(1 << 30), 2));
        assert_eq!(config.sandboxes.most_of_tenant, 16);
    }

    #[test]
    fn what_no_sandbox_can_be_made_of_is_refused() {
        for (wrong, said) in [
            ("memory = \"4Gi\"", "max_memory"),
            ("ttl = \"2d\"", "max_ttl"),
            ("max_ttl = \"31d\"", "30d"),
            ("env = { \"A=B\" = \"\" }", "names no variable"),
            ("egress = [\"10.0.0.1\"]", "egress"),
            ("egress = [{ hosts = \"a.example\" }]", "egress"),
            ("tier = \"jail\"", "jail"),
            ("tier = \"microvm\"", "write `tier = \"namespace\"`"),
            ("tier = \"oci\"", "the tier `oci` has none"),
            ("tier = \"wasm\"", "the tier `wasm` has none"),
            ("requires = [\"own_kernel\"]", "own_kernel"),
        ] {
            let error = parse(&format!("[sandboxes.templates.x]\n{wrong}\n")).unwrap_err();
            assert!(error.message.contains(said), "{wrong}: {error}");
        }
        assert!(parse("[sandboxes]\nmost = 0").is_err());
        // Nor a tier that the operator offers to nobody, though it could stay.
        let without = "[sandbox]\ntiers = [\"microvm\"]\n[sandboxes.templates.x]\nttl = \"1m\"\n";
        assert!(parse(without).unwrap_err().message.contains("`sandbox.tiers`"));
    }
}
