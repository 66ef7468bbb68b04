//! `docs/promises.md` names for each promise the tests that can fail and the mutants they must catch; tests and mutants
//! exist, each mutant still fits its file, and none is without a promise.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Fail,
    mutants::{self, Mutant},
    repo::Repo,
    tidy::Findings,
};

const LIST: &str = "docs/promises.md";

/// How a promise whose part of the product does not exist yet says so.
const LATER: &str = "comes with ";

/// A row of the table: promise, tests as `package::name`, mutants.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    number: u8,
    tests: Vec<String>,
    mutants: Vec<String>,
    later: bool,
}

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let rows = parse(&repo.read(LIST)?)?;
    let tests = tests(repo)?;
    let mutants = mutants::load(repo)?;
    let mut found = compare(&rows, &tests, &mutants);
    for (name, mutant) in &mutants {
        if let Err(why) = repo.read(&mutant.file).and_then(|text| mutant.apply(&text)) {
            found.push(format!("mutants/{name}.toml: {why}"));
        }
    }
    Ok(found)
}

/// Reads the rows `| 1 | promise | tests | mutants |`.
fn parse(text: &str) -> Result<Vec<Row>, Fail> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let Some(number) = cells.get(1).and_then(|c| c.parse().ok()) else { continue };
        let [_, _, _, tests, mutants, _] = cells.as_slice() else {
            return Err(format!("{LIST}: a row has four cells: `{line}`"));
        };
        let later = tests.starts_with(LATER) && mutants.starts_with(LATER);
        rows.push(Row { number, tests: quoted(tests), mutants: quoted(mutants), later });
    }
    Ok(rows)
}

/// The texts between backticks.
pub(super) fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every test function of the tree as `package::name`.
pub(super) fn tests(repo: &Repo) -> Result<BTreeSet<String>, Fail> {
    let files = repo.files()?.into_iter().filter(|f| f.ends_with(".rs"));
    let sources: BTreeMap<String, String> =
        files.map(|f| Ok((f.clone(), repo.read(f)?))).collect::<Result<_, Fail>>()?;
    let metadata = repo.metadata()?;
    let mut out = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().and_then(|p| p.strip_prefix(repo.root()).ok());
        let folder = folder.ok_or_else(|| format!("{} stands outside the tree", package.name))?;
        for (_, source) in sources.iter().filter(|(file, _)| file.starts_with(&format!("{folder}/"))) {
            let name = |test: &str| format!("{}::{test}", package.name);
            out.extend(test_names(source).map(name));
            out.extend(suites(source).map(|(_, shared)| name(shared)));
            for cases in case_macros(source).chain(suites(source).map(|(cases, _)| cases)) {
                out.extend(sources.values().flat_map(|s| cases_of(cases, s)).map(name));
            }
        }
    }
    Ok(out)
}

/// The macros `x_cases!` through which a source makes one test `$name` for each case of a conformance suite.
fn case_macros(source: &str) -> impl Iterator<Item = &str> {
    let makes_tests = source.contains("fn $name()");
    source.lines().filter(move |_| makes_tests).filter_map(|line| {
        let (path, _) = line.trim().split_once("_cases!(")?;
        path.rsplit("::").next()
    })
}

/// The suites `x_cases` that a source has both stores pass (`stores_pass!(x_cases, TABLE, test)`), and the test that is one for all cases.
fn suites(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.lines().filter_map(|line| {
        let (_, named) = line.strip_suffix(");")?.split_once("::stores_pass!(")?;
        let (cases, rest) = named.split_once("_cases, ")?;
        Some((cases, rest.split_once(", ")?.1))
    })
}

