//! The edges where a decision is asked for, as Cedar actions: what each is called, what it is done to, and what policies
//! may know about it beside what every edge has.

/// What asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// A model is asked.
    CallModel,
    /// A tool is called. Its Cedar action bears the tool's own name, within the group `call_tool`.
    CallTool,
    /// Something is read from memory.
    ReadMemory,
    /// Something is written to memory.
    WriteMemory,
    /// A message goes to another agent.
    SendMessage,
    /// Another agent is started as a child.
    StartAgent,
    /// A box is made.
    CreateSandbox,
    /// A box, or a tool, speaks to a host.
    Connect,
    /// A secret is taken to where it is used.
    UseSecret,
    /// A file leaves the workspace as an artifact.
    ExportArtifact,
    /// An operator looks at what the tenant has.
    Read,
    /// An operator starts a run.
    StartRun,
    /// An operator pauses, resumes, cancels or forks a run, or signals it.
    ControlRun,
    /// An operator answers an approval.
    AnswerApproval,
    /// An operator applies an agent version or moves an alias.
    ApplyAgent,
    /// An operator applies a policy set.
    ApplyPolicy,
    /// An operator makes a session sandbox or works in one.
    UseSandbox,
    /// An operator reads the figures of the whole server.
    ReadMetrics,
    /// An operator takes what belongs to the whole server, such as a backup.
    Administer,
}

/// The type of an attribute that is no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Decimal,
    Text,
    Datetime,
    /// A set of texts.
    Texts,
    /// A set of entities of a type.
    Entities(&'static str),
    /// One entity of a type.
    Entity(&'static str),
}

/// An attribute: its name, its type, and whether it is always there.
pub(crate) type Attribute = (&'static str, Kind, bool);

/// The group of every tool's action.
pub const TOOLS: &str = "call_tool";
/// The group of every operator's action.
pub const OPERATE: &str = "operate";

impl Edge {
    /// Every edge.
    pub const ALL: [Self; 19] = [
        Self::CallModel,
        Self::CallTool,
        Self::ReadMemory,
        Self::WriteMemory,
        Self::SendMessage,
        Self::StartAgent,
        Self::CreateSandbox,
        Self::Connect,
        Self::UseSecret,
        Self::ExportArtifact,
        Self::Read,
        Self::StartRun,
        Self::ControlRun,
        Self::AnswerApproval,
        Self::ApplyAgent,
        Self::ApplyPolicy,
        Self::UseSandbox,
        Self::ReadMetrics,
        Self::Administer,
    ];

    /// The name of its Cedar action; for tools that of their group.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallModel => "call_model",
            Self::CallTool => TOOLS,
            Self::ReadMemory => "read_memory",
            Self::WriteMemory => "write_memory",
            Self::SendMessage => "send_message",
            Self::StartAgent => "start_agent",
            Self::CreateSandbox => "create_sandbox",
            Self::Connect => "connect",
            Self::UseSecret => "use_secret",
            Self::ExportArtifact => "export_artifact",
            Self::Read => "read",
            Self::StartRun => "start_run",
            Self::ControlRun => "control_run",
            Self::AnswerApproval => "answer_approval",
            Self::ApplyAgent => "apply_agent",
            Self::ApplyPolicy => "apply_policy",
            Self::UseSandbox => "use_sandbox",
            Self::ReadMetrics => "read_metrics",
            Self::Administer => "administer",
        }
    }

    /// Whether an operator asks, and not a run.
    pub const fn is_operators(self) -> bool {
        matches!(
            self,
            Self::Read
                | Self::StartRun
                | Self::ControlRun
                | Self::AnswerApproval
                | Self::ApplyAgent
                | Self::ApplyPolicy
                | Self::UseSandbox
                | Self::ReadMetrics
                | Self::Administer
        )
    }

    /// The Cedar types of what it may be done to.
    pub(crate) const fn resources(self) -> &'static [&'static str] {
        match self {
            Self::CallModel => &["Model"],
            Self::CallTool => &["Tool"],
            Self::ReadMemory | Self::WriteMemory => &["Memory"],
            Self::SendMessage | Self::StartAgent => &["Agent"],
            Self::CreateSandbox => &["Sandbox"],
            Self::Connect => &["Host"],
            Self::UseSecret => &["Secret"],
            Self::ExportArtifact => &["Artifact"],
            Self::StartRun | Self::ApplyAgent => &["Agent"],
            Self::ControlRun | Self::AnswerApproval => &["Run"],
            Self::Read | Self::ApplyPolicy | Self::UseSandbox | Self::ReadMetrics | Self::Administer => &["Tenant"],
        }
    }

    /// What its context has beside [`COMMON`]; all of it is always there.
    pub(crate) const fn attributes(self) -> &'static [Attribute] {
        match self {
            Self::CallModel => &[("max_output_tokens", Kind::Long, true)],
            Self::ReadMemory | Self::WriteMemory => &[("bytes", Kind::Long, true)],
            Self::SendMessage => &[("bytes", Kind::Long, true), ("hops", Kind::Long, true)],
            Self::StartAgent => &[("hops", Kind::Long, true)],
            Self::CreateSandbox => {
                &[("cpu_millis", Kind::Long, true), ("memory_bytes", Kind::Long, true), ("network", Kind::Bool, true)]
            }
            Self::Connect => &[("port", Kind::Long, true), ("method", Kind::Text, true), ("path", Kind::Text, true)],
            Self::UseSecret => &[("tool", Kind::Text, true), ("host", Kind::Text, true)],
            Self::ExportArtifact => &[("media_type", Kind::Text, true), ("bytes", Kind::Long, true)],
            _ => &[],
        }
    }
}

