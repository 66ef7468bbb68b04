//! Judging a case: every expectation against what came of it.

use std::{collections::BTreeSet, path::Path};

use stead_api::run::Status;
use stead_core::{budget::Spend, id::Name};
use stead_manifest::cases::{Case, Expected};
use stead_server::testing::{CrashAt, Entry};

use super::{
    answer, calls,
    play::Played,
    trace::{Made, Trace},
};
use crate::ui::text::counted as counted_as;

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The key of the expectation: `expect.calls[1]`.
    pub(crate) path: String,
    /// What is wrong, in words; the first line says it, others show it.
    pub(crate) what: String,
}

/// Everything that is not as expected.
pub(crate) fn judge(dir: &Path, case: &Case, crash: Option<CrashAt>, played: &Played) -> Vec<Finding> {
    let mut out = Vec::new();
    let turns = case.all_turns();
    let last = played.turns.len().saturating_sub(1);
    for (n, ((_, own), trace)) in turns.iter().zip(&played.turns).enumerate() {
        match own {
            Some((expected, path)) => run(dir, path, expected, trace, &mut out),
            // Those before the last have no other say.
            None if n < last => status(&format!("turns[{n}]"), &Expected::default(), trace, &mut out),
            None => {}
        }
    }
    let own = turns.last().is_some_and(|(_, own)| own.is_some());
    if let Some(whole) = together(&played.turns)
        && (case.expect != Expected::default() || !own)
    {
        run(dir, "expect", &case.expect, &whole, &mut out);
        effects(case, &whole.calls, &played.ledger, &mut out);
    }
    once(&played.turns, &played.ledger, &mut out);
    for n in &played.unused {
        // What only a crash brings up need not come up.
        if case.approvals[*n].reason == stead_core::fact::AskReason::Manifest {
            let what = format!("nobody asked about {}", case.approvals[*n].tool);
            out.push(Finding { path: format!("approvals[{n}]"), what });
        }
    }
    if let Some(crash) = crash
        && !played.crashed
    {
        let what = format!("there is no record {}; the case takes {}", crash.record, played.records);
        out.push(Finding { path: "crash.at".into(), what });
    }
    out
}

/// All turns as one: the end of the last, the calls and the cost of all.
fn together(turns: &[Trace]) -> Option<Trace> {
    let mut whole = turns.last()?.clone();
    let earlier = &turns[..turns.len() - 1];
    whole.turns += earlier.iter().map(|t| t.turns).sum::<u32>();
    whole.spent = earlier.iter().fold(whole.spent, |sum, t| Spend {
        tokens: sum.tokens.saturating_add(t.spent.tokens),
        usd: sum.usd.zip(t.spent.usd).map(|(a, b)| stead_core::budget::MicroUsd(a.0.saturating_add(b.0))),
    });
    whole.calls = turns.iter().flat_map(|t| t.calls.iter().cloned()).collect();
    Some(whole)
}

fn run(dir: &Path, path: &str, expected: &Expected, trace: &Trace, out: &mut Vec<Finding>) {
    status(path, expected, trace, out);
    if let Some(wanted) = &expected.answer {
        out.extend(answer::judge(dir, &format!("{path}.answer"), wanted, &trace.answer));
    }
    if let Some(wanted) = &expected.calls
        && let Some((place, what)) = calls::judge(wanted, expected.other_calls, &trace.calls)
    {
        let path = place.map_or_else(|| format!("{path}.calls"), |n| format!("{path}.calls[{n}]"));
        out.push(Finding { path, what });
    }
    for (n, tool) in expected.never.iter().enumerate() {
        let made = trace.calls.iter().filter(|c| c.tool == *tool).count();
        if made > 0 {
            let what = format!("{tool} was called {}", times(made as u64));
            out.push(Finding { path: format!("{path}.never[{n}]"), what });
        }
    }
    cost(path, expected, trace, out);
}

