//! The types of `sandbox`, and of the tools that use the workspace of a session.

use serde::Deserialize;
use stead_core::{
    sandbox::{Access, Property, Tier},
    time::Span,
};

use crate::{
    manifest::SecretRef,
    manifest::{Kind, Manifest, Tool},
    manifest_tools::Variable,
};

/// Where tools run; what is silent is the agent's, then the runtime's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Sandbox {
    /// The tier.
    pub tier: Option<Confinement>,
    /// What it must be able to promise.
    pub requires: Option<Vec<Property>>,
    /// Millionths of a processor.
    pub cpu: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes that may be written.
    pub disk: Option<u64>,
    /// Files and folders that may be written.
    pub inodes: Option<u64>,
    /// Bytes of one file.
    pub file: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Open files of one process.
    pub open_files: Option<u32>,
    /// Bytes kept of each output of a command.
    pub output: Option<u64>,
    /// Wall-clock time.
    pub timeout: Option<Span>,
    /// What may be reached.
    pub egress: Option<Vec<Egress>>,
    /// The name of a root of the operator's.
    pub root: Option<String>,
}

/// A tier, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// No box: as the user that the runtime runs as.
    None,
    /// A WebAssembly component.
    Wasm,
    /// Namespaces of the host's kernel.
    #[default]
    Namespace,
    /// A container.
    Oci,
    /// A virtual machine.
    Microvm,
}

impl Confinement {
    /// The tier; `None` for no box.
    pub const fn tier(self) -> Option<Tier> {
        match self {
            Self::None => None,
            Self::Wasm => Some(Tier::Wasm),
            Self::Namespace => Some(Tier::Namespace),
            Self::Oci => Some(Tier::Oci),
            Self::Microvm => Some(Tier::Microvm),
        }
    }
}

/// A rule of egress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Egress {
    /// The host, maybe with scheme and port.
    pub host: String,
    /// Ports.
    pub ports: Vec<u16>,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Patterns of paths.
    pub paths: Vec<String>,
    /// `auto`, `pass` or `intercept`.
    pub tls: Option<String>,
    /// Ranges of addresses inside.
    pub addresses: Vec<String>,
    /// Whether WebSockets are let through.
    pub websocket: bool,
    /// Whether a tunnel may hold anything.
    pub opaque: bool,
    /// Whether the host stands with others at one front.
    pub shared: Option<bool>,
    /// Whether the program's own credentials are let through.
    pub client_credentials: bool,
    /// Whether secrets may go in the clear.
    pub secrets_in_clear: bool,
    /// Secrets that are put in.
    pub secrets: Vec<Injected>,
}

/// A secret of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Injected {
    /// Where it is.
    pub secret: SecretRef,
    /// How it goes in.
    pub inject: Inject,
}

/// How a secret goes into a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are those of the egress rules")]
pub enum Inject {
    /// By one of the simple ways: `bearer`.
    As(String),
    Header {
        name: String,
        #[serde(default)]
        prefix: String,
    },
    Basic {
        user: String,
    },
    Form {
        field: String,
    },
    Sigv4 {
        access_key_id: String,
        region: String,
        service: String,
        session_token: Option<SecretRef>,
    },
    Oauth {
        token_url: String,
        client_id: String,
        #[serde(default)]
        scope: String,
    },
}

impl Injected {
    /// Every secret that it takes.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        let second = match &self.inject {
            Inject::Sigv4 { session_token, .. } => session_token.as_ref(),
            _ => None,
        };
        std::iter::once(&self.secret).chain(second)
    }
}

/// Files of the workspace, as a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Files {
    /// What it may do with them.
    pub workspace: Mode,
}

impl Files {
    /// Its operations.
    pub fn operations(self) -> &'static [&'static str] {
        match self.workspace {
            Mode::Ro => &["list", "read", "search"],
            Mode::Rw => &["list", "read", "search", "write", "edit", "move", "remove"],
        }
    }
}

/// Read, or read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
}

impl From<Mode> for Access {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Ro => Self::Read,
            Mode::Rw => Self::Write,
        }
    }
}

impl Sandbox {
    /// These, with what `own` names in their place.
    #[must_use]
    pub fn with(&self, own: Option<&Self>) -> Self {
        let none = Self::default();
        let own = own.unwrap_or(&none);
        Self {
            tier: own.tier.or(self.tier),
            requires: own.requires.clone().or_else(|| self.requires.clone()),
            cpu: own.cpu.or(self.cpu),
            memory: own.memory.or(self.memory),
            disk: own.disk.or(self.disk),
            inodes: own.inodes.or(self.inodes),
            file: own.file.or(self.file),
            pids: own.pids.or(self.pids),
            open_files: own.open_files.or(self.open_files),
            output: own.output.or(self.output),
            timeout: own.timeout.or(self.timeout),
            egress: own.egress.clone().or_else(|| self.egress.clone()),
            root: own.root.clone().or_else(|| self.root.clone()),
        }
    }

    /// The tier; `None` for no box.
    pub fn tier(&self) -> Option<Tier> {
        self.tier.unwrap_or_default().tier()
    }

    /// What may be reached.
    pub fn egress(&self) -> &[Egress] {
        self.egress.as_deref().unwrap_or_default()
    }

    /// Every secret that goes to a host.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.egress().iter().flat_map(|rule| &rule.secrets).flat_map(Injected::references)
    }
}

impl Tool {
    /// Where it runs, with what the agent says where it is silent; `None` for a tool that starts no program here.
    pub fn sandbox_in(&self, manifest: &Manifest) -> Option<Sandbox> {
        self.starts().then(|| manifest.sandbox.with(self.sandbox.as_ref()))
    }

    /// Whether it starts a program: a command, or an MCP server over stdio.
    pub fn starts(&self) -> bool {
        match &self.kind {
            Kind::Command(_) => true,
            Kind::Mcp(server) => server.url.is_none(),
            Kind::Sql(_) | Kind::Http(_) | Kind::Agent(_) | Kind::Files(_) => false,
        }
    }

    /// Whether what it does stays here: in a box that reaches nobody and holds no value of the host's, or in the workspace.
    pub fn is_contained(&self, manifest: &Manifest) -> bool {
        match (&self.kind, self.sandbox_in(manifest)) {
            (Kind::Files(_), _) => true,
            (_, Some(sandbox)) => {
                sandbox.tier().is_some() && sandbox.egress().is_empty() && !self.variables().any(|v| v.is_of_the_host())
            }
            (_, None) => false,
        }
    }

    /// What it may do with the session's workspace.
    pub fn workspace(&self) -> Access {
        match &self.kind {
            Kind::Files(files) => files.workspace.into(),
            _ => self.workspace.map_or(Access::None, Access::from),
        }
    }

    /// The environment variables of what it starts.
    pub fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        let own = match &self.kind {
            Kind::Mcp(server) => &server.env,
            _ => &self.env,
        };
        own.iter().map(|entry| Variable::of(entry))
    }
}
