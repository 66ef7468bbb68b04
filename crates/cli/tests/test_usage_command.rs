//! `stead usage`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn usage_is_summed_by_what_is_asked_for() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead("usage"), @"");
    env.stead("run refund-desk 'Refund order 1042' --yes").succeeds();
    assert_snapshot!(env.stead("usage"), @"");
    assert_snapshot!(env.stead("usage --by agent,model,user --since 1d"), @"");
    assert_snapshot!(env.stead("usage --by model --csv"), @"");
    assert_snapshot!(env.stead("usage --by nobody"), @"");
    let report = env.json("usage --by session --json");
    let run = env.json("runs ls --json")["items"][0].clone();
    assert_eq!(report["groups"][0]["session"], run["session"]);
    assert_eq!(report["total"]["spent"], run["spent"]);
}
