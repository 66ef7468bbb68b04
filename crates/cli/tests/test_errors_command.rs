//! `stead errors`.

use insta::assert_snapshot;

use crate::common::{TestEnvironment, root};

#[test]
fn every_code_has_its_page() {
    let env = TestEnvironment::new();
    let codes = env.json("errors ls --json");
    for code in codes.as_array().unwrap() {
        let code = code["code"].as_str().unwrap();
        let page = std::fs::read_to_string(root().join(format!("docs/errors/{code}.md"))).unwrap();
        assert_eq!(env.stead(&format!("errors {code}")).succeeds().stdout, page);
    }
    assert_eq!(env.stead("errors ls").succeeds().stdout.lines().count(), codes.as_array().unwrap().len() + 1);
}

#[test]
fn a_code_is_found_however_it_is_written() {
    let env = TestEnvironment::new();
    let page = env.stead("errors ST0102").succeeds().stdout;
    assert_eq!(env.stead("errors st0102").succeeds().stdout, page);
    assert_eq!(env.stead("errors 102").succeeds().stdout, page);
    assert_eq!(env.json("errors ST0102 --json")["page"], page);
    assert_snapshot!(env.stead("errors ST9999"), @"
    exit 2
    --- stderr
    error: there is no code `ST9999`
    hint: stead errors ls
    ");
    assert_snapshot!(env.stead("errors nonsense"), @"
    exit 2
    --- stderr
    error: there is no code `nonsense`
    hint: stead errors ls
    ");
}
