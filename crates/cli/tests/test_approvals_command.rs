//! `stead approvals`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn an_open_approval_is_listed_shown_and_answered_once() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run --quiet refund-desk 'Refund order 1042'");
    assert_snapshot!(env.stead("approvals ls"), @r#"
    exit 0
    --- stdout
    APPROVAL                           AGENT        TOOL             AGE  ARGUMENTS
    [run].e2  refund-desk  payments_refund  [age]  {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    "#);
    let approval = env.approval();
    assert_snapshot!(env.stead(&format!("approvals show {approval}")), @r#"
    exit 0
    --- stdout
    approval   [run].e2
    run        [run]
    session    [session]
    agent      refund-desk
    tool       payments_refund
    effect     keyed
    arguments  {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    reason     its manifest says so
    needs      1 of supervisor (critical)
    since      [time]
    expires    [time]
    "#);
    assert_snapshot!(env.stead(&format!("approvals deny {approval} --note 'No receipt'")), @"
    exit 0
    --- stdout
    run      [run]
    agent    refund-desk [version]
    status   running
    session  [session]
    input    Refund order 1042
    created  [time]
    updated  [time]
    spent    2 turns · 2 effects · 487 tokens · $0
    --- stderr
    hint: stead run --resume [run]
    ");
    assert_snapshot!(env.stead(&format!("approvals approve {approval}")), @"
    exit 1
    --- stderr
    error[ST0008]: nobody is asked about this effect, or it has been answered
    see: stead errors ST0008
    ");
    assert_snapshot!(env.stead("approvals ls"), @"
    exit 0
    --- stdout
    APPROVAL  AGENT  TOOL  AGE  ARGUMENTS
    ");
}

#[test]
fn an_approval_that_does_not_exist_is_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("approvals approve run_01M7Y5Z2Z48QY2QNWKEQN3FNRV.e1"), @"
    exit 1
    --- stderr
    error[ST0202]: an open approval [run].e1 does not exist
    hint: it may be answered or expired; see the run's facts
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("approvals show nonsense"), @"
    exit 2
    --- stderr
    error: invalid value 'nonsense' for '<APPROVAL>': `nonsense` is not a effect id (expected a run id, `.e` and a number)

    For more information, try '--help'.
    ");
}
