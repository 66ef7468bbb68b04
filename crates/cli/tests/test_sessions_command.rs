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

#[test]
fn a_name_stands_for_its_session_until_two_agents_have_it() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    env.stead("sessions open refund-desk customer/42").succeeds();
    assert_snapshot!(env.stead("sessions show customer/42"), @"
    exit 0
    --- stdout
    session  [session]
    agent    refund-desk
    key      customer/42
    created  [time]
    spent    0 tokens · $0
    ");
    assert_snapshot!(env.stead("sessions show customer/43"), @"
    exit 1
    --- stderr
    error[ST0202]: a session `customer/43` does not exist
    see: stead errors ST0202
    ");
    let manifest = std::fs::read_to_string(env.path().join("refund-desk/agent.yaml")).unwrap();
    std::fs::write(env.path().join("refund-desk/agent.yaml"), manifest.replace("name: refund-desk", "name: refunds"))
        .unwrap();
    env.stead("agents apply refund-desk").succeeds();
    env.stead("sessions open refunds customer/42").succeeds();
    assert_snapshot!(env.stead("sessions show customer/42"), @"
    exit 1
    --- stderr
    error[ST0210]: several agents have a session `customer/42`: refund-desk, refunds
    hint: name one: `--agent NAME`, or `agent=NAME` in the query
    see: stead errors ST0210
    ");
    assert_snapshot!(env.stead("runs ls --session customer/42 --agent refunds"), @"
    exit 0
    --- stdout
    RUN  AGENT  STATUS  SESSION  AGE  INPUT
    ");
    assert_snapshot!(env.stead("sessions show customer/42 --agent refunds"), @"
    exit 0
    --- stdout
    session  [session]
    agent    refunds
    key      customer/42
    created  [time]
    spent    0 tokens · $0
    ");
}
