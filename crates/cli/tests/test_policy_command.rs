//! `stead policy`.

use insta::assert_snapshot;
use serde_json::Value;

use crate::common::{Serving, TestEnvironment};

const TOOLS: &str = "payments_refund:\n  toolset: payments\n  class: keyed\n  schema:\n    type: object\n    required: [order_id, amount_cents]\n    \
    properties: { order_id: { type: string }, amount_cents: { type: integer }, currency: { type: string } }\n";
const LARGE: &str = "@id(\"large-refund\")\n@reason(\"it is more than 100\")\n@require(\"approval\") @approvers(\"supervisor\") @quorum(\"1\") @ttl(\"1h\")\n\
    forbid (principal, action == Action::\"payments_refund\", resource)\nwhen { context.args.amount_cents > 10000 };\n";
const CASES: &str = "cases:\n  - name: a small one\n    call: payments_refund\n    args: { order_id: \"1\", amount_cents: 100 }\n    expect: allow\n  \
    - name: a large one\n    call: payments_refund\n    args: { order_id: \"1\", amount_cents: 10001 }\n    expect: ask\n    by: [large-refund]\n";

/// A folder with a set.
fn with_set() -> TestEnvironment {
    let env = TestEnvironment::with_refund_desk();
    env.write("set/large.cedar", LARGE);
    env.write("set/tools.yaml", TOOLS);
    env.write("set/tests.yaml", CASES);
    env
}

#[test]
fn a_set_is_checked_without_a_server() {
    let env = with_set();
    let checked = env.stead("policy check set").succeeds();
    assert!(checked.stdout.starts_with("pol_") && checked.stdout.ends_with(" could be applied\n"), "{checked}");
    env.write("set/gates/more.cedar", "@id(\"never\")\nforbid (principal, action == Action::\"payments_refund\", resource in Toolset::\"paymnts\");\n");
    let warned = env.stead("policy check set").succeeds();
    assert!(warned.stdout.contains("warning: set/gates/more.cedar:1:1: never matches: no agent has Toolset::\"paymnts\"\n  hint: did you mean `payments`?\n"), "{warned}");
    env.write("set/gates/more.cedar", "permit (principal, action, resource)\nwhen { context.args.amount_cents == 1 };\n@quorm(\"1\")\nforbid (principal, action, resource);\n");
    let refused = env.stead("policy check set");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains(
            "error[ST0106]: set/gates/more.cedar:3:1: there is no annotation `@quorm`\nhint: did you mean `@quorum`?\n"
        ),
        "{refused}"
    );
    assert!(!env.path().join(".stead").exists(), "nothing was opened");
}

