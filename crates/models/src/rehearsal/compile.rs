//! From the written script to rules: patterns compiled with bounds, templates parsed, names checked.

use std::{collections::BTreeSet, time::Duration};

use regex::{Regex, RegexBuilder};
use serde_saphyr::{Location, Spanned};
use stead_core::{budget::Usage, time::Span};

use super::{
    expr::RESERVED,
    fault::Fail,
    script::{Fault, RawCall, RawRule, RawScript, RawUsage, Script, ScriptError},
    template::{Template, Tree},
};

/// Most rules of a script.
const MAX_RULES: usize = 1_000;
/// Most calls of one reply, and most lines of `answers`.
const MAX_LIST: usize = 100;
/// Largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;
/// Longest delay before one piece of a reply.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// Characters in one piece of a streamed reply, and the wait before each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// `None` sends a text as one piece.
    pub(super) chunk: Option<usize>,
    pub(super) delay: Duration,
}

/// Which tools a rule listens to.
#[derive(Debug)]
pub(super) enum ToolName {
    Any,
    Named(String),
}

impl ToolName {
    pub(super) fn fits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(n) => n == name,
        }
    }
}

/// When a rule speaks.
#[derive(Debug)]
pub(super) struct When {
    pub(super) user: Option<Regex>,
    pub(super) tool: Option<ToolName>,
    pub(super) result: Option<Regex>,
    pub(super) error: Option<bool>,
    pub(super) turn: Option<u32>,
}

/// A tool call to make.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) args: Option<Tree<Template>>,
}

/// A checked rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) line: u64,
    pub(super) when: When,
    pub(super) say: Option<Template>,
    pub(super) calls: Vec<Call>,
    pub(super) pace: Pace,
    pub(super) fail: Option<Fail>,
    pub(super) usage: Option<Usage>,
}

pub(super) fn script(raw: RawScript) -> Result<Script, ScriptError> {
    let last = raw.rules.last().map_or(Location::UNKNOWN, |r| r.referenced);
    if raw.rules.len() > MAX_RULES {
        return Err(ScriptError::value(last, format!("a script has at most {MAX_RULES} rules")));
    }
    if raw.answers.len() > MAX_LIST {
        return Err(ScriptError::value(last, format!("`answers` has at most {MAX_LIST} lines")));
    }
    let pace = Pace { chunk: chunk(raw.stream.as_ref())?, delay: delay(raw.delay.as_ref())?.unwrap_or_default() };
    let places: Vec<Location> = raw.rules.iter().map(|r| r.referenced).collect();
    let rules = raw.rules.into_iter().map(|r| rule(r, pace)).collect::<Result<Vec<_>, _>>()?;
    check_names(&rules, &places)?;
    let mut answers = raw.answers;
    if answers.is_empty() {
        // Without a list of its own, a script can at least show what it listens for.
        answers = rules.iter().filter_map(|r| r.when.user.as_ref()).map(|p| format!("/{p}/")).take(MAX_LIST).collect();
    }
    Ok(Script { rules, answers })
}

fn rule(raw: Spanned<RawRule>, default: Pace) -> Result<Rule, ScriptError> {
    let at = raw.referenced;
    let raw = raw.value;
    if raw.say.is_none() && raw.call.is_empty() && raw.fail.is_none() {
        return Err(ScriptError::value(at, "a rule needs `say`, `call` or `fail`"));
    }
    if raw.call.len() > MAX_LIST {
        return Err(ScriptError::value(at, format!("a rule makes at most {MAX_LIST} calls")));
    }
    let w = raw.when;
    if w.tool.is_none() && (w.result.is_some() || w.error.is_some()) {
        return Err(ScriptError::value(at, "`result` and `error` need `tool` beside them (`\"*\"` for any)"));
    }
    if let Some(turn) = w.turn.as_ref().filter(|t| t.value == 0) {
        return Err(ScriptError::value(turn.referenced, "turns count from 1"));
    }
    let when = When {
        user: w.user.as_ref().map(pattern).transpose()?,
        tool: w.tool.map(|t| if t.value == "*" { ToolName::Any } else { ToolName::Named(t.value) }),
        result: w.result.as_ref().map(pattern).transpose()?,
        error: w.error.map(|e| e.value),
        turn: w.turn.map(|t| t.value),
    };
    Ok(Rule {
        line: at.line(),
        when,
        say: raw.say.map(|s| Template::parse(&s.value).map_err(|e| ScriptError::value(s.referenced, e))).transpose()?,
        calls: raw.call.into_iter().map(call).collect::<Result<_, _>>()?,
        pace: Pace {
            chunk: chunk(raw.stream.as_ref())?.or(default.chunk),
            delay: delay(raw.delay.as_ref())?.unwrap_or(default.delay),
        },
        fail: raw.fail.map(fail).transpose()?,
        usage: raw.usage.map(usage),
    })
}

