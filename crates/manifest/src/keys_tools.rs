//! The table of keys under `tools`.

use crate::{
    keys::{BUDGET, DAY, FILE, SECOND, SECRET},
    keys_sandbox::{FILES, SANDBOX},
    shape::{Pattern, Secrecy, Section, Shape, key, later, must},
};

/// A tool's name: with an operation's it makes a name of at most 64 characters, which is what providers take.
pub(crate) static TOOL_NAME: Pattern = Pattern {
    regex: "^[a-z][a-z0-9_-]{0,30}$",
    what: "a name such as `orders`: small letters, digits, `_` and `-`, at most 31 characters",
    secret: Secrecy::Open,
};

/// The name of an environment variable.
pub(crate) static ENV_NAME: Pattern = Pattern {
    regex: "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
    what: "the name of an environment variable such as `HOME`",
    secret: Secrecy::Open,
};

/// A variable of a server that is started: one that is handed on, or one that is set to a secret.
static HANDED: Pattern = Pattern {
    regex: "^[A-Za-z_][A-Za-z0-9_]{0,127}(=(env://[A-Za-z_][A-Za-z0-9_]{0,127}|secret://[A-Za-z_][A-Za-z0-9_.-]{0,127}(#[A-Za-z0-9_.-]{1,64})?))?$",
    what: "the name of an environment variable such as `HOME`, or `NAME=secret://SECRET` (never the secret itself)",
    secret: Secrecy::Secret,
};

static OPERATION: Pattern = Pattern {
    regex: "^[a-zA-Z][a-zA-Z0-9_-]{0,31}$",
    what: "a name such as `find_refund`: letters, digits, `_` and `-`, at most 32 characters",
    secret: Secrecy::Open,
};

/// An operation as its adapter names it; MCP servers are free to use `.` and `/`.
static ANY_OPERATION: Pattern = Pattern {
    regex: "^[A-Za-z0-9_./-]{1,128}$",
    what: "the name of an operation such as `refund`",
    secret: Secrecy::Open,
};

static PARAM: Pattern = Pattern {
    regex: "^[a-zA-Z_][a-zA-Z0-9_]{0,63}$",
    what: "a parameter such as `order_id`: letters, digits and `_`",
    secret: Secrecy::Open,
};

static HEADER: Pattern =
    Pattern { regex: "^[A-Za-z0-9-]{1,64}$", what: "the name of a header such as `Accept`", secret: Secrecy::Open };

static ARGUMENT: Pattern = Pattern {
    regex: r"^\$(\.[A-Za-z_][A-Za-z0-9_-]{0,63}){1,8}$",
    what: "a place in the arguments such as `$.order_id`",
    secret: Secrecy::Open,
};

/// Who speaks.
static TRUST: Shape = Shape::OneOf(&["trusted", "attested", "untrusted"]);

static RESULT: Pattern = Pattern {
    regex: r"^\$(\.[A-Za-z_][A-Za-z0-9_-]{0,63}|\[\*\]){0,8}$",
    what: "a place in the result such as `$.note` or `$.rows[*].note`",
    secret: Secrecy::Open,
};

static AGENT: Pattern = Pattern {
    regex: r"^([a-z0-9][a-z0-9-]{0,62}(@[a-z0-9][a-z0-9:-]{0,70})?|\./[A-Za-z0-9._-][A-Za-z0-9._ /-]{0,198})$",
    what: "an agent's name such as `researcher` or `researcher@canary`, or its folder such as `./researcher`",
    secret: Secrecy::Open,
};

static SQL_URL: Pattern = Pattern {
    regex: r"^(sqlite:[!-~]{1,500}|postgres(ql)?://([!-.0-9;-?A-~]{1,100}@)?[!-?A-~]{1,500}|\$\{services\.[a-z0-9_-]{1,31}\.url\})$",
    what: "a database such as `sqlite:./shop.db`, `sqlite:${data}/shop.db` or `postgres://user@host/db`; a password \
           goes under `auth`",
    secret: Secrecy::Url,
};

static HTTP_URL: Pattern = Pattern {
    regex: r"^(https?://[!-?A-~]{1,500}|\$\{services\.[a-z0-9_-]{1,31}\.url\}[!-~]{0,200})$",
    what: "a URL such as `https://api.example.com/v1`; credentials go under `auth`",
    secret: Secrecy::Url,
};