/// What the context of every edge has.
pub(crate) const COMMON: &[Attribute] = &[
    ("granted", Kind::Bool, true),
    ("now", Kind::Datetime, true),
    ("risk", Kind::Text, true),
    ("confidence", Kind::Decimal, true),
    ("ask_below", Kind::Decimal, true),
    ("unsure", Kind::Bool, true),
    ("traced", Kind::Bool, true),
    ("taint", Kind::Bool, true),
    ("plan", Kind::Bool, true),
];

/// What `context.approvals` has.
pub(crate) const APPROVALS: &[Attribute] =
    &[("count", Kind::Long, true), ("users", Kind::Entities("User"), true), ("roles", Kind::Entities("Role"), true)];

/// What `context.grant` has; it is there when another agent started the run that asks.
pub(crate) const GRANT: &[Attribute] = &[
    ("by", Kind::Entity("Agent"), true),
    ("tools", Kind::Texts, false),
    ("hosts", Kind::Texts, false),
    ("scopes", Kind::Texts, false),
    ("until", Kind::Datetime, false),
    ("depth", Kind::Long, false),
    ("tokens", Kind::Long, false),
    ("usd", Kind::Decimal, false),
    ("tool_calls", Kind::Long, false),
];

/// An entity type: its name, the types that may be above it, its attributes.
pub(crate) type EntityType = (&'static str, &'static [&'static str], &'static [Attribute]);

/// Every entity type. A child run is not below its parent: else what a parent may do, its child could.
pub(crate) const ENTITIES: &[EntityType] = &[
    ("Tenant", &[], &[]),
    ("Role", &["Tenant"], &[]),
    ("User", &["Role", "Tenant"], &[]),
    ("Agent", &["Tenant"], &[]),
    ("Version", &["Agent"], &[]),
    ("Session", &["Tenant"], &[]),
    (
        "Run",
        &["Version", "Session"],
        &[("user", Kind::Entity("User"), false), ("callers", Kind::Entities("Agent"), true)],
    ),
    ("Provider", &[], &[]),
    ("Model", &["Provider"], &[]),
    ("Toolset", &[], &[]),
    ("Tool", &["Toolset"], &[("class", Kind::Text, true), ("risk", Kind::Text, true)]),
    ("Project", &[], &[]),
    ("Memory", &["Project"], &[]),
    ("Sandbox", &[], &[]),
    ("Domain", &["Domain"], &[]),
    ("Host", &["Domain"], &[]),
    ("Secret", &["Secret"], &[]),
    ("Artifact", &[], &[]),
];
