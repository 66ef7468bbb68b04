//! The table of keys of `sandbox`: where commands and MCP servers run, what they may use, and what they may reach. The rules of
//! egress are those of `docs/egress.md`; whether one makes sense is judged where it is used, when the agent is applied.

use crate::{
    keys::{DAY, SECOND, SECRET},
    shape::{Pattern, Secrecy, Section, Shape, key, must},
};

/// Where a tool may run.
const TIERS: &[&str] = &["namespace", "wasm", "oci", "microvm", "none"];

/// What a tier can promise.
const PROPERTIES: &[&str] = &[
    "memory_limit",
    "pids_limit",
    "cpu_limit",
    "accounting",
    "disk_quota",
    "egress_control",
    "syscall_filter",
    "file_rules",
    "own_kernel",
];

static ROOT: Pattern = Pattern {
    regex: "^[a-z][a-z0-9_-]{0,30}$",
    what: "the name of a root such as `python`, as the operator's `[sandbox] roots` has it",
    secret: Secrecy::Open,
};

static HOST: Pattern = Pattern {
    regex: r"^(https?://)?[!-.0-9;-?A-~]{1,253}(:[0-9]{1,5})?$",
    what: "a host such as `api.example.com`, `*.example.org` or `http://mirror.example.com:8080`",
    secret: Secrecy::Url,
};

static METHOD: Pattern =
    Pattern { regex: "^[A-Z-]{1,32}$", what: "a method such as `GET`, in capitals", secret: Secrecy::Open };

static URL_PATTERN: Pattern =
    Pattern { regex: "^/[!-~]{0,500}$", what: "a pattern of paths such as `/v1/**`", secret: Secrecy::Open };

static RANGE: Pattern = Pattern {
    regex: "^[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?$",
    what: "a range of addresses such as `10.1.0.0/16`",
    secret: Secrecy::Open,
};

static WORD: Pattern = Pattern { regex: "^[!-~]{1,256}$", what: "a word without spaces", secret: Secrecy::Open };

static HTTPS: Pattern = Pattern {
    regex: "^https://[!-?A-~]{1,500}$",
    what: "a URL such as `https://login.example.com/token`",
    secret: Secrecy::Url,
};

/// Where commands and MCP servers run.
pub(crate) static SANDBOX: Section = Section {
    name: "sandbox",
    keys: &[
        key(
            "tier",
            Shape::OneOf(TIERS),
            "How it is kept apart from the host; `namespace` when silent. `none` lets an MCP server run as the user, if the operator \
             allows that.",
        ),
        key(
            "requires",
            Shape::OrNone(&Shape::OneOf(PROPERTIES), 9),
            "What the tier must be able to promise here; if it cannot, nothing starts.",
        ),
        key("cpu", Shape::Decimal(256), "Processors, at least 0.01; 1 when silent."),
        key("memory", Shape::Size(4 << 20, 1 << 40), "Memory of all that runs in the box; 512Mi when silent."),
        key("disk", Shape::Size(64 << 10, 1 << 40), "Bytes that may be written in it; 256Mi when silent."),
        key("inodes", Shape::Count(16, 100_000_000), "Files and folders that may be written; 65536 when silent."),
        key("file", Shape::Size(1, 1 << 40), "Bytes of one file; as `disk` when silent."),
        key("pids", Shape::Count(2, 1_000_000), "Processes and threads at once; 128 when silent."),
        key("open_files", Shape::Count(16, 1_048_576), "Open files of one process; 1024 when silent."),
        key("output", Shape::Size(4 << 10, 8 << 20), "Bytes kept of each output of a command; 1Mi when silent."),
        key(
            "timeout",
            Shape::Duration(SECOND / 10, 30 * DAY),
            "From its start to its end by force. When silent: a command has the tool's `timeout`, an MCP server a day.",
        ),
        key(
            "egress",
            Shape::OrNone(&Shape::Short(&EGRESS, "host"), 64),
            "What may be reached, by the rules of [egress](egress.md); nothing else is. A tool's own list replaces the agent's, and `[]` \
             is none.",
        ),
        key(
            "root",
            Shape::Pattern(&ROOT),
            "A folder of the operator's that stands for the host's programs, by its name.",
        ),
    ],
    one_of: &[],
};

