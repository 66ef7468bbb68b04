//! `stead sessions`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn a_session_is_opened_listed_and_shown() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    assert_snapshot!(env.stead("sessions open refund-desk customer/42"), @"
    exit 0
    --- stdout
    session  [session]
    agent    refund-desk
    key      customer/42
    created  [time]
    spent    0 tokens · $0
    ");
    let again = env.json("sessions open refund-desk customer/42 --json");
    assert_snapshot!(env.stead("sessions ls --agent refund-desk"), @"
    exit 0
    --- stdout
    SESSION                         AGENT        KEY          ACTIVE  SPENT          AGE
    [session]  refund-desk  customer/42  -       0 tokens · $0  [age]
    ");
    assert_snapshot!(env.stead(&format!("sessions show {}", again["id"].as_str().unwrap())), @"
    exit 0
    --- stdout
    session  [session]
    agent    refund-desk
    key      customer/42
    created  [time]
    spent    0 tokens · $0
    ");
    assert_eq!(env.json("sessions ls --json")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_session_that_does_not_exist_is_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("sessions show ses_01M7Y5Z2Z48QY2QNWKEQN3FNRV"), @"
    exit 1
    --- stderr
    error[ST0202]: [session] does not exist
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("sessions open nobody a"), @"
    exit 1
    --- stderr
    error[ST0202]: agent `nobody` does not exist
    hint: `stead agents apply DIR` makes it known
    see: stead errors ST0202
    ");
}