static URL_PATH: Pattern =
    Pattern { regex: "^/[!-~]{0,500}$", what: "a path such as `/refunds/{{args.order_id}}`", secret: Secrecy::Open };

/// Effect classes, mildest first.
pub(crate) const CLASSES: &[&str] = &["pure", "contained", "keyed", "reconcilable", "compensable", "irreversible"];

/// One tool.
pub(crate) static TOOL: Section = Section {
    name: "tool",
    keys: &[
        key("sql", Shape::Section(&SQL), "A database."),
        key("http", Shape::Section(&HTTP), "An HTTP service, by inline templates or an OpenAPI document."),
        key("mcp", Shape::Section(&MCP), "A server of the Model Context Protocol, over stdio or streamable HTTP."),
        key(
            "agent",
            Shape::Pattern(&AGENT),
            "Another agent; calling it starts a child run. A folder's agent is part of this version.",
        ),
        key(
            "command",
            Shape::List(&Shape::Text(20_000), 64),
            "A program and its arguments, run in a sandbox of its own; `{{args.NAME}}` stands for an argument. Without `params` the model \
             gives one text, `command`, which becomes the last word.",
        ),
        key(
            "files",
            Shape::Short(&FILES, "workspace"),
            "The files of the session's workspace, without a program: `ro` or `rw`.",
        ),
        key("description", Shape::Text(2_000), "What it is for, for the model."),
        key("only", Shape::List(&Shape::Pattern(&ANY_OPERATION), 256), "Offer only these operations."),
        key(
            "effect",
            Shape::OneOf(CLASSES),
            "Effect class of all its operations. `contained` is for what stays in a sandbox that reaches nobody, and is the default there.",
        ),
        key(
            "effects",
            Shape::Map(&ANY_OPERATION, &Shape::Short(&EFFECT, "class"), 256),
            "Rules of single operations; a class alone may stand for the mapping.",
        ),
        key("ask", Shape::Bool, "A human approves every call of every operation that does not say otherwise."),
        key(
            "auth",
            Shape::Short(&AUTH, "secret"),
            "The credential of the destination; where it is, may stand for the mapping.",
        ),
        key(
            "trust",
            Shape::Map(&RESULT, &TRUST, 64),
            "Who speaks in which part of a result. What is not said is untrusted.",
        ),
        key(
            "readers",
            Shape::List(&Shape::Text(320), 64),
            "Who may read what comes from it: an address, `@example.com` for everyone there, or `*`.",
        ),
        key("timeout", Shape::Duration(SECOND / 10, DAY), "How long one attempt may take; 30s when silent."),
        key("max_output", Shape::Size(1, 64 << 20), "Bytes of output kept; 1Mi when silent."),
        key(
            "max_shown",
            Shape::Size(1, 4 << 20),
            "Bytes of output that the model is shown; more is cut to a preview, the whole stays in a blob. 32Ki when silent.",
        ),
        key("budget", Shape::Section(&BUDGET), "Limits of a child run; only with `agent`."),
        key(
            "grant",
            Shape::Section(&GRANT),
            "What a child run, and all runs below it, may do of what their own manifests let them; only with `agent`.",
        ),
        key("params", Shape::Map(&PARAM, &Shape::Json(true), 64), "With `command`: JSON Schema of each argument."),
        key("optional", Shape::List(&Shape::Pattern(&PARAM), 64), "With `command`: arguments that may be left out."),
        key(
            "stdin",
            Shape::Text(200_000),
            "With `command`: its standard input, where `{{args.NAME}}` stands for an argument.",
        ),
        key(
            "env",
            Shape::List(&Shape::Pattern(&HANDED), 64),
            "With `command`: environment variables. A bare name hands the value itself in, so it is for what is no secret, and the operator \
             lists it (`[sandbox] env`); `NAME=secret://SECRET` sets one to a placeholder that the egress proxy replaces.",
        ),
        key(
            "workspace",
            Shape::OneOf(&["ro", "rw"]),
            "With `command`: it finds the session's workspace in `/workspace`, to read (`ro`) or also to write (`rw`). It sees none when \
             silent.",
        ),
        key(
            "sandbox",
            Shape::Short(&SANDBOX, "tier"),
            "With `command` or `mcp`: keys of the agent's `sandbox` that are others for this tool.",
        ),
        later("wasm", "WebAssembly tools"),
    ],
    one_of: &["sql", "http", "mcp", "agent", "command", "files"],
};

