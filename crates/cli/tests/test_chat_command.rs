//! `stead chat`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn a_conversation_is_one_session() {
    let env = TestEnvironment::with_refund_desk();
    let talk = "Where is order 1041?\n\nWhere is order 1043?\n/quit\nWhere is order 1044?\n";
    assert_snapshot!(env.stead_with_input("chat ./refund-desk --session ann --quiet", talk), @"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    Order 1043 (Bicycle chain) is delivered.
    ");
    assert_snapshot!(env.stead_with_input("chat refund-desk --session ann", "Where is order 1044?\n"), @r#"
    exit 0
    --- stdout
    Order 1044 (Fountain pen) is refunded.
    --- stderr
    refund-desk · scripted model, no AI · session ann
    One moment, I look it up.
      model    rehearsal · [took] · 389 tokens · $0
      call     orders_lookup {"order_id":"1044"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1044","customer":"E…
      model    rehearsal · [took] · 468 tokens · $0
    completed · 2 turns · 1 effect · 857 tokens · $0 · [took]
    "#);
    let sessions = env.json("sessions ls --json");
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1);
    assert_eq!(env.json("runs ls --json")["items"].as_array().unwrap().len(), 3);
}

#[test]
fn each_line_is_answered_by_the_version_that_the_agents_name_stands_for() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    let manifest = std::fs::read_to_string(env.path().join("refund-desk/agent.yaml")).unwrap();
    env.write("refund-desk/agent.yaml", &manifest.replace("tool_calls: 20", "tool_calls: 40"));
    env.stead("agents apply refund-desk --alias canary").succeeds();
    for agent in ["refund-desk@canary", "refund-desk@live"] {
        env.stead_with_input(&format!("chat {agent} --session ann"), "Where is order 1041?\n").succeeds();
    }
    let runs = env.json("runs ls --json");
    let version = |agent: &str| env.json(&format!("agents show {agent} --json"))["version"].clone();
    assert_ne!(version("refund-desk"), version("refund-desk@canary"));
    assert_eq!(runs["items"][0]["version"], version("refund-desk"));
    assert_eq!(runs["items"][1]["version"], version("refund-desk@canary"));
}

#[test]
fn a_line_that_is_not_text_ends_a_conversation() {
    let env = TestEnvironment::with_refund_desk();
    let talk = b"Where is order 1041?\nWhere is order \xff?\nWhere is order 1043?\n";
    assert_snapshot!(env.stead_with_input("chat ./refund-desk --session ann --quiet", talk), @"
    exit 1
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    --- stderr
    error[ST0201]: the input is not text: byte 16 is not UTF-8
    hint: convert it first, for example with `iconv -t utf-8`
    see: stead errors ST0201
    ");
    assert_eq!(env.json("runs ls --json")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_question_to_a_human_ends_a_conversation_that_nobody_watches() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead_with_input("chat ./refund-desk --session ann", "Refund order 1042\nhello\n"), @r#"
    exit 3
    --- stderr
    refund-desk · scripted model, no AI · session ann
    Let me look at order 1042.
      model    rehearsal · [took] · 193 tokens · $0
      call     orders_lookup {"order_id":"1042"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1042","customer":"A…
    Order 1042 came back to us, so 49.90 USD can be refunded.
      model    rehearsal · [took] · 294 tokens · $0
      call     payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
      ask      payments_refund needs a human: its manifest says so
    waiting · 2 turns · 2 effects · 487 tokens · $0 · [took]
    hint: stead runs show [run]
    "#);
}

#[test]
fn an_agent_that_nobody_applied_is_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("chat nobody"), @"
    exit 1
    --- stderr
    error[ST0202]: agent `nobody` does not exist
    hint: `stead agents apply DIR` makes it known
    see: stead errors ST0202
    ");
}
