//! Each code of `stead_core::code` has a page with the same title and the three sections a reader needs, and a place in
//! the product that gives it; each page has its code.

use std::{collections::BTreeMap, fs};

use crate::{
    Fail,
    repo::Repo,
    tidy::{Findings, rust},
};

/// Where the codes stand.
pub(crate) const SOURCE: &str = "crates/core/src/code.rs";

/// Where the pages stand.
const PAGES: &str = "docs/errors";

/// What a page tells.
const SECTIONS: [&str; 3] = ["## Cause", "## What Stead did", "## What to do"];

/// A code as its source says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// The name of its constant.
    pub(crate) name: String,
    /// Its number.
    pub(crate) number: u16,
    /// Its title.
    pub(crate) title: String,
}

/// Reads the lines `NAME = 42, "Title";` of the `codes!` table.
pub(crate) fn parse(source: &str) -> Result<Vec<Code>, Fail> {
    let table = source.split_once("\ncodes! {").and_then(|(_, rest)| rest.split_once("\n}"));
    let (table, _) = table.ok_or_else(|| format!("{SOURCE}: no `codes!` table"))?;
    let mut out = Vec::<Code>::new();
    for line in table.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")) {
        let parsed = line.split_once(" = ").and_then(|(name, rest)| {
            let (number, title) = rest.strip_suffix("\";")?.split_once(", \"")?;
            Some(Code { name: name.to_owned(), number: number.parse().ok()?, title: title.to_owned() })
        });
        let code = parsed.ok_or_else(|| format!("{SOURCE}: cannot read `{line}`"))?;
        if out.last().is_some_and(|last| last.number >= code.number) {
            return Err(format!("{SOURCE}: ST{:04} is out of order or twice", code.number));
        }
        out.push(code);
    }
    Ok(out)
}

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let codes = parse(&repo.read(SOURCE)?)?;
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(repo.root().join(PAGES)).map_err(|e| format!("{PAGES}: {e}"))? {
        let name = entry.map_err(|e| e.to_string())?.file_name().to_string_lossy().into_owned();
        pages.insert(name.clone(), repo.read(format!("{PAGES}/{name}"))?);
    }
    let mut found = compare(&codes, pages);
    found.extend(unused(&codes, &rust::read(repo, &repo.files()?, gives)?.product));
    Ok(found)
}

/// Whether a source can be where a code is given: part of the product, and not one that only lists codes.
fn gives(file: &str) -> bool {
    const NOT: &[&str] =
        &[SOURCE, "crates/api/src/openapi", "crates/ports/src/conformance", "crates/sim/", "crates/testkit/"];
    file.starts_with("crates/") && !NOT.iter().any(|not| file.starts_with(not))
}

/// Codes that nothing ever gives.
fn unused(codes: &[Code], product: &str) -> Findings {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let given = |name: &str| {
        let path = format!("code::{name}");
        product.match_indices(&path).any(|(at, _)| !product[at + path.len()..].starts_with(part))
    };
    let silent = codes.iter().filter(|c| !given(&c.name));
    silent.map(|c| format!("{SOURCE}: nothing gives ST{:04} ({}); drop it and its page", c.number, c.name)).collect()
}

fn compare(codes: &[Code], mut pages: BTreeMap<String, String>) -> Findings {
    let mut found = Findings::new();
    for Code { number, title, .. } in codes {
        let file = format!("ST{number:04}.md");
        let Some(page) = pages.remove(&file) else {
            found.push(format!("{PAGES}/{file}: missing; {title:?} needs a page"));
            continue;
        };
        let expected = format!("# ST{number:04}: {title}");
        if page.lines().next() != Some(expected.as_str()) {
            found.push(format!("{PAGES}/{file}: the first line must be `{expected}`"));
        }
        let sections: Vec<_> = page.lines().filter(|l| l.starts_with("## ")).collect();
        if sections != SECTIONS {
            found.push(format!("{PAGES}/{file}: its sections must be {}", SECTIONS.join(", ")));
        }
    }
    found.extend(pages.into_keys().map(|file| format!("{PAGES}/{file}: no such code in {SOURCE}")));
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TABLE: &str = "x\ncodes! {\n    // 1-19: runs\n    /// Doc.\n    BUDGET = 1, \"A title\";\n}\n";

    fn pages(file: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(file.to_owned(), text.to_owned())])
    }

    #[test]
    fn the_table_of_codes_is_read_and_disorder_is_an_error() {
        assert_eq!(parse(TABLE).unwrap(), [Code { name: "BUDGET".into(), number: 1, title: "A title".into() }]);
        let twice = TABLE.replace("\";\n}", "\";\n    AGAIN = 1, \"B\";\n}");
        assert!(parse(&twice).unwrap_err().contains("ST0001"));
        assert!(parse("codes").is_err());
    }

    #[test]
    fn a_code_that_nothing_gives_is_found() {
        let codes = parse(TABLE).unwrap();
        assert!(unused(&codes, "return Err(code::BUDGET)").is_empty());
        assert_eq!(unused(&codes, "code::BUDGETS, CODE").len(), 1);
        assert!(gives("crates/core/src/budget.rs") && !gives(SOURCE) && !gives("crates/sim/src/plan.rs"));
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
        let codes = parse(TABLE).unwrap();
        let good = "# ST0001: A title\n\n## Cause\n\n## What Stead did\n\n## What to do\n";
        assert!(compare(&codes, pages("ST0001.md", good)).is_empty());
        assert_eq!(compare(&codes, pages("ST0002.md", good)).len(), 2);
        assert_eq!(compare(&codes, pages("ST0001.md", &good.replace("A title", "B"))).len(), 1);
        assert_eq!(compare(&codes, pages("ST0001.md", &good.replace("## Cause", ""))).len(), 1);
    }
}
