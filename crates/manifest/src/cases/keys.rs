//! The table of keys of a case.

use crate::{
    keys::{DAY, FILE, SECOND},
    keys_tools::ENV_NAME,
    shape::{Key, Pattern, Secrecy, Section, Shape, key, must},
};

/// Most bytes of an input, as the server takes it.
const INPUT: usize = 1 << 20;
/// Longest text of an expectation or of a double.
const TEXT: usize = 64 << 10;

static FULL_NAME: Pattern = Pattern {
    regex: "^[a-zA-Z0-9_-]{1,64}$",
    what: "a tool's full name such as `payments_refund`",
    secret: Secrecy::Open,
};

static PLACE: Pattern = Pattern {
    regex: r"^\$(\.[A-Za-z0-9_-]{1,64}|\[[0-9]{1,4}\]){0,16}$",
    what: "a place in the arguments such as `$.order_id` or `$.items[0].id`",
    secret: Secrecy::Open,
};

static CODE: Pattern = Pattern { regex: "^ST[0-9]{4}$", what: "a code such as `ST0044`", secret: Secrecy::Open };

static MODEL: Section = Section {
    name: "case_model",
    keys: &[
        key("rehearsal", Shape::Pattern(&FILE), "A script that stands for the agent's models."),
        key("cassette", Shape::Pattern(&FILE), "A cassette that stands for the agent's models."),
        key(
            "loose",
            Shape::Bool,
            "Whether the cassette answers by order alone; when silent, each call must be the recorded one.",
        ),
    ],
    one_of: &["rehearsal", "cassette"],
};

static APPROVAL: Section = Section {
    name: "case_approval",
    keys: &[
        must("tool", Shape::Pattern(&FULL_NAME), "The tool that is asked about."),
        must("answer", Shape::OneOf(&["approve", "deny"]), "What the human says."),
        key(
            "reason",
            Shape::OneOf(&["manifest", "equal_unknown", "outcome_unknown"]),
            "Why a human is asked; `manifest` when silent. The others come up after a crash, and need not.",
        ),
        key("note", Shape::Text(4_096), "What the human says to it."),
    ],
    one_of: &[],
};

/// What a double may do, once or always.
macro_rules! double_keys {
    ($($more:expr),* $(,)?) => {
        &[
            key("returns", Shape::Json(false), "It happens, and this is the result."),
            key("refuses", Shape::Text(TEXT), "It certainly does not happen; this is the error."),
            key("unknown", Shape::Text(TEXT), "It happens, but the answer is lost; this is the error."),
            key("not_sent", Shape::Text(TEXT), "Nothing is sent; this is the error."),
            $($more),*
        ]
    };
}

static ANSWER: Section =
    Section { name: "case_returned", keys: double_keys!(), one_of: &["returns", "refuses", "unknown", "not_sent"] };

static DOUBLE: Section = Section {
    name: "case_double",
    keys: double_keys!(key(
        "answers",
        Shape::List(&Shape::Section(&ANSWER), 100),
        "One for each effect, in order; the last goes on."
    )),
    one_of: &["returns", "refuses", "unknown", "not_sent", "answers"],
};

static CALL: Section = Section {
    name: "case_call",
    keys: &[
        must("tool", Shape::Pattern(&FULL_NAME), "The tool."),
        key("args", Shape::Json(true), "The arguments hold at least this."),
        key("exactly", Shape::Json(true), "The arguments are this and nothing else."),
        key(
            "where",
            Shape::Map(&PLACE, &Shape::Text(1_000), 32),
            "Regular expressions for what stands at places of the arguments.",
        ),
        key(
            "decision",
            Shape::OneOf(&["allowed", "asked", "approved", "denied"]),
            "`allowed` asked nobody; `asked` asked a human, who `approved` or `denied`; a rule denies as well.",
        ),
        key(
            "outcome",
            Shape::OneOf(&["returned", "refused", "not_sent", "unknown", "withdrawn"]),
            "What came of the effect.",
        ),
    ],
    one_of: &[],
};

