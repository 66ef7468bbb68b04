//! `stead policy test`.

use std::fmt::Write as _;

use serde_json::json;
use stead_policy::{CaseResult, Outcome as Came, Verdict};

use super::{Folder, folder};
use crate::{
    cli::Global,
    error::Outcome,
    exit::Exit,
    ui::{self, term::clean},
};

pub(super) fn run(global: &Global, args: &Folder, filter: Option<&str>) -> Outcome {
    let (files, applied) = args.open()?;
    let cases = files.cases()?;
    let (policies, cases) = match (applied, cases) {
        (Ok(policies), Ok(cases)) => (policies, cases),
        (Err(problems), _) | (_, Err(problems)) => {
            folder::refused(global.json, &problems)?;
            return Ok(Exit::Failed);
        }
    };
    let results: Vec<CaseResult> = cases.iter().map(|case| case.ask(&policies)).collect();
    let results: Vec<&CaseResult> =
        results.iter().filter(|r| filter.is_none_or(|text| r.name.contains(text))).collect();
    if global.json {
        ui::json(&results.iter().map(|result| for_programs(result)).collect::<Vec<_>>())?;
    } else {
        ui::text(&for_people(&results))?;
    }
    Ok(if results.iter().all(|r| r.passed()) { Exit::Ok } else { Exit::Failed })
}

fn for_programs(result: &CaseResult) -> serde_json::Value {
    json!({
        "name": result.name,
        "passed": result.passed(),
        "expected": result.expected.name(),
        "decision": Came::from(&result.decision.verdict).name(),
        "missing": result.missing,
        "why": result.decision.why.to_string(),
    })
}

fn for_people(results: &[&CaseResult]) -> String {
    let mut out = String::new();
    for result in results {
        let word = if result.passed() { "ok   " } else { "FAIL " };
        let _ = writeln!(out, "{word} {}", clean(&result.name));
        if result.passed() {
            continue;
        }
        let came = Came::from(&result.decision.verdict);
        if came != result.expected {
            let _ = writeln!(out, "      expected {}, and it is {}", result.expected.name(), came.name());
        }
        if let Verdict::Deny(told) = &result.decision.verdict {
            let _ = writeln!(out, "      {}", clean(told));
        }
        for id in &result.missing {
            let _ = writeln!(out, "      the policy `{}` did not decide", clean(id));
        }
        for line in result.decision.why.to_string().lines() {
            let _ = writeln!(out, "      {}", clean(line));
        }
    }
    let passed = results.iter().filter(|r| r.passed()).count();
    let total = ui::text::counted(results.len() as u64, "case");
    let _ = writeln!(out, "\n{total}: {passed} passed, {} failed", results.len() - passed);
    out
}
