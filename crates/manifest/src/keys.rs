//! The table of keys of `agent.yaml`, except for those under `tools` ([`crate::keys_tools`]). A key exists because
//! it stands here; the reader, the JSON Schema and the reference page follow.

use crate::{
    keys_sandbox::SANDBOX,
    keys_tools::{ENV_NAME, TOOL, TOOL_NAME},
    providers::PROVIDERS,
    shape::{Key, Pattern, Secrecy, Section, Shape, key, later, must},
};

/// Microseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const DAY: u64 = 86_400 * SECOND;
/// Longest wait that a manifest can ask for: ten years.
const LONGEST: u64 = 3_653 * DAY;

/// A file inside of the manifest's folder.
pub(crate) static FILE: Pattern = Pattern {
    regex: r"^\./[A-Za-z0-9._-][A-Za-z0-9._ /-]{0,198}$",
    what: "a file of the manifest's folder such as `./script.yaml`",
    secret: Secrecy::Open,
};

/// A folder inside of the manifest's folder.
static FOLDER: Pattern = Pattern {
    regex: r"^\./[A-Za-z0-9._-][A-Za-z0-9._ /-]{0,98}$",
    what: "a folder of the manifest's folder such as `./policy`",
    secret: Secrecy::Open,
};

/// Where a secret comes from.
pub(crate) static SECRET: Pattern = Pattern {
    regex: "^(env://[A-Za-z_][A-Za-z0-9_]{0,127}|secret://[A-Za-z_][A-Za-z0-9_.-]{0,127}(#[A-Za-z0-9_.-]{1,64})?)$",
    what: "`env://NAME`, an environment variable of the runtime, or `secret://NAME` or `secret://NAME#FIELD`, one of its \
           secrets (never the secret itself)",
    secret: Secrecy::Secret,
};

static AGENT_NAME: Pattern = Pattern {
    regex: "^[a-z0-9][a-z0-9-]{0,62}$",
    what: "a name such as `refund-desk`: small letters, digits and `-`, at most 63 characters",
    secret: Secrecy::Open,
};

static MODEL: Pattern = Pattern {
    regex: "^[a-z][a-z0-9_-]{0,31}:[!-~]{1,150}$",
    what: "a model such as `openai:gpt-5-mini`: the provider, `:` and the provider's name for it",
    secret: Secrecy::Open,
};

static MODEL_URL: Pattern = Pattern {
    regex: r"^(https?://[!-~]{1,500}|\$\{services\.[a-z0-9_-]{1,31}\.url\}[!-~]{0,200})$",
    what: "a URL such as `http://127.0.0.1:8080/v1`",
    secret: Secrecy::Open,
};

/// How much a model may be asked to think.
const EFFORTS: &[&str] = &["low", "medium", "high"];

/// Keys of a model that the first one and the fallbacks have in common.
macro_rules! model_keys {
    ($($more:expr),* $(,)?) => {
        &[
            key("use", Shape::Model(&MODEL, PROVIDERS), "The model, as provider and name. `rehearsal:auto` calls every tool once and is no AI."),
            key("rehearsal", Shape::Pattern(&FILE), "A script that stands for a model: no key, no network, no AI."),
            key("cassette", Shape::Pattern(&FILE), "A recorded run that stands for a model: no key, no network, no AI."),
            key("loose", Shape::Bool, "Whether the cassette answers by order alone; when silent, each call must be the recorded one."),
            key("base_url", Shape::Pattern(&MODEL_URL), "Where the provider answers, when not at its usual address."),
            key("key", Shape::Pattern(&SECRET), "The provider's key; its usual environment variable, or the secret of that name, when silent."),
            key("max_output_tokens", Shape::Count(1, 1_000_000), "Most tokens of one reply; 4096 when silent."),
            key("price", Shape::Section(&PRICE), "What it charges; overrides the price table."),
            key("temperature", Shape::Decimal(2), "How freely words are chosen; the provider's choice when silent."),
            key("reasoning", Shape::OneOf(EFFORTS), "How much it thinks; the provider's choice when silent."),
            $($more),*
        ]
    };
}

