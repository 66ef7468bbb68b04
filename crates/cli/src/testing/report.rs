//! Results for people and for programs.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use stead_server::testing::{CrashAt, Moment};

use super::{
    judge::Finding,
    suite::{Repetition, Verdict},
};
use crate::ui::{term::clean, text::counted};

/// Findings of a case that are told; more would help nobody.
const MAX_TOLD: usize = 20;

/// What was found, with all the repetitions in which it was.
pub(super) fn grouped(repetitions: &[Repetition]) -> Vec<(&Finding, Vec<CrashAt>)> {
    let mut order: Vec<&Finding> = Vec::new();
    let mut places: BTreeMap<usize, Vec<CrashAt>> = BTreeMap::new();
    for repetition in repetitions {
        for finding in &repetition.findings {
            let n = order.iter().position(|f| *f == finding).unwrap_or_else(|| {
                order.push(finding);
                order.len() - 1
            });
            places.entry(n).or_default().extend(repetition.crash);
        }
    }
    order.into_iter().enumerate().map(|(n, f)| (f, places.remove(&n).unwrap_or_default())).collect()
}

/// A finding with its place: `tests/refund.yaml:12: …`.
pub(super) fn told(verdict: &Verdict<'_>, finding: &Finding, crashes: &[CrashAt]) -> String {
    let line = verdict.test.case.line(&finding.path);
    let when = match crashes.split_first() {
        None => String::new(),
        Some((first, [])) => format!(" (crash {})", crash(*first)),
        Some((first, rest)) => format!(" (crash {}, and {} more)", crash(*first), rest.len()),
    };
    let what = clean(&finding.what);
    let (head, rest) =
        what.split_once('\n').map_or((&*what, String::new()), |(head, rest)| (head, format!("\n{rest}")));
    format!("{}:{line}: {head}{when}{rest}", verdict.test.file.display())
}

pub(super) fn crash(at: CrashAt) -> String {
    match at.moment {
        Moment::Before => format!("before record {}", at.record),
        Moment::After => format!("after record {}", at.record),
    }
}

fn took(span: Duration) -> String {
    crate::ui::text::span(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

/// For people.
pub(crate) fn text(verdicts: &[Verdict<'_>]) -> String {
    let mut out = String::new();
    for verdict in verdicts {
        let word = if verdict.passed() { "ok  " } else { "FAIL" };
        let crashes = verdict.repetitions.len() - 1;
        let killed = match crashes {
            0 => String::new(),
            1 => " · 1 crash".to_owned(),
            n => format!(" · {n} crashes"),
        };
        out.push_str(&format!("{word}  {}{killed} · {}\n", verdict.test.name, took(verdict.took)));
        let found = grouped(&verdict.repetitions);
        for (finding, crashes) in found.iter().take(MAX_TOLD) {
            let told = told(verdict, finding, crashes);
            out.extend(told.lines().enumerate().map(|(n, line)| {
                let indent = if n == 0 { "  " } else { "    " };
                format!("{indent}{line}\n")
            }));
        }
        if found.len() > MAX_TOLD {
            out.push_str(&format!("  and {} more\n", found.len() - MAX_TOLD));
        }
    }
    let failed = verdicts.iter().filter(|v| !v.passed()).count();
    let passed = verdicts.len() - failed;
    out.push_str(&format!("\n{}: {passed} passed, {failed} failed\n", counted(verdicts.len() as u64, "case")));
    out
}

/// For programs.
pub(crate) fn json(verdicts: &[Verdict<'_>]) -> Value {
    let one = |verdict: &Verdict<'_>| {
        let findings: Vec<Value> = grouped(&verdict.repetitions)
            .into_iter()
            .map(|(finding, crashes)| {
                json!({
                    "line": verdict.test.case.line(&finding.path),
                    "key": finding.path,
                    "message": finding.what,
                    "crashes": crashes.iter().map(|c| json!({ "record": c.record, "moment": c.moment })).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "name": verdict.test.name,
            "file": verdict.test.file,
            "passed": verdict.passed(),
            "crashes": verdict.repetitions.len() - 1,
            "seconds": verdict.took.as_secs_f64(),
            "findings": findings,
        })
    };
    let failed = verdicts.iter().filter(|v| !v.passed()).count();
    json!({ "passed": verdicts.len() - failed, "failed": failed, "cases": verdicts.iter().map(one).collect::<Vec<_>>() })
}
