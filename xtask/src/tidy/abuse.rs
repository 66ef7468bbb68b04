//! `docs/abuse.md` says for each abuse case and each tier of sandboxes which tests show it, or why the case is not there; the cases are all
//! there, no cell is empty, and the tests exist.

use std::collections::BTreeSet;

use crate::{
    Fail,
    repo::Repo,
    tidy::{Findings, promises},
};

const LIST: &str = "docs/abuse.md";

/// How many cases there are, numbered from 1.
const CASES: usize = 46;

/// The tiers, in the order of their columns.
const TIERS: &[&str] = &["namespace", "zygote", "oci", "microvm", "wasm"];

/// How a case that a tier does not have begins; the reason follows.
const NONE: &str = "none: ";

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    Ok(judge(&repo.read(LIST)?, &promises::tests(repo)?))
}

/// Reads the rows `| 1 | it tries | expected | namespace | zygote | oci | microvm | wasm |`.
fn judge(text: &str, tests: &BTreeSet<String>) -> Findings {
    let mut found = Findings::new();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> =
        rows.map(|line| line.trim().trim_matches('|').split('|').map(str::trim).collect()).collect();
    let heads = rows.first().map_or(&[][..], Vec::as_slice);
    if heads.get(3..) != Some(TIERS) {
        found.push(format!("{LIST}: the columns after the third are not {}", TIERS.join(", ")));
    }
    let mut next = 1;
    // The head and the line below it are no cases.
    for row in rows.iter().skip(2) {
        if row[0] != next.to_string() {
            found.push(format!("{LIST}: case {next} is not in its place, but {}", row[0]));
        }
        if row.len() != 3 + TIERS.len() {
            found.push(format!("{LIST}: case {next} has {} cells, not {}", row.len(), 3 + TIERS.len()));
        }
        for (tier, cell) in TIERS.iter().zip(row.iter().skip(3)) {
            found.extend(wrong(cell, tests).map(|what| format!("{LIST}: case {next}, {tier}: {what}")));
        }
        next += 1;
    }
    if next != CASES + 1 {
        found.push(format!("{LIST}: there are {} cases, not {CASES}", next - 1));
    }
    found
}

/// What is wrong with a cell.
fn wrong(cell: &str, tests: &BTreeSet<String>) -> Option<String> {
    let named: Vec<_> = promises::quoted(cell).into_iter().filter(|word| word.contains("::")).collect();
    if let Some(missing) = named.iter().find(|name| !tests.contains(*name)) {
        return Some(format!("names the test {missing}, which does not exist"));
    }
    let reason = cell.strip_prefix(NONE).is_some_and(|why| !why.trim().is_empty());
    (named.is_empty() && !reason).then(|| format!("names no test, and does not begin with `{NONE}` and a reason"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests() -> BTreeSet<String> {
        ["a::one", "a::two"].map(str::to_owned).into()
    }

    fn page(row: &str) -> String {
        let head = format!("Words.\n\n| # | It tries | Expected | {} |\n|--:|---|---|---|\n", TIERS.join(" | "));
        let rows = (1..=CASES).map(|n| format!("| {n} | x | y | {row} |\n"));
        head + &rows.collect::<String>()
    }

    #[test]
    fn a_case_that_is_shown_or_said_not_to_be_there_is_right() {
        let row =
            "`a::one` | `a::one`, `a::two` | the code is shared: `a::two` | none: no processes | none: no `/proc`";
        assert_eq!(judge(&page(row), &tests()), Vec::<String>::new());
    }

    #[test]
    fn an_empty_cell_a_reason_that_is_none_and_a_test_that_does_not_exist_are_found() {
        for cell in ["", "no processes", "none:", "`a::three`", "none: gone, `a::three`"] {
            let row = format!("`a::one` | {cell} | `a::one` | `a::one` | `a::one`");
            assert_eq!(judge(&page(&row), &tests()).len(), CASES, "{cell}");
        }
    }

    #[test]
    fn a_case_a_column_or_a_tier_that_is_missing_is_found() {
        let row = ["`a::one`"; 5].join(" | ");
        let without = page(&row).replace("| 46 | x", "");
        assert!(judge(&without, &tests()).iter().any(|what| what.contains("46")), "{without}");
        assert_eq!(judge(&page(&["`a::one`"; 4].join(" | ")), &tests()).len(), CASES);
        assert_eq!(judge(&page(&row).replace(" | wasm", ""), &tests()).len(), 1);
    }
}
