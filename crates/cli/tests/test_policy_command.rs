//! `stead policy`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

const TOOLS: &str = r#"
refund:
  class: keyed
  schema: { type: object, required: [amount], properties: { amount: { type: integer } } }
wire: { class: irreversible, risk: critical }
"#;

const POLICY: &str = r#"
@id("large") @reason("it is more than 1000")
@require("approval") @approvers("finance") @quorum("1") @ttl("15m")
forbid (principal, action == Action::"refund", resource) when { context.args.amount > 1000 };
"#;

const CASES: &str = r"
cases:
  - { name: small, call: refund, args: { amount: 1 }, expect: allow }
  - { name: large, call: refund, args: { amount: 1001 }, expect: deny, by: [large, other] }
";

fn folder() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("p/tools.yaml", TOOLS);
    env.write("p/refunds.cedar", POLICY);
    env.write("p/tests.yaml", CASES);
    env
}

#[test]
fn a_folder_is_checked_and_what_is_wrong_has_its_place() {
    let env = folder();
    assert_snapshot!(env.stead("policy check p"), @"");
    assert_snapshot!(env.stead("policy check p --no-default --strict"), @"");
    env.write("p/refunds.cedar", &POLICY.replace("amount > 1000", "amuont > 1000"));
    assert_snapshot!(env.stead("policy check p"), @"");
    let told = env.stead("--json policy check p").to_string();
    assert!(told.contains("\"file\": \"p/refunds.cedar\"") && told.contains("\"line\": 4"), "{told}");
}

#[test]
fn cases_are_asked_and_a_wrong_answer_tells_what_decided() {
    assert_snapshot!(folder().stead("policy test p"), @"");
}

#[test]
fn two_folders_are_compared_policy_by_policy() {
    let env = folder();
    env.write("q/tools.yaml", TOOLS);
    env.write("q/refunds.cedar", &POLICY.replace("1000 }", "500 }"));
    assert_snapshot!(env.stead("policy diff p q"), @"");
    assert_snapshot!(env.stead("policy diff p p"), @"");
}

#[test]
fn a_folder_without_policies_is_told() {
    let env = TestEnvironment::new();
    env.write("empty/readme.txt", "");
    assert_snapshot!(env.stead("policy check empty"), @"");
    assert_snapshot!(env.stead("policy check nowhere"), @"");
}