fn status(path: &str, expected: &Expected, trace: &Trace, out: &mut Vec<Finding>) {
    let wanted = expected.status.as_deref().unwrap_or(Status::Completed.as_str());
    if trace.status.as_str() != wanted {
        let why = trace.error.as_ref().map_or_else(String::new, |e| format!(": {e}"));
        let code = trace.code.map_or_else(String::new, |c| format!(" with {c}"));
        let what = format!("the run is {}{code}, not {wanted}{why}", trace.status);
        out.push(Finding { path: format!("{path}.status"), what });
    } else if expected.code.is_some() && expected.code != trace.code {
        let found = trace.code.map_or_else(|| "no code".to_owned(), |c| c.to_string());
        let wanted = expected.code.map(|c| c.to_string()).unwrap_or_default();
        out.push(Finding { path: format!("{path}.code"), what: format!("it failed with {found}, not {wanted}") });
    }
}

fn cost(path: &str, expected: &Expected, trace: &Trace, out: &mut Vec<Finding>) {
    let most = &expected.at_most;
    let mut over = |key: &str, what: String| out.push(Finding { path: format!("{path}.at_most.{key}"), what });
    if let Some(usd) = most.usd {
        match trace.spent.usd {
            Some(spent) if spent > usd => over("usd", format!("it cost {} USD", dollars(spent.0))),
            None => over("usd", "nobody knows what it cost: a model has no price".into()),
            Some(_) => {}
        }
    }
    if most.tokens.is_some_and(|n| trace.spent.tokens > n) {
        over("tokens", format!("it took {}", counted_as(trace.spent.tokens, "token")));
    }
    if most.turns.is_some_and(|n| trace.turns > n) {
        over("turns", format!("it took {}", counted_as(trace.turns.into(), "model turn")));
    }
    if most.tool_calls.is_some_and(|n| trace.calls.len() > n as usize) {
        over("tool_calls", format!("it made {}", counted_as(trace.calls.len() as u64, "tool call")));
    }
}

fn times(n: u64) -> String {
    match n {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}

fn dollars(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

/// How often tools took effect: as their doubles counted, else as the journal knows it.
fn effects(case: &Case, made: &[Made], ledger: &[Entry], out: &mut Vec<Finding>) {
    for (tool, wanted) in &case.expect.effects {
        let found = if case.tools.contains_key(tool) { counted(tool, made, ledger) } else { known(tool, made) };
        if found != *wanted {
            let what = format!("{tool} took effect {}, not {}", times(found), times(*wanted));
            out.push(Finding { path: format!("expect.effects.{tool}"), what });
        }
    }
}

fn counted(tool: &Name, made: &[Made], ledger: &[Entry]) -> u64 {
    let happened = ledger.iter().filter(|e| e.tool == *tool && e.happened);
    if repeats(tool, made) {
        happened.map(|e| &e.key).collect::<BTreeSet<_>>().len() as u64
    } else {
        happened.count() as u64
    }
}

fn known(tool: &Name, made: &[Made]) -> u64 {
    made.iter().filter(|m| m.tool == *tool && m.outcome == Some(stead_core::effect::Ended::Returned)).count() as u64
}

/// Whether a destination keeps keys, or being asked twice does nothing.
fn repeats(tool: &Name, made: &[Made]) -> bool {
    use stead_core::effect::EffectClass::{Contained, Keyed, Pure};
    made.iter().find(|m| m.tool == *tool).is_none_or(|m| matches!(m.class, Pure | Contained | Keyed))
}

/// What holds without being asked for: no effect is done twice.
fn once(turns: &[Trace], ledger: &[Entry], out: &mut Vec<Finding>) {
    for made in turns.iter().flat_map(|t| &t.calls) {
        let name = made.effect.to_string();
        let happened = || ledger.iter().filter(|e| e.effect == name && e.happened);
        let keys = happened().map(|e| &e.key).collect::<BTreeSet<_>>().len();
        let times = if repeats(&made.tool, std::slice::from_ref(made)) { keys } else { happened().count() };
        if times > 1 {
            let what = format!("one call of {} took effect {times} times", made.tool);
            out.push(Finding { path: format!("tools.{}", made.tool), what });
        }
    }
}
