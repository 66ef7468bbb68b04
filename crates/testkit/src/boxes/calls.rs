//! System calls that no command may make, tried one by one by the probe.

use std::collections::BTreeMap;

use stead_ports::sandbox::End;

use super::{Lab, text, told};

/// What the probe prints: for each name `0` if it was allowed, else the error.
pub(super) fn results(lines: &[String]) -> BTreeMap<String, i32> {
    let split = |line: &String| {
        let (name, result) = line.rsplit_once(' ')?;
        Some((name.to_owned(), if result == "allowed" { 0 } else { result.parse().ok()? }))
    };
    lines.iter().filter_map(split).collect()
}

/// 12, 13, 17 to 19, 21, 23 to 26, 41, 42, 46: one by one, so that a call that got through is named.
pub async fn system_calls_that_reach_beyond_the_box_are_refused(lab: &dyn Lab) {
    // By itself: one of them is a signal to all.
    let outcome = lab.probe(&["calls"]).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    let lines: Vec<_> = text(&outcome.stdout.bytes).lines().map(str::to_owned).collect();
    let mut results = results(&lines);
    assert!(results.len() > 60, "{results:?}");
    let answers = lab.answers();
    let mut wrong = Vec::new();
    for (name, right) in answers.calls {
        let got = results.remove(*name);
        if !got.is_some_and(|got| right.contains(&got)) {
            wrong.push(format!("{name}: {got:?} instead of {right:?}"));
        }
    }
    results.retain(|name, _| !answers.harmless.contains(&name.as_str()));
    assert!(results.len() > 40, "{results:?}");
    let refused = |result: i32| result == libc::EPERM;
    wrong.extend(results.iter().filter(|(_, result)| !refused(**result)).map(|(name, got)| format!("{name}: {got}")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
