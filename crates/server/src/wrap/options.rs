//! What the user says about a wrapped server.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
    time::Duration,
};

use stead_core::{effect::EffectClass, id::Name};

/// Which calls a human is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ask {
    /// Every call.
    #[default]
    All,
    /// Every call but those of tools that say that they only read (`readOnlyHint`), or that the user declared `pure`. A
    /// hint is the server's word: whoever chooses this takes it.
    Write,
    /// No call.
    None,
    /// Calls of these tools.
    Tools(BTreeSet<String>),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct WrapOptions {
    /// The agent's name in the journal.
    pub name: Name,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// What starts the command so that it ends with this process, however that ends; empty to start it directly.
    pub launcher: Vec<OsString>,
    /// The folder; when another process owns it, `DIR.2` and so on.
    pub data: PathBuf,
    /// Which calls a human is asked about.
    pub ask: Ask,
    /// What tools promise about repetition; `irreversible` when silent.
    pub effects: BTreeMap<String, EffectClass>,
    /// How long a call may take once it was sent.
    pub timeout: Duration,
    /// How long a human is waited for.
    pub approval_ttl: Duration,
    /// Most calls of one session.
    pub max_calls: u32,
    /// How the user calls this program on such a folder, for hints: `stead --data`.
    pub program: String,
}