/// What a model charges.
static PRICE: Section = Section {
    name: "price",
    keys: &[
        must("input", Shape::Usd, "USD per million input tokens."),
        key(
            "cached",
            Shape::Usd,
            "USD per million input tokens read from the provider's cache; as `input` when silent.",
        ),
        key(
            "cache_write",
            Shape::Usd,
            "USD per million input tokens written to the provider's cache; as `input` when silent.",
        ),
        must("output", Shape::Usd, "USD per million output tokens, reasoning included."),
    ],
    one_of: &[],
};

static FALLBACK: Section = Section { name: "fallback", keys: model_keys!(), one_of: &["use", "rehearsal", "cassette"] };

static MODEL_SECTION: Section = Section {
    name: "model",
    keys: model_keys!(
        key(
            "fallback",
            Shape::List(&Shape::Short(&FALLBACK, "use"), 8),
            "Models to try, in order, when this one does not answer."
        ),
        key("attempts", Shape::Count(1, 20), "Attempts at one model before the next; 4 when silent."),
        key("timeout", Shape::Duration(SECOND / 10, DAY), "How long one attempt may take; 2m when silent."),
    ),
    one_of: &["use", "rehearsal", "cassette"],
};

/// The kinds of limits, and more keys after them.
macro_rules! limits {
    ($($more:expr),* $(,)?) => {
        &[
            key("tokens", Shape::Count(1, u64::MAX >> 12), "Model tokens, input and output together."),
            key("usd", Shape::Usd, "Money for model calls; a model without a known price is refused."),
            key("tool_calls", Shape::Count(0, u32::MAX as u64), "Tool calls."),
            key("active", Shape::Duration(1_000, LONGEST), "Working time; waiting for a human is not work."),
            key("children", Shape::Count(0, 10_000), "Runs of other agents that may be started."),
            key("cpu", Shape::Duration(1_000, LONGEST), "Processor time in sandboxes."),
            key("traffic", Shape::Size(0, 1 << 50), "Bytes that sandboxes send to hosts and receive from them."),
            key("disk", Shape::Size(0, 1 << 50), "Bytes by which the session's workspace may grow."),
            $($more),*
        ]
    };
}

const DEADLINE: Key = key("deadline", Shape::Duration(1_000, LONGEST), "Calendar time from the start of the run.");

/// Hard limits.
pub(crate) static BUDGET: Section = Section { name: "budget", keys: limits![DEADLINE], one_of: &[] };

/// Limits of a run, and what it does at one.
static RUN_BUDGET: Section = Section {
    name: "run_budget",
    keys: limits![
        DEADLINE,
        key(
            "at_limit",
            Shape::OneOf(&["stop", "ask", "fallback"]),
            "At a limit, this run's or a budget's above it: `stop` (when silent); `ask` a human, who may raise this run's by as much \
             again; or `fallback` to the next model of the chain that fits.",
        ),
    ],
    one_of: &[],
};

/// What an answer must look like.
static OUTPUT: Section = Section {
    name: "output",
    keys: &[
        must("schema", Shape::Pattern(&FILE), "JSON Schema that the run's answer must satisfy."),
        key(
            "repairs",
            Shape::Count(0, 10),
            "Turns in which the model may repair an answer that does not satisfy it, before the run fails; 2 when silent.",
        ),
    ],
    one_of: &[],
};

static SESSION: Section = Section {
    name: "session",
    keys: &[key("budget", Shape::Section(&SESSION_BUDGET), "Limits of all runs of a session together.")],
    one_of: &[],
};

static SESSION_BUDGET: Section = Section { name: "session_budget", keys: limits![], one_of: &[] };

static CONTEXT: Section = Section {
    name: "context",
    keys: &[key(
        "tokens",
        Shape::Count(1_000, 100_000_000),
        "Tokens that a model call may carry before old tool results are cleared from it (the journal keeps them); 100000 when \
         silent.",
    )],
    one_of: &[],
};

static APPROVALS: Section = Section {
    name: "approvals",
    keys: &[
        key(
            "ttl",
            Shape::Duration(SECOND, LONGEST),
            "How long a human may take; nobody's answer denies. For ever when silent.",
        ),
        key(
            "max_open",
            Shape::Count(1, 10_000),
            "Most questions to people that one run may have open at once; what it would ask beyond is denied. 32 when silent, and never \
             more than the server's `approvals.max_open_per_run`.",
        ),
        key(
            "max_per_run",
            Shape::Count(1, 100_000),
            "Most questions to people of one run in all. 256 when silent, and never more than the server's `approvals.max_per_run`.",
        ),
    ],
    one_of: &[],
};

