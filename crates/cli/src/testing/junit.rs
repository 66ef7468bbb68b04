//! Results as JUnit XML, for continuous integration.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{
    report::{grouped, told},
    suite::{Suite, Verdict},
};

/// The document.
///
/// # Errors
/// When a text cannot be XML.
pub(crate) fn render(suite: &Suite, verdicts: &[Verdict<'_>]) -> Result<String, SerializeError> {
    let name = suite.subject.name.as_str();
    let mut tests = TestSuite::new(name);
    for verdict in verdicts {
        let found = grouped(&verdict.repetitions);
        let mut status = TestCaseStatus::success();
        if let Some((first, _)) = found.first() {
            status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(first.what.lines().next().unwrap_or_default());
            let all: Vec<String> = found.iter().map(|(finding, crashes)| told(verdict, finding, crashes)).collect();
            status.set_description(all.join("\n"));
        }
        let mut test = TestCase::new(verdict.test.name.as_str(), status);
        test.set_classname(name).set_time(verdict.took);
        tests.add_test_case(test);
    }
    let mut report = Report::new(name);
    report.add_test_suite(tests);
    report.to_string()
}