static AUTH: Section = Section {
    name: "auth",
    keys: &[
        key("secret", Shape::Pattern(&SECRET), "Where the credential is."),
        key("oauth2", Shape::Section(&OAUTH2), "Client credentials, for which a token is fetched; for an `http` tool."),
        key(
            "delegate",
            Shape::Section(&DELEGATE),
            "A token of the run itself, made for each effect: its subject is the person on whose behalf the run works, and its actors are the \
             runs. For an `http` tool, and an `mcp` server behind a URL.",
        ),
    ],
    one_of: &["secret", "oauth2", "delegate"],
};

static DELEGATE: Section = Section {
    name: "delegate",
    keys: &[
        must(
            "audience",
            Shape::Pattern(&AUDIENCE),
            "For whom the token is: the destination as it names itself. The operator lists it (`[identity] audiences`).",
        ),
        key(
            "scopes",
            Shape::List(&Shape::Pattern(&SCOPE), 64),
            "What the token shall allow; nothing in particular when silent.",
        ),
        key(
            "resource",
            Shape::Pattern(&AUDIENCE),
            "The resource (RFC 8707) that the operator's token service is asked for, when it knows the audience by another name.",
        ),
    ],
    one_of: &[],
};

static GRANT: Section = Section {
    name: "grant",
    keys: &[
        key(
            "tools",
            Shape::OrNone(&Shape::Pattern(&GRANTED_TOOL), 64),
            "Tools by the names that the model knows them by; `orders_*` stands for all that begin so. All when silent.",
        ),
        key(
            "hosts",
            Shape::OrNone(&Shape::Pattern(&GRANTED_HOST), 64),
            "Hosts that anything is sent to; `*.example.com` stands for all below `example.com`. All when silent.",
        ),
        key("scopes", Shape::OrNone(&Shape::Pattern(&SCOPE), 64), "Scopes of delegated tokens. All when silent."),
        key("for", Shape::Duration(SECOND, 30 * DAY), "How long it lasts from the start of the child run."),
        key(
            "depth",
            Shape::Count(0, 16),
            "How many agents deep the child may start others; 0 for none. As deep as the server lets when silent.",
        ),
    ],
    one_of: &[],
};

static AUDIENCE: Pattern =
    Pattern { regex: "^[!-~]{1,500}$", what: "an audience such as `https://api.example.com`", secret: Secrecy::Url };

static GRANTED_TOOL: Pattern = Pattern {
    regex: r"^([a-zA-Z0-9_-]{1,64}|[a-zA-Z0-9_-]{0,63}\*)$",
    what: "a tool such as `orders_find` or `orders_*`",
    secret: Secrecy::Open,
};

static GRANTED_HOST: Pattern = Pattern {
    regex: r"^(\*\.)?[a-z0-9]([a-z0-9.:-]{0,251}[a-z0-9])?$",
    what: "a host such as `api.example.com` or `*.example.com`, in small letters and without a port",
    secret: Secrecy::Open,
};

static OAUTH2: Section = Section {
    name: "oauth2",
    keys: &[
        must(
            "token_url",
            Shape::Pattern(&TOKEN_URL),
            "The authorization server's token endpoint: `https://`, or `http://` on this machine.",
        ),
        must("client_id", Shape::Text(500), "The client's name there."),
        must("client_secret", Shape::Pattern(&SECRET), "Where the client's secret is."),
        key(
            "scopes",
            Shape::List(&Shape::Pattern(&SCOPE), 64),
            "What the token shall allow; the server's choice when silent.",
        ),
        key(
            "send",
            Shape::OneOf(&["header", "body"]),
            "Where the client's name and secret go: the `Authorization` header, when silent, or the form.",
        ),
    ],
    one_of: &[],
};

static TOKEN_URL: Pattern = Pattern {
    regex: "^https?://[!-?A-~]{1,500}$",
    what: "a URL such as `https://login.example.com/token`",
    secret: Secrecy::Url,
};

// RFC 6749, section 3.3.
static SCOPE: Pattern =
    Pattern { regex: r"^[!#-\[\]-~]{1,200}$", what: "a scope such as `refunds.write`", secret: Secrecy::Open };