#[test]
fn what_is_wrong_with_a_folder_is_told() {
    let env = TestEnvironment::new();
    env.write("empty/README.md", "");
    for (folder, said) in [("empty", "there is no `*.cedar` in it"), ("gone", "cannot be read")] {
        let refused = env.stead(&format!("policy check {folder}"));
        assert!(refused.code == Some(1) && refused.stderr.contains(said), "{refused}");
    }
    env.write("toolless/a.cedar", LARGE);
    let refused = env.stead("policy check toolless --json");
    let told: Value = serde_json::from_str(refused.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((told["code"].as_str(), told["errors"][0]["line"].as_u64()), (Some("ST0106"), Some(4)), "{refused}");
    assert_eq!(told["errors"][0]["file"], "toolless/a.cedar");
    assert!(told["hint"].as_str().unwrap().contains("--tools"), "{refused}");
    env.write("more.yaml", TOOLS);
    env.stead("policy check toolless --tools more.yaml").succeeds();
}

#[test]
fn cases_are_asked_and_the_exit_code_tells() {
    let env = with_set();
    assert_snapshot!(env.stead("policy test set"), @"
    exit 0
    --- stdout
    ok    a small one
    ok    a large one

    2 cases: 2 passed, 0 failed
    ");
    env.write("set/tests.yaml", &CASES.replace("expect: ask", "expect: deny"));
    let failed = env.stead("policy test set --junit out.xml");
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(
        failed.stdout.contains("FAIL  a large one\n  case `a large one`: expected deny, got ask by `large-refund`\n"),
        "{failed}"
    );
    assert!(failed.stdout.contains("context.args.amount_cents = 10001"), "{failed}");
    let xml = std::fs::read_to_string(env.path().join("out.xml")).unwrap();
    assert!(xml.contains("tests=\"2\"") && xml.contains("failures=\"1\""), "{xml}");
    let results = env.json("policy test set --json --filter large");
    assert_eq!((results["failed"].as_u64(), results["cases"][0]["answer"].as_str()), (Some(1), Some("ask")));
    assert_eq!(results["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_set_is_applied_shown_compared_and_gone_back_to() {
    let env = with_set();
    let unknown = env.stead("policy apply set");
    // Its tools.yaml is enough: no agent need be there yet.
    assert!(unknown.succeeds().stdout.starts_with("1 pol_"));
    env.stead("agents apply refund-desk").succeeds();
    env.write("set/large.cedar", &LARGE.replace("10000", "20000"));
    env.write("set/tests.yaml", "cases: []\n");
    let applied = env.stead("policy apply set").succeeds();
    assert!(applied.stdout.starts_with("2 pol_") && applied.stdout.ends_with(" in force\n"), "{applied}");
    let diff = env.stead("policy diff 1 current").succeeds();
    assert!(diff.stdout.starts_with("changed large-refund\n- @id"), "{diff}");
    assert!(diff.stdout.contains("+ when { context.args.amount_cents > 20000 };"), "{diff}");
    assert_eq!(env.stead("policy diff set 2").succeeds().stdout, "no difference\n");
    let back = env.json("policy rollback 1 --json");
    assert_eq!(
        (back["epoch"].as_u64(), back["rollback"].as_u64(), back["status"].as_str()),
        (Some(3), Some(1), Some("in_force"))
    );
    let listed = env.stead("policy ls").succeeds();
    let rows: Vec<&str> = listed.stdout.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["3", "2", "1"], "{listed}");
    assert!(listed.stdout.contains("back to 1"), "{listed}");
    let shown = env.stead("policy show").succeeds();
    assert!(shown.stdout.contains("# large.cedar\n@id(\"large-refund\")"), "{shown}");
    assert!(shown.stdout.contains("payments_refund"), "the tools of the agent: {shown}");
    let missing = env.stead("policy show 9");
    assert!(
        missing.code == Some(1) && missing.stderr.contains("error[ST0202]: policy set 9 does not exist"),
        "{missing}"
    );
}

#[test]
fn an_agent_that_does_not_fit_is_refused_with_the_place_in_the_policies() {
    let env = with_set();
    env.stead("agents apply refund-desk").succeeds();
    env.write(
        "set/mail.cedar",
        "@id(\"no-mail\")\nforbid (principal in Agent::\"refund-desk\", action == Action::\"mail_send\", resource);\n",
    );
    env.write("set/tests.yaml", "cases: []\n");
    let warned = env.stead("policy apply set").succeeds();
    assert!(warned.stderr.contains("warning: set/mail.cedar:1:1: agent `refund-desk` can never use its tool `mail_send`: `no-mail` always forbids it"), "{warned}");
    let manifest = std::fs::read_to_string(env.path().join("refund-desk/agent.yaml")).unwrap();
    let changed = manifest.replace("amount_cents: { type: integer", "amount_cents: { type: string");
    assert_ne!(manifest, changed, "the example says otherwise now");
    env.write("refund-desk/agent.yaml", &changed);
    let refused = env.stead("agents apply refund-desk");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("error[ST0106]: large.cedar:5:8:"), "{refused}");
}

#[test]
fn a_proposal_is_confirmed_by_another_person_and_not_by_oneself() {
    let env = with_set();
    env.write(".stead/stead.toml", "[policy]\nfour_eyes = true\n");
    let proposed = env.stead("policy apply set").succeeds();
    assert!(proposed.stdout.ends_with(" proposed\n"), "{proposed}");
    assert!(proposed.stderr.contains("hint: another person confirms it: stead policy confirm 1"), "{proposed}");
    let own = env.stead("policy confirm 1");
    assert!(
        own.code == Some(1) && own.stderr.contains("error[ST0219]: who proposed policy set 1 cannot confirm it"),
        "{own}"
    );
    let token = "a-token-of-another-person-1234567890";
    let waits = env.json("policy ls --json");
    assert_eq!(waits["items"][0]["status"], "proposed");
    let sha256 = sha256(&env, token);
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[policy]\nfour_eyes = true\n[[auth.tokens]]\nsubject = \"bob\"\nsha256 = \"{sha256}\"\nrights = [\"read\", \"apply\"]\n"
    );
    env.write("server.toml", &config);
    let serving = Serving::start(env.command(["serve", "--config", "server.toml"]), "serving");
    let url = serving.banner.split('"').find(|word| word.starts_with("http://")).unwrap().to_owned();
    let mut confirm = env.command(["policy", "confirm", "1", "--server", &url]);
    confirm.env("STEAD_TOKEN", token);
    let confirmed = env.finish(confirm).succeeds();
    assert!(confirmed.stdout.ends_with(" in force\n"), "{confirmed}");
    let listed = env.json("policy ls --json");
    assert_eq!(
        (listed["items"][0]["by"].as_str(), listed["items"][0]["confirmed_by"].as_str()),
        (Some("owner"), Some("bob"))
    );
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn an_agent_that_one_person_applies_waits_for_another_one_who_says_so() {
    let env = with_set();
    let token = "a-token-of-another-person-1234567890";
    let sha256 = sha256(&env, token);
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[agents]\nfour_eyes = true\n[[auth.tokens]]\nsubject = \"bob\"\nsha256 = \"{sha256}\"\nrights = [\"read\", \"apply\"]\n"
    );
    env.write("server.toml", &config);
    let serving = Serving::start(env.command(["serve", "--config", "server.toml"]), "serving");
    let url = serving.banner.split('"').find(|word| word.starts_with("http://")).unwrap().to_owned();
    env.write("desk/agent.yaml", "stead: v1\nname: desk\nmodel: rehearsal:auto\ninstructions: Be kind.\n");
    let applied = env.stead("agents apply desk").succeeds();
    let version = applied.stdout.split("sha256:").nth(1).unwrap()[..12].to_owned();
    let hint = format!("it waits for another person: stead agents confirm desk {version}\n");
    assert!(applied.stderr.ends_with(&hint), "{applied}");
    let own = env.stead(&format!("agents confirm desk {version}"));
    assert!(own.code == Some(1) && own.stderr.contains("error[ST0217]: who proposed what"), "{own}");
    let mut confirm = env.command(["agents", "confirm", "desk", &version, "--server", &url]);
    confirm.env("STEAD_TOKEN", token);
    let confirmed = env.finish(confirm).succeeds();
    assert_eq!(confirmed.stdout, format!("desk@live {version}\n"));
    let history = env.stead("agents versions desk").succeeds();
    assert!(history.stdout.contains("apply (confirmed)  bob"), "{history}");
    assert!(history.stdout.contains("apply (proposed)   owner"), "{history}");
    assert_eq!(serving.stop(), Some(0));
}

fn sha256(env: &TestEnvironment, text: &str) -> String {
    env.write("token.txt", text);
    let out = std::process::Command::new("sha256sum").arg(env.path().join("token.txt")).output().unwrap();
    String::from_utf8(out.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn recorded_calls_are_decided_again() {
    let env = with_set();
    let run = env.stead("run refund-desk 'Refund order 1042' --yes");
    run.succeeds();
    let same = env.stead("policy replay set").succeeds();
    assert!(same.stdout.ends_with("of 1 run: 0 would turn out otherwise\n"), "{same}");
    env.write("set/large.cedar", "@id(\"no-refunds\")\n@reason(\"the till is closed\")\nforbid (principal, action == Action::\"payments_refund\", resource);\n");
    env.write("set/tests.yaml", "cases: []\n");
    let found = env.json("policy replay set --since 1h --json");
    assert_eq!((found["flipped"].as_u64(), found["skipped"].as_u64()), (Some(1), Some(0)), "{found}");
    let flip = &found["flips"][0];
    assert_eq!(
        (flip["was"].as_str(), flip["now"].as_str(), flip["by"][0].as_str()),
        (Some("ask"), Some("deny"), Some("no-refunds"))
    );
    let told = env.stead("policy replay set").succeeds();
    assert!(told.stdout.contains(": ask → deny by no-refunds\n  payments_refund {\"order_id\":\"1042\""), "{told}");
    assert!(told.stdout.contains("  Not done: the till is closed (policy `no-refunds`)\n"), "{told}");
}
