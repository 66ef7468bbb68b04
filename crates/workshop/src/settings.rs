//! What a manifest says of the boxes of a tool: plain data, already read and resolved.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use stead_core::sandbox::{Property, Tier};
use stead_egress::RuleSpec;
use stead_ports::sandbox::{KEEP, Limits, Root};

/// Where an action runs, and what it may use there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tier; another one never takes its place.
    pub tier: Tier,
    /// What the tier must be able to promise. [`Property::EgressControl`] is required always.
    pub requires: BTreeSet<Property>,
    /// What an action may use; an operator's own limits for a run take their place.
    pub limits: Limits,
    /// What it may reach; nothing when empty.
    pub egress: Vec<RuleSpec>,
    /// The read-only root.
    pub root: Root,
    /// Variables of its environment, beside those that every box has. They win over those.
    pub env: BTreeMap<String, Variable>,
    /// The agent version's own files, at `/opt/agent`, read-only. The box's user must be able to read them.
    pub files: Option<PathBuf>,
    /// Bytes kept of each output of a command; the rest is read and dropped.
    pub output: usize,
    /// Where what runs begins; in the workspace when silent, or in the home folder without one.
    pub dir: Option<PathBuf>,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// This text, which is then inside: a value of the host's.
    Text(String),
    /// What stands in the box for the secret of that name. An egress rule must put the secret in: a placeholder is of no use elsewhere.
    Secret(String),
}

impl Default for Settings {
    /// The namespace tier with the port's limits, without any way out.
    fn default() -> Self {
        Self {
            tier: Tier::Namespace,
            requires: BTreeSet::new(),
            limits: Limits::default(),
            egress: Vec::new(),
            root: Root::Host,
            env: BTreeMap::new(),
            files: None,
            output: KEEP,
            dir: None,
        }
    }
}