static EFFECT: Section = Section {
    name: "effect",
    keys: &[
        key(
            "class",
            Shape::OneOf(CLASSES),
            "Effect class; that of the tool when silent. `contained` is for what stays in a sandbox that reaches nobody.",
        ),
        key("key", Shape::Pattern(&ARGUMENT), "The argument that is the business key; the effect's id when silent."),
        key(
            "key_ttl",
            Shape::Duration(SECOND, 3_653 * DAY),
            "How long the destination remembers a key (`keyed`); after that the effect counts as irreversible. For ever when \
             silent.",
        ),
        key("risk", Shape::OneOf(&["critical", "high", "normal"]), "How bad a mistake is; shown to whoever approves."),
        key("ask", Shape::Bool, "A human approves every call."),
        key(
            "trust",
            Shape::Map(&RESULT, &TRUST, 64),
            "Who speaks in which part of its result, beside what the tool's own `trust` says.",
        ),
        key("content", Shape::List(&Shape::Pattern(&PARAM), 64), "Arguments that it carries; all others steer it."),
        key(
            "recipients",
            Shape::OrNone(&Shape::Pattern(&PARAM), 64),
            "Arguments that name who reads the content; an empty list when nobody does. When silent nobody has said, and other \
             people's words are not sent by it without a human.",
        ),
        key("readers", Shape::List(&Shape::Text(320), 64), "As the tool's own `readers`, for this operation."),
        key(
            "on_unknown",
            Shape::OneOf(&["tell", "ask"]),
            "When nobody knows whether it happened: tell the model, or ask a human.",
        ),
        key(
            "reconcile",
            Shape::Pattern(&ANY_OPERATION),
            "The operation (GET or HEAD) that tells whether this one happened: 2xx says yes, 404 no. Called with the same \
             arguments.",
        ),
        key("settle", Shape::Duration(0, 30 * DAY), "After this time an answer \"it did not happen\" counts."),
        key("compensate", Shape::Pattern(&ANY_OPERATION), "The operation that takes this one back."),
        key("attempts", Shape::Count(1, 20), "Attempts after which it is given up; 3 when silent."),
        key(
            "timeout",
            Shape::Duration(SECOND / 10, DAY),
            "How long one attempt may take; that of the tool when silent.",
        ),
        key(
            "preview",
            Shape::Short(&PREVIEW, "call"),
            "What looks at what it would do, before people are asked about it; see [Approvals](approvals.md#previews).",
        ),
    ],
    one_of: &[],
};

/// A part of an answer; members of lists by their numbers.
static SHOWN: Pattern = Pattern {
    regex: r"^\$(\.[A-Za-z0-9_-]{1,64}){1,8}$",
    what: "a place in the answer such as `$.total` or `$.rows.0.n`",
    secret: Secrecy::Open,
};

static PREVIEW: Section = Section {
    name: "preview",
    keys: &[
        must(
            "call",
            Shape::Pattern(&ANY_OPERATION),
            "The operation that looks, of the class `pure`: one of the same tool, `TOOL.OPERATION`, or a tool that has one only.",
        ),
        key(
            "with",
            Shape::Map(&PARAM, &Shape::Json(false), 64),
            "Its arguments: a text `$.order_id` stands for that argument of the call. When silent it is given those of the call \
             that it has, too.",
        ),
        key("show", Shape::Pattern(&SHOWN), "Which part of its answer people are shown; the whole when silent."),
        key(
            "binds",
            Shape::OneOf(&["etag", "rows"]),
            "What must still hold when the call is made, or else it is refused: `etag`, the entity tag that came with the answer (sent \
             as `If-Match`), or `rows`, the number that the answer is (compared in the statement's transaction). When silent \
             the preview is not binding.",
        ),
        key("timeout", Shape::Duration(SECOND / 10, 60 * SECOND), "How long it may take; 10 s when silent."),
    ],
    one_of: &[],
};

static SQL: Section = Section {
    name: "sql",
    keys: &[
        must("url", Shape::Pattern(&SQL_URL), "The database."),
        key(
            "allow",
            Shape::List(&Shape::OneOf(&["SELECT", "INSERT", "UPDATE", "DELETE"]), 4),
            "Kinds of statements; `[SELECT]` when silent.",
        ),
        key(
            "queries",
            Shape::Map(&OPERATION, &Shape::Section(&QUERY), 64),
            "Named queries, each an operation. Without them the model writes SQL itself (operation `query`).",
        ),
        key("max_rows", Shape::Count(1, 10_000), "Most rows of one answer; 200 when silent."),
        key("seed", Shape::Pattern(&FILE), "SQL that fills an SQLite file which does not exist yet."),
    ],
    one_of: &[],
};

