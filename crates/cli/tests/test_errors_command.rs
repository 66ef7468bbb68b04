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

#[test]
fn why_a_command_failed_is_told_to_a_program_as_a_problem_document() {
    let env = TestEnvironment::new();
    env.write("stead.toml", "lisen = \"127.0.0.1:0\"\n");
    assert_snapshot!(env.stead("serve --json"), @r#"
    exit 1
    --- stderr
    {"type":"urn:stead:error:ST0110","title":"The server configuration is wrong","detail":"stead.toml:1:1: unknown field `lisen`, expected one of `listen`, `data_dir`, `database`, `encrypt`, `public_url`, `behind_proxy`, `metrics_open`, `drain_timeout`, `tls`, `auth`, `agents`, `secrets`, `sandbox`, `limits`, `engine`, `providers`, `sandboxes`, `budgets`, `policy`, `audit`, `erasure`, `identity`, `approvals`, `telemetry`","code":"ST0110","hint":"did you mean `listen`?"}
    "#);
    // Of no kind: it has no code.
    assert_snapshot!(env.stead("completions bash --json"), @r#"
    exit 2
    --- stderr
    {"detail":"`--json` has no meaning here: this command writes a script for the shell"}
    "#);
}

#[test]
fn several_wrong_places_are_told_to_a_program_each() {
    let env = TestEnvironment::new();
    env.write("agent.yaml", "nam: x\nmodl: y\n");
    let told = env.stead("run . hello --json");
    let problem: serde_json::Value = serde_json::from_str(told.stderr.lines().last().unwrap()).unwrap();
    let places = problem["errors"].as_array().unwrap();
    assert!(places.len() > 1, "{told}");
    assert_eq!((&problem["code"], &places[0]["line"]), (&places[0]["code"], &serde_json::json!(1)), "{told}");
    assert_eq!((told.code, &*told.stdout), (Some(1), ""), "{told}");
}