static CONFIDENCE: Section = Section {
    name: "confidence",
    keys: &[must(
        "ask_below",
        Shape::Decimal(1),
        "A call is put before a human when the model is less sure than this, or does not say how sure it is.",
    )],
    one_of: &[],
};

static DEV: Section = Section {
    name: "dev",
    keys: &[key(
        "services",
        Shape::Map(&TOOL_NAME, &Shape::Section(&SERVICE), 8),
        "Helper processes that `stead run` and `stead dev` start on loopback and stop again. A server never starts them.",
    )],
    one_of: &[],
};

static SERVICE: Section = Section {
    name: "service",
    keys: &[
        must(
            "command",
            Shape::List(&Shape::Text(1_000), 64),
            "Program and arguments, run in the manifest's folder. It prints its URL as its first line. The program `stead` is the \
             running binary itself.",
        ),
        key("env", Shape::List(&Shape::Pattern(&ENV_NAME), 64), "Names of environment variables handed on."),
    ],
    one_of: &[],
};

/// The whole manifest.
pub(crate) static MANIFEST: Section = Section { name: "agent", keys: MANIFEST_KEYS, one_of: &[] };

static MANIFEST_KEYS: &[Key] = &[
    must("stead", Shape::Const("v1"), "The format of this file: `v1`."),
    must("name", Shape::Pattern(&AGENT_NAME), "The agent's name; it is how callers and other agents know it."),
    key("description", Shape::Text(2_000), "What the agent is for, for people and for agents that may call it."),
    must(
        "model",
        Shape::Short(&MODEL_SECTION, "use"),
        "The model: `openai:gpt-5-mini`, or a mapping with `use`, `rehearsal` or `cassette`.",
    ),
    must("instructions", Shape::Text(200_000), "What the model is told: text, or a file such as `./INSTRUCTIONS.md`."),
    key(
        "input",
        Shape::Pattern(&FILE),
        "JSON Schema that each run's input must satisfy, checked before the run exists.",
    ),
    key(
        "output",
        Shape::Short(&OUTPUT, "schema"),
        "What the run's answer must look like: a file with its JSON Schema, or a mapping.",
    ),
    key("tools", Shape::Map(&TOOL_NAME, &Shape::Section(&TOOL), 64), "What the agent can do, by names of your choice."),
    key(
        "sandbox",
        Shape::Short(&SANDBOX, "tier"),
        "Where its commands and MCP servers run; a tier alone may stand for the mapping. A tool's own `sandbox` replaces single keys.",
    ),
    key(
        "include",
        Shape::List(&Shape::Pattern(&FILE), 64),
        "Files that commands and MCP servers find, read-only, in `/opt/agent`. A part of the version.",
    ),
    key("budget", Shape::Section(&RUN_BUDGET), "Hard limits of one run, and what it does at one."),
    key("session", Shape::Section(&SESSION), "Limits of a session over all its runs."),
    key("max_turns", Shape::Count(1, 100_000), "Model turns after which the run fails; 50 when silent."),
    key("context", Shape::Section(&CONTEXT), "What a model call may carry."),
    key("approvals", Shape::Section(&APPROVALS), "How humans are asked."),
    key(
        "provenance",
        Shape::OneOf(&["off", "trace", "plan"]),
        "Whether it is traced where values come from: then, once other people's words have been read, a human is asked about every effect \
         (`trace`), or about each that a plan drawn from the task alone does not have (`plan`). `trace` when silent; `off` traces nothing.",
    ),
    key(
        "policy",
        Shape::Pattern(&FOLDER),
        "Policies of this agent alone, beside those of its operator: a folder with `*.cedar`, `gates/*.cedar` and `history.yaml`. A \
         part of the version.",
    ),
    key(
        "gateway",
        Shape::Bool,
        "Whether its loop runs elsewhere: a run is then one call of its model, asked by a client with a token for it. What the client says \
         stands after `instructions`. Such an agent has no tools of its own; see docs/openai.md.",
    ),
    key("confidence", Shape::Section(&CONFIDENCE), "How sure the model must be to go on without a human."),
    key("dev", Shape::Section(&DEV), "What a run on a developer's machine needs besides."),
    later("memory", "memory"),
    later("identity", "identity"),
];