static QUERY: Section = Section {
    name: "query",
    keys: &[
        must("sql", Shape::Text(20_000), "One statement; parameters are written `:name`."),
        key("description", Shape::Text(2_000), "What it does, for the model."),
        key("params", Shape::Map(&PARAM, &Shape::Json(true), 64), "JSON Schema of each parameter."),
        key(
            "optional",
            Shape::List(&Shape::Pattern(&PARAM), 64),
            "Parameters that may be left out; they are bound as `NULL`.",
        ),
    ],
    one_of: &[],
};

static HTTP: Section = Section {
    name: "http",
    keys: &[
        key(
            "base_url",
            Shape::Pattern(&HTTP_URL),
            "Where the service is: scheme, host, port, maybe a path prefix. Needed with `operations`; with `openapi` it stands for \
             every server of the document.",
        ),
        key("operations", Shape::Map(&OPERATION, &Shape::Section(&CALL), 64), "Its operations, described here."),
        key(
            "openapi",
            Shape::Pattern(&FILE),
            "Instead of `operations`: an OpenAPI 3.0 or 3.1 document, YAML or JSON. A part of the version.",
        ),
        key(
            "only",
            Shape::List(&Shape::Pattern(&ANY_OPERATION), 64),
            "With `openapi`: the ids of the operations that the agent has. No others exist for it.",
        ),
    ],
    one_of: &["operations", "openapi"],
};

static CALL: Section = Section {
    name: "operation",
    keys: &[
        must("method", Shape::OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]), "The method."),
        must("path", Shape::Pattern(&URL_PATH), "The path below `base_url`; `{{args.NAME}}` stands for an argument."),
        key("description", Shape::Text(2_000), "What it does, for the model."),
        key("params", Shape::Map(&PARAM, &Shape::Json(true), 64), "JSON Schema of each argument."),
        key("optional", Shape::List(&Shape::Pattern(&PARAM), 64), "Arguments that may be left out."),
        key("query", Shape::Map(&PARAM, &Shape::Text(2_000), 64), "Query values."),
        key(
            "headers",
            Shape::Map(&HEADER, &Shape::Text(2_000), 32),
            "Headers. `Idempotency-Key: {{key}}` is sent with every method but GET and HEAD unless named here. Credentials go under \
             `auth`.",
        ),
        key(
            "body",
            Shape::Json(false),
            "The JSON body, with templates; when silent, POST, PUT and PATCH send the arguments not used elsewhere.",
        ),
    ],
    one_of: &[],
};

static MCP: Section = Section {
    name: "mcp",
    keys: &[
        key(
            "command",
            Shape::List(&Shape::Text(1_000), 64),
            "Program and arguments, started in a sandbox: one for each run. A program with a `/` is relative to the manifest's folder, \
             which is `/opt/agent` there; any other is searched in `PATH`.",
        ),
        key(
            "url",
            Shape::Pattern(&HTTP_URL),
            "The endpoint of a server that speaks streamable HTTP. Its token goes under `auth`.",
        ),
        key(
            "headers",
            Shape::Map(&HEADER, &Shape::Text(2_000), 32),
            "With `url`: headers sent with every request. Credentials go under `auth`.",
        ),
        key(
            "plain_http",
            Shape::Bool,
            "With `url`: whether `http://` may lead off this machine, where anyone on the way can read and change what is said.",
        ),
        key(
            "env",
            Shape::List(&Shape::Pattern(&HANDED), 64),
            "With `command`: environment variables. A bare name hands the value itself in, so it is for what is no secret, and the operator \
             lists it (`[sandbox] env`); `NAME=secret://SECRET` sets one to a placeholder that the egress proxy replaces. The server sees \
             these, `PATH`, `HOME`, `LANG` and nothing else.",
        ),
        key("cwd", Shape::Pattern(&FILE), "With `command`: its working directory; the manifest's folder when silent."),
        key(
            "start_timeout",
            Shape::Duration(SECOND / 10, DAY),
            "How long it may take to start and list its tools; 30s when silent.",
        ),
    ],
    one_of: &["command", "url"],
};