/// One rule of egress.
static EGRESS: Section = Section {
    name: "egress",
    keys: &[
        must("host", Shape::Pattern(&HOST), "A DNS name, or `*.` and a name; maybe with scheme and port."),
        key("ports", Shape::List(&Shape::Count(1, 65_535), 64), "Ports; the scheme's own when silent."),
        key("scheme", Shape::OneOf(&["http", "https"]), "The scheme; `http` when the only port is 80, else `https`."),
        key("methods", Shape::List(&Shape::Pattern(&METHOD), 64), "Methods; any when silent."),
        key("paths", Shape::List(&Shape::Pattern(&URL_PATTERN), 64), "Patterns of paths; any when silent."),
        key(
            "tls",
            Shape::OneOf(&["auto", "pass", "intercept"]),
            "What is done with TLS; intercepted where a rule must see requests when silent.",
        ),
        key(
            "addresses",
            Shape::List(&Shape::Pattern(&RANGE), 64),
            "Ranges inside that the name may lead to; public addresses only when silent.",
        ),
        key("websocket", Shape::Bool, "Whether a connection may become a WebSocket."),
        key("opaque", Shape::Bool, "Whether a passed tunnel may hold anything."),
        key("shared", Shape::Bool, "Whether the host stands with others at one front; known fronts are when silent."),
        key("client_credentials", Shape::Bool, "Whether credentials of the program's own are let through."),
        key("secrets_in_clear", Shape::Bool, "Whether secrets may go over `http`."),
        key(
            "secrets",
            Shape::List(&Shape::Section(&INJECTED), 8),
            "Secrets that the proxy puts into each request. They are never inside.",
        ),
    ],
    one_of: &[],
};

static INJECTED: Section = Section {
    name: "egress_secret",
    keys: &[
        must("secret", Shape::Pattern(&SECRET), "Where the secret is."),
        must(
            "inject",
            Shape::Short(&INJECT, "as"),
            "How it goes in: `bearer`, or a mapping with `header`, `basic`, `form`, `sigv4` or `oauth`.",
        ),
    ],
    one_of: &[],
};

static INJECT: Section = Section {
    name: "inject",
    keys: &[
        key("as", Shape::OneOf(&["bearer"]), "`Authorization: Bearer VALUE`."),
        key("header", Shape::Section(&INJECT_HEADER), "A field of the request."),
        key("basic", Shape::Section(&INJECT_BASIC), "`Authorization: Basic …`, the secret being the password."),
        key("form", Shape::Section(&INJECT_FORM), "A field of a form in the body."),
        key("sigv4", Shape::Section(&INJECT_SIGV4), "AWS Signature 4, the secret being the secret access key."),
        key("oauth", Shape::Section(&INJECT_OAUTH), "Client credentials, the secret being the client's."),
    ],
    one_of: &["as", "header", "basic", "form", "sigv4", "oauth"],
};

static INJECT_HEADER: Section = Section {
    name: "inject_header",
    keys: &[
        must("name", Shape::Pattern(&WORD), "The field, such as `X-Api-Key`."),
        key("prefix", Shape::Text(64), "What stands before the secret; nothing when silent."),
    ],
    one_of: &[],
};

static INJECT_BASIC: Section =
    Section { name: "inject_basic", keys: &[must("user", Shape::Pattern(&WORD), "The user.")], one_of: &[] };

static INJECT_FORM: Section =
    Section { name: "inject_form", keys: &[must("field", Shape::Pattern(&WORD), "The field.")], one_of: &[] };

static INJECT_SIGV4: Section = Section {
    name: "inject_sigv4",
    keys: &[
        must("access_key_id", Shape::Pattern(&WORD), "The id of the access key. It is sent, and is no secret."),
        must("region", Shape::Pattern(&WORD), "The region, `eu-central-1`."),
        must("service", Shape::Pattern(&WORD), "The service, `s3`."),
        key("session_token", Shape::Pattern(&SECRET), "Where the session token of a temporary key is."),
    ],
    one_of: &[],
};

static INJECT_OAUTH: Section = Section {
    name: "inject_oauth",
    keys: &[
        must("token_url", Shape::Pattern(&HTTPS), "Where tokens are given."),
        must("client_id", Shape::Text(256), "The client's name there."),
        key("scope", Shape::Text(256), "What the token shall allow; the server's choice when silent."),
    ],
    one_of: &[],
};

/// Files of the workspace, as a tool.
pub(crate) static FILES: Section = Section {
    name: "files",
    keys: &[must("workspace", Shape::OneOf(&["ro", "rw"]), "Whether it may also write: `ro` or `rw`.")],
    one_of: &[],
};
