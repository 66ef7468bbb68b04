//! Every example of `docs/policy.md`: under each heading, its policies with the default policy and the page's tools answer
//! its cases as they say, and what the page calls refused is refused with the words that it shows.

use super::*;
use crate::Case;

const PAGE: &str = include_str!("../../../../docs/policy.md");

/// The blocks of a section: the language, and the text.
fn blocks(section: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```").filter(|l| !l.is_empty()) {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), text.join("\n") + "\n"));
        }
    }
    blocks
}

/// Blocks whose first line names a file.
fn file(blocks: &[(String, String)], name: &str) -> Option<String> {
    let first = format!("# {name}");
    blocks.iter().find(|(_, text)| text.lines().next() == Some(&first)).map(|(_, text)| text.clone())
}

#[test]
fn every_example_of_the_page_is_true() {
    let tools = file(&blocks(PAGE), "tools.yaml").expect("the page has tools");
    let tools = ToolSpec::read("tools.yaml", &tools).unwrap();
    let (mut cases_asked, mut refused) = (0, 0);
    for section in PAGE.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        let blocks = blocks(section);
        let mut files = vec![Source::default_policy()];
        for name in ["history.yaml", "default.yaml"] {
            files.extend(file(&blocks, name).map(|text| Source { file: name.to_owned(), text }));
        }
        let mut before = None;
        for (language, text) in &blocks {
            match language.as_str() {
                "cedar" if text == crate::DEFAULT_TEXT => {}
                "cedar" if text.starts_with("// refused") => before = Some(text),
                "cedar" => files.push(Source { file: format!("{}.cedar", files.len()), text: text.clone() }),
                "text" if before.is_some() => {
                    let source = Source { file: "refunds.cedar".to_owned(), text: before.take().unwrap().clone() };
                    let problems = Policies::apply(&[source], tools.clone(), 1).expect_err(heading);
                    let told: String = problems.iter().map(|p| format!("{p}\n")).collect();
                    assert_eq!(&told, text, "{heading}");
                    refused += 1;
                }
                _ => {}
            }
        }
        let policies = Policies::apply(&files, tools.clone(), 1).unwrap_or_else(|p| panic!("{heading}: {p:#?}"));
        if let Some(text) = file(&blocks, "tests.yaml") {
            for case in Case::read("tests.yaml", &text).unwrap_or_else(|p| panic!("{heading}: {p:#?}")) {
                let result = case.ask(&policies);
                assert!(result.passed(), "{heading}: {result:#?}");
                cases_asked += 1;
            }
        }
    }
    assert!(cases_asked >= 20 && refused >= 1, "the page has lost its examples: {cases_asked}, {refused}");
}

#[test]
fn the_page_shows_the_default_policy_as_it_is() {
    assert!(PAGE.contains(crate::DEFAULT_TEXT));
}
