//! `stead runs`.

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

fn started(env: &TestEnvironment, input: &str) -> String {
    let terminal = env.stead(&format!("runs start refund-desk '{input}'")).succeeds();
    terminal.stdout.trim().to_owned()
}

#[test]
fn without_a_server_a_started_run_waits_for_someone_who_works() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    assert_snapshot!(env.stead("runs start refund-desk 'Where is order 1041?'"), @"
    exit 0
    --- stdout
    [run]
    --- stderr
    no server is running; the run goes on with
    hint: stead run --resume [run]
    ");
    assert_eq!(env.json("runs ls --json")["items"][0]["turns"], 0, "nothing has begun");
    assert_snapshot!(env.stead("run --resume --quiet"), @"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    ");
}

#[test]
fn a_run_is_listed_shown_and_told_fact_by_fact() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run --quiet refund-desk 'Where is order 1041?'").succeeds();
    assert_snapshot!(env.stead("runs ls"), @"
    exit 0
    --- stdout
    RUN                             AGENT        STATUS     SESSION  AGE  INPUT
    [run]  refund-desk  completed  -        [age]  Where is order 1041?
    ");
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(env.stead(&format!("runs show {run}")), @"
    exit 0
    --- stdout
    run      [run]
    agent    refund-desk [version]
    status   completed
    session  [session]
    input    Where is order 1041?
    created  [time]
    updated  [time]
    spent    2 turns · 1 effect · 465 tokens · $0
    answer   Order 1041 (Alarm clock) is shipped.
    ");
    assert_snapshot!(env.stead(&format!("runs facts {run}")), @r#"
    exit 0
    --- stdout
    POSITION   AT                        FACT                BY        TEXT
    0.0        [time]  run_started         owner     Where is order 1041?
    0.1        [time]  run_admitted        owner
    0.2        [time]  model_requested     owner
    1.0        [time]  model_replied       runtime   {"text":"One moment, I look it up.","calls":[{"id":"call_1_0","name":"orders_loo…
    1.1        [time]  effect_decided      runtime
    2.0        [time]  effect_returned     runtime   {"columns":["id","customer","email","item","total_cents","total","currency","sta…
    2.1        [time]  model_requested     runtime
    3.0        [time]  model_replied       runtime   {"text":"Order 1041 (Alarm clock) is shipped.","stop":"end","usage":{"input":262…
    3.1        [time]  run_completed       runtime
    "#);
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert!(facts.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["seq"].is_u64()));
    assert_snapshot!(env.stead(&format!("runs watch {run}")), @r#"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    --- stderr
    One moment, I look it up.
      model    rehearsal · [took] · 194 tokens · $0
      call     orders_lookup {"order_id":"1041"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1041","customer":"G…
      model    rehearsal · [took] · 271 tokens · $0
    completed · 2 turns · 1 effect · 465 tokens · $0 · [took]
    "#);
}

#[test]
fn an_export_begins_with_the_run_and_has_every_fact() {
    let env = TestEnvironment::with_refund_desk();
    let run = env.json("run --json --quiet refund-desk 'Where is order 1041?'");
    let run = run["id"].as_str().unwrap();
    let export = env.stead(&format!("runs export {run}")).succeeds().stdout;
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    let header: serde_json::Value = serde_json::from_str(export.lines().next().unwrap()).unwrap();
    assert_eq!(header["stead_export"], 1);
    assert_eq!(export.lines().count(), facts.lines().count() + 1);
    assert_snapshot!(env.stead(&format!("runs export {run} --output out.jsonl")), @"
    exit 0
    --- stderr
    wrote out.jsonl
    ");
    assert_eq!(std::fs::read_to_string(env.path().join("out.jsonl")).unwrap(), export);
}

#[test]
fn runs_are_paused_resumed_and_stopped_without_a_server() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    let run = started(&env, "Refund order 1042");
    assert_snapshot!(env.stead(&format!("runs pause {run}")), @"
    exit 0
    --- stdout
    run      [run]
    agent    refund-desk [version]
    status   paused
    session  [session]
    input    Refund order 1042
    created  [time]
    updated  [time]
    wakes    [time]
    spent    0 turns · 0 effects · 0 tokens · $0
    ");
    assert_eq!(env.json(&format!("runs resume {run} --json"))["status"], "running");
    assert_eq!(env.json(&format!("runs cancel {run} --json"))["status"], "cancelled");
    assert_snapshot!(env.stead(&format!("runs cancel {run}")), @"
    exit 1
    --- stderr
    error[ST0008]: the run has ended
    see: stead errors ST0008
    ");
    let run = started(&env, "Refund order 1042");
    assert_eq!(env.json(&format!("runs kill {run} --json"))["status"], "cancelled");
    assert_snapshot!(env.stead("runs ls --status cancelled"), @"
    exit 0
    --- stdout
    RUN                             AGENT        STATUS     SESSION  AGE  INPUT
    [run]  refund-desk  cancelled  -        [age]  Refund order 1042
    [run]  refund-desk  cancelled  -        [age]  Refund order 1042
    ");
    assert_snapshot!(env.stead(&format!("runs watch {run}")), @"
    exit 4
    --- stderr
      stop     no new step begins
    cancelled · 0 turns · 0 effects · 0 tokens · $0 · [took]
    ");
}

#[test]
fn a_call_that_a_stop_withdrew_is_told_with_its_code() {
    let env = TestEnvironment::with_refund_desk();
    let run = env.json("run --json --quiet refund-desk 'Refund order 1042'");
    let run = run["id"].as_str().unwrap();
    env.stead(&format!("runs cancel {run}")).succeeds();
    let watched = env.stead(&format!("runs watch {run}"));
    assert!(watched.stderr.contains("not done payments_refund: ST0053: the run was stopped"), "{watched}");
}

#[test]
fn an_idempotency_key_starts_one_run() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    let start = |input: &str| env.stead(&format!("runs start refund-desk '{input}' --idempotency-key k"));
    let first = start("Where is order 1041?").succeeds();
    assert_eq!(start("Where is order 1041?").succeeds().stdout, first.stdout);
    assert_snapshot!(start("Where is order 1043?"), @"
    exit 1
    --- stderr
    error[ST0204]: the idempotency key was used for another request, which started [run]
    hint: use a fresh Idempotency-Key for a different request
    see: stead errors ST0204
    ");
}

#[test]
fn with_a_server_a_run_is_started_and_followed() {
    let env = TestEnvironment::with_refund_desk();
    let _dev = Serving::start(env.command(["dev", "--port", "0", "refund-desk"]), "try");
    assert_snapshot!(env.stead("runs start --watch refund-desk 'Where is order 1041?'"), @r#"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    --- stderr
    One moment, I look it up.
      model    rehearsal · [took] · 194 tokens · $0
      call     orders_lookup {"order_id":"1041"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1041","customer":"G…
      model    rehearsal · [took] · 271 tokens · $0
    completed · 2 turns · 1 effect · 465 tokens · $0 · [took]
    "#);
}

#[test]
fn a_watched_list_is_written_again_when_it_changes() {
    let env = TestEnvironment::with_refund_desk();
    let _dev = Serving::start(env.command(["dev", "--port", "0", "refund-desk"]), "try");
    let watching = Serving::watch(env.command(["runs", "ls", "--watch"]));
    let (watching, _) = watching.until("INPUT");
    started(&env, "Where is order 1041?");
    let (watching, seen) = watching.until("completed");
    assert!(seen.contains("RUN"), "{seen}");
    assert_eq!(watching.interrupt(), Some(0));
}

#[test]
fn wrong_arguments_are_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("runs ls --status done"), @"
    exit 2
    --- stderr
    error: invalid value 'done' for '--status <STATUS>': not one of queued, running, waiting, paused, completed, failed, cancelled

    For more information, try '--help'.
    ");
    assert_snapshot!(env.stead("runs show run_1"), @"
    exit 2
    --- stderr
    error: invalid value 'run_1' for '<RUN>': `run_1` is not a run id (expected run_ and 26 characters)

    For more information, try '--help'.
    ");
    assert_snapshot!(env.stead("runs show run_01M7Y5Z2Z48QY2QNWKEQN3FNRV"), @"
    exit 1
    --- stderr
    error[ST0202]: [run] does not exist
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("runs start nobody hello"), @"
    exit 1
    --- stderr
    error[ST0202]: agent `nobody` does not exist
    hint: `stead agents apply DIR` makes it known
    see: stead errors ST0202
    ");
}

#[test]
fn a_long_list_is_read_page_by_page() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("agents apply refund-desk").succeeds();
    let ids: Vec<String> = (0..3).map(|_| started(&env, "Where is order 1041?")).collect();
    let first = env.stead("runs ls --limit 2 --json").succeeds();
    let page: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    let next = page["next"].as_str().unwrap();
    assert!(first.stderr.contains(next), "{first}");
    let rest = env.json(&format!("runs ls --limit 2 --cursor {next} --json"));
    assert_eq!(rest["items"][0]["id"], ids[0].as_str());
    assert!(rest["next"].is_null());
}