/// The names that `macro_rules! x_cases` of a source lists, one a line.
fn cases_of<'s>(name: &str, source: &'s str) -> impl Iterator<Item = &'s str> {
    let body = source.split_once(&format!("macro_rules! {name}_cases {{")).map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or("", |(body, _)| body);
    body.lines().map(str::trim).filter(|l| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// Names of the functions under a test attribute (`#[test]`, `#[tokio::test(..)]`), with other attributes between.
fn test_names(source: &str) -> impl Iterator<Item = &str> {
    let mut armed = false;
    source.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[") && (line.contains("test]") || line.contains("test(")) && !line.contains("cfg") {
            armed = true;
            return None;
        }
        if !armed || line.starts_with("#[") || line.starts_with("//") {
            return None;
        }
        armed = false;
        let rest = line.split_once("fn ").map(|(_, rest)| rest)?;
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

fn compare(rows: &[Row], tests: &BTreeSet<String>, mutants: &BTreeMap<String, Mutant>) -> Findings {
    let mut found = Findings::new();
    for row in rows {
        let n = row.number;
        if row.later {
            continue;
        }
        if row.tests.is_empty() {
            found.push(format!("{LIST}: promise {n} has no test"));
        }
        if row.mutants.is_empty() {
            found.push(format!("{LIST}: promise {n} has no mutant"));
        }
        let missing = row.tests.iter().filter(|t| !tests.contains(*t));
        found.extend(missing.map(|t| format!("{LIST}: promise {n} names the test {t}, which does not exist")));
        let missing = row.mutants.iter().filter(|m| !mutants.contains_key(*m));
        found.extend(missing.map(|m| format!("{LIST}: promise {n} names mutants/{m}.toml, which does not exist")));
    }
    for (name, mutant) in mutants {
        let full = format!("{}::{}", mutant.package, mutant.test);
        match rows.iter().find(|row| row.number == mutant.promise) {
            Some(row) if row.mutants.contains(name) && row.tests.contains(&full) => {}
            _ => found.push(format!(
                "mutants/{name}.toml: promise {} of {LIST} must name it and its test {full}",
                mutant.promise
            )),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TABLE: &str = "| # | Promise | Tests | Mutants |\n|--:|---|---|---|\n\
        | 1 | Nothing is lost. | `a::kept`, `a::kept_too` | `forgets` |\n\
        | 2 | Later. | comes with approvals | comes with approvals |\n";

    fn mutant() -> Mutant {
        Mutant {
            promise: 1,
            package: "a".into(),
            test: "kept".into(),
            file: "f".into(),
            find: "x".into(),
            replace: "y".into(),
        }
    }

    fn known(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_promise_without_an_existing_test_or_mutant_is_found() {
        let rows = parse(TABLE).unwrap();
        let all = known(&["a::kept", "a::kept_too"]);
        let mutants = BTreeMap::from([("forgets".to_owned(), mutant())]);
        assert!(compare(&rows, &all, &mutants).is_empty());
        assert_eq!(compare(&rows, &known(&["a::kept"]), &mutants).len(), 1);
        assert_eq!(compare(&rows, &all, &BTreeMap::new()).len(), 1);
        let bare = parse("| 3 | P | none yet | none yet |").unwrap();
        assert_eq!(compare(&bare, &all, &BTreeMap::new()).len(), 2);
    }

    #[test]
    fn a_mutant_that_no_promise_names_is_found() {
        let rows = parse(TABLE).unwrap();
        let all = known(&["a::kept", "a::kept_too"]);
        let stray = BTreeMap::from([("forgets".to_owned(), mutant()), ("stray".to_owned(), mutant())]);
        assert_eq!(compare(&rows, &all, &stray).len(), 1);
        let other = Mutant { test: "other".into(), ..mutant() };
        assert_eq!(compare(&rows, &all, &BTreeMap::from([("forgets".to_owned(), other)])).len(), 1);
    }

    #[test]
    fn the_cases_of_a_conformance_suite_are_tests_of_who_runs_it() {
        let suite = "macro_rules! log_cases {\n    ($c:ident) => {\n        $c! {\n            keeps\n            reads\n        }\n    };\n}\n";
        let runs = "macro_rules! tests {\n #[test]\n fn $name() {}\n}\nports::log_cases!(tests);\n";
        assert_eq!(case_macros(runs).collect::<Vec<_>>(), ["log"]);
        assert_eq!(cases_of("log", suite).collect::<Vec<_>>(), ["keeps", "reads"]);
        assert_eq!(case_macros("log_cases!(table);").count(), 0);
        assert_eq!(cases_of("other", suite).count(), 0);
        let both = "use x;\n\nkit::stores_pass!(log_cases, LOG, the_shared_store_passes);\n";
        assert_eq!(suites(both).collect::<Vec<_>>(), [("log", "the_shared_store_passes")]);
        assert_eq!(suites(runs).count(), 0);
    }

    #[test]
    fn only_functions_under_a_test_attribute_count() {
        let source = "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn c() {}\n\
            #[cfg(test)]\nmod d {}\n";
        assert_eq!(test_names(source).collect::<Vec<_>>(), ["a", "c"]);
    }
}