fn call(raw: Spanned<RawCall>) -> Result<Call, ScriptError> {
    let RawCall { tool, args } = raw.value;
    if tool.value.is_empty() {
        return Err(ScriptError::value(tool.referenced, "a call needs the name of a tool"));
    }
    let args = args
        .map(|a| match a.value {
            tree @ Tree::Map(_) => tree.parse().map_err(|e| ScriptError::value(a.referenced, e)),
            _ => Err(ScriptError::value(a.referenced, "`args` is a mapping of names to values")),
        })
        .transpose()?;
    Ok(Call { tool: tool.value, args })
}

fn fail(raw: Spanned<super::script::RawFail>) -> Result<Fail, ScriptError> {
    let at = raw.referenced;
    let raw = raw.value;
    let retry_after = delay(raw.retry_after.as_ref())?.map(|d| Span(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)));
    if retry_after.is_some() && matches!(raw.code, Fault::Refused | Fault::Hang) {
        return Err(ScriptError::value(at, "`retry_after` makes no sense for a fault that is not repeated"));
    }
    Ok(Fail { fault: raw.code, times: raw.times.unwrap_or(1), retry_after })
}

fn usage(raw: RawUsage) -> Usage {
    Usage { input: raw.input, cached: raw.cached, output: raw.output, reasoning: raw.reasoning, cache_write: 0 }
}

fn pattern(raw: &Spanned<String>) -> Result<Regex, ScriptError> {
    let fail = |e: String| ScriptError::value(raw.referenced, e);
    let regex = RegexBuilder::new(&raw.value)
        .case_insensitive(true)
        .size_limit(MAX_PATTERN)
        .dfa_size_limit(MAX_PATTERN)
        .nest_limit(50)
        .build()
        .map_err(|e| fail(format!("`{}` is not a pattern: {}", raw.value, last_line(&e.to_string()))))?;
    if let Some(taken) = regex.capture_names().flatten().find(|n| RESERVED.contains(n)) {
        return Err(fail(format!("a group cannot be named `{taken}`, which means something else in templates")));
    }
    Ok(regex)
}

/// The regex crate draws the pattern with a caret; its last line says what is wrong.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

fn chunk(raw: Option<&Spanned<u32>>) -> Result<Option<usize>, ScriptError> {
    match raw {
        None => Ok(None),
        Some(n) if n.value == 0 => Err(ScriptError::value(n.referenced, "`stream` is a number of characters, from 1")),
        Some(n) => Ok(Some(n.value as usize)),
    }
}

fn delay(raw: Option<&Spanned<String>>) -> Result<Option<Duration>, ScriptError> {
    let Some(raw) = raw else { return Ok(None) };
    let bad = || {
        ScriptError::value(
            raw.referenced,
            format!("`{}` is not a duration up to 10m, such as `20ms`, `2s` or `1m`", raw.value),
        )
    };
    let split = raw.value.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = raw.value.split_at(split);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let millis = match unit.trim() {
        "ms" => number,
        "s" => number.saturating_mul(1_000),
        "m" => number.saturating_mul(60_000),
        _ => return Err(bad()),
    };
    Some(Duration::from_millis(millis)).filter(|d| *d <= MAX_DELAY).map(Some).ok_or_else(bad)
}

/// Every name in a template must be something that can exist, or the script would fail only when it is spoken.
fn check_names(rules: &[Rule], places: &[Location]) -> Result<(), ScriptError> {
    let anywhere: BTreeSet<&str> =
        rules.iter().filter_map(|r| r.when.user.as_ref()).flat_map(|p| p.capture_names().flatten()).collect();
    for (rule, at) in rules.iter().zip(places) {
        let own: BTreeSet<&str> = rule.when.result.iter().flat_map(|p| p.capture_names().flatten()).collect();
        let mut wrong = None;
        let mut see = |t: &Template| {
            for e in t.exprs() {
                if e.needs_result() && rule.when.tool.is_none() {
                    wrong.get_or_insert_with(|| {
                        "`result` in a template needs a rule with `when: { tool: … }`".to_owned()
                    });
                } else if let Some(g) = e.group().filter(|g| !anywhere.contains(g) && !own.contains(g)) {
                    wrong.get_or_insert_with(|| {
                        format!(
                            "`{{{{{g}}}}}`: no pattern has a group `(?<{g}>…)`; other names are {}",
                            RESERVED.join(", ")
                        )
                    });
                }
            }
        };
        rule.say.iter().for_each(&mut see);
        rule.calls.iter().filter_map(|c| c.args.as_ref()).for_each(|a| a.each_template(&mut see));
        if let Some(detail) = wrong {
            return Err(ScriptError::value(*at, detail));
        }
    }
    Ok(())
}
