//! The cases of a set, asked by this process.

use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use stead_policy::{CASES, Case, CaseResult, Outcome as Answer};

use super::folder::Folder;
use crate::{
    error::{CliError, Outcome},
    ui::{term::clean, text::counted},
};

/// Asks the cases whose name holds a text.
pub(crate) fn ask(folder: &Folder, filter: Option<&str>) -> Outcome<Vec<CaseResult>> {
    let policies = folder.compile()?;
    let Some(text) = folder.files.get(CASES) else {
        let missing = format!("{}: there is no `{CASES}` in it", folder.path.display());
        return Err(
            CliError::new(stead_core::code::POLICY_REFUSED, missing).hint("docs/policy.md shows how cases are written")
        );
    };
    let cases = Case::read(CASES, text).map_err(|problems| folder.refused(problems))?;
    let wanted = |case: &&Case| filter.is_none_or(|text| case.name().contains(text));
    Ok(cases.iter().filter(wanted).map(|case| case.ask(&policies)).collect())
}

/// For people: a line for each case, and below what did not pass why.
pub(crate) fn text(results: &[CaseResult]) -> String {
    let mut out = String::new();
    for result in results {
        let word = if result.passed() { "ok  " } else { "FAIL" };
        out.push_str(&format!("{word}  {}\n", clean(&result.name)));
        if !result.passed() {
            out.push_str(&format!("  {}\n", clean(&result.to_string())));
            out.extend(result.decision.why.to_string().lines().map(|line| format!("    {}\n", clean(line))));
        }
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    let all = counted(results.len() as u64, "case");
    format!("{out}\n{all}: {} passed, {failed} failed\n", results.len() - failed)
}

/// For programs.
pub(crate) fn json(results: &[CaseResult]) -> Value {
    let one = |result: &CaseResult| {
        json!({
            "name": result.name,
            "passed": result.passed(),
            "expected": result.expected.name(),
            "answer": Answer::from(&result.decision.verdict).name(),
            "missing": result.missing,
            "why": result.decision.why.to_string(),
        })
    };
    let failed = results.iter().filter(|result| !result.passed()).count();
    json!({ "cases": results.iter().map(one).collect::<Vec<_>>(), "passed": results.len() - failed, "failed": failed })
}

/// JUnit XML, for continuous integration.
pub(crate) fn junit(folder: &Path, results: &[CaseResult]) -> Outcome<String> {
    let name = folder.display().to_string();
    let mut tests = TestSuite::new(name.as_str());
    for result in results {
        let mut status = TestCaseStatus::success();
        if !result.passed() {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(result.to_string());
            status.set_description(result.decision.why.to_string());
        }
        let mut test = TestCase::new(result.name.as_str(), status);
        test.set_classname(name.as_str());
        tests.add_test_case(test);
    }
    let mut report = Report::new(name.as_str());
    report.add_test_suite(tests);
    report.to_string().map_err(|e| CliError::other(format!("JUnit: {e}")))
}