static ANSWER_EXPECTED: Section = Section {
    name: "case_answer",
    keys: &[
        key("equals", Shape::Text(TEXT), "The answer is this; blanks at its ends do not count."),
        key("contains", Shape::List(&Shape::Text(TEXT), 32), "The answer holds each of these."),
        key("lacks", Shape::List(&Shape::Text(TEXT), 32), "The answer holds none of these."),
        key("matches", Shape::Text(1_000), "A regular expression that is found in the answer."),
        key("json", Shape::Json(false), "The answer is JSON that holds at least this."),
        key("schema", Shape::Pattern(&FILE), "The answer is JSON that satisfies this JSON Schema."),
    ],
    one_of: &[],
};

static AT_MOST: Section = Section {
    name: "case_at_most",
    keys: &[
        key("usd", Shape::Usd, "Money for model calls."),
        key("tokens", Shape::Count(0, u64::MAX >> 12), "Model tokens, input and output together."),
        key("turns", Shape::Count(0, u32::MAX as u64), "Model turns."),
        key("tool_calls", Shape::Count(0, u32::MAX as u64), "Tool calls."),
    ],
    one_of: &[],
};

static EXPECT: Section = Section { name: "case_expect", keys: EXPECT_KEYS, one_of: &[] };

static EXPECT_KEYS: &[Key] = &[
    key("status", Shape::OneOf(&["completed", "failed", "cancelled"]), "How the run ends; `completed` when silent."),
    key("code", Shape::Pattern(&CODE), "Why it fails."),
    key("answer", Shape::Short(&ANSWER_EXPECTED, "equals"), "What it answers."),
    key("calls", Shape::OrNone(&Shape::Short(&CALL, "tool"), 500), "Its calls, in order; `[]` for none."),
    key(
        "other_calls",
        Shape::OneOf(&["refused", "allowed"]),
        "Whether it may make calls besides; `refused` when silent.",
    ),
    key("never", Shape::List(&Shape::Pattern(&FULL_NAME), 64), "Tools that it does not call."),
    key(
        "effects",
        Shape::Map(&FULL_NAME, &Shape::Count(0, 10_000), 64),
        "How often each tool takes effect, over all crashes.",
    ),
    key("at_most", Shape::Section(&AT_MOST), "What it may cost."),
];

static CRASH: Section = Section {
    name: "case_crash",
    keys: &[
        key(
            "at",
            Shape::Count(1, 10_000),
            "The record of the journal at which the runtime is killed: before it is written, and after.",
        ),
        key(
            "every",
            Shape::Bool,
            "The case is repeated with the runtime killed at each record, before it is written and after.",
        ),
    ],
    one_of: &["at", "every"],
};

static TURN: Section = Section {
    name: "case_turn",
    keys: &[
        must("input", Shape::Text(INPUT), "What the agent is asked."),
        key("expect", Shape::Section(&EXPECT), "What must come of it."),
    ],
    one_of: &[],
};

/// The whole case.
pub(super) static CASE: Section = Section { name: "case", keys: CASE_KEYS, one_of: &["input", "turns"] };

static CASE_KEYS: &[Key] = &[
    must("stead", Shape::Const("test/v1"), "The format of this file: `test/v1`."),
    key("description", Shape::Text(2_000), "What the case shows."),
    key("input", Shape::Text(INPUT), "What the agent is asked."),
    key("turns", Shape::List(&Shape::Section(&TURN), 50), "Several runs of one session, one after the other."),
    key("model", Shape::Section(&MODEL), "What stands for the agent's models; needed when they are real."),
    key(
        "approvals",
        Shape::List(&Shape::Section(&APPROVAL), 100),
        "What humans answer; each answers one question, in order.",
    ),
    key(
        "tools",
        Shape::Map(&FULL_NAME, &Shape::Section(&DOUBLE), 64),
        "Doubles that stand for tools, by full name; others really run.",
    ),
    key("env", Shape::Map(&ENV_NAME, &Shape::Text(4_096), 64), "Variables of the runtime's environment."),
    key("expect", Shape::Section(&EXPECT), "What must come of it; with `turns`, of all of them together."),
    key("crash", Shape::Section(&CRASH), "Where the runtime is killed; what is expected stays the same."),
    key("timeout", Shape::Duration(SECOND, DAY), "How long the case may take; 60s when silent."),
];
