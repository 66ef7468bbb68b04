//! `stead disable`, `enable`, `switches` and `runs cancel --all`, and what becomes of a stop of all runs when the server is killed with
//! `kill -9` as soon as it has acknowledged it.

use std::time::{SystemTime, UNIX_EPOCH};

use insta::assert_snapshot;
use serde_json::Value;
use stead_testkit::postgres::TestPostgres;

use crate::common::{Serving, TestEnvironment};

/// An agent that looks something up forty times, slowly.
const WALKER: &str = r#"
stead: v1
name: walker
model: { rehearsal: ./script.yaml }
instructions: Walk.
tools:
  map:
    sql:
      url: "sqlite:${data}/map.db"
      seed: ./map.sql
      allow: [SELECT]
      queries:
        look: { description: Looks at the map., sql: "SELECT name FROM places WHERE id = :id", params: { id: { type: integer } } }
    effect: pure
"#;

fn with_walker(delay: &str) -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("walker/agent.yaml", WALKER);
    let script = format!(
        "rules:\n  - {{ when: {{ turn: 40 }}, say: There., delay: {delay} }}\n  \
         - {{ say: On., delay: {delay}, call: [{{ tool: map_look, args: {{ id: 1 }} }}] }}\n"
    );
    env.write("walker/script.yaml", &script);
    let places = "CREATE TABLE places (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO places VALUES (1, 'Rome');";
    env.write("walker/map.sql", places);
    env
}

#[test]
fn what_is_disabled_is_listed_told_and_enabled_again() {
    let env = with_walker("1ms");
    env.stead("agents apply walker").succeeds();
    assert_snapshot!(env.stead("disable agent walker --reason 'it walks off'"), @"
    exit 0
    --- stdout
    agent walker is off in default
    ");
    assert_snapshot!(env.stead("runs start walker 'Go'"), @"
    exit 1
    --- stderr
    error[ST0340]: the agent `walker` was turned off by owner: it walks off
    see: stead errors ST0340
    ");
    assert_snapshot!(env.stead("switches ls"), @"
    exit 0
    --- stdout
    WHAT   NAME    STATE  SINCE                     BY     REASON
    agent  walker  off    [time]  owner  it walks off
    ");
    env.stead("enable agent walker").succeeds();
    env.stead("disable tool map").succeeds();
    let run = env.json("runs start walker 'Go' --json")["run"].as_str().unwrap().to_owned();
    env.stead(&format!("run --resume {run}"));
    let why = env.stead(&format!("runs why {run}"));
    assert!(why.stdout.contains("ST0340") && why.stdout.contains("the tool `map` was turned off by owner"), "{why}");
    let past = env.json("switches ls --all --json");
    let told: Vec<(u64, &str, bool)> = past
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["number"].as_u64().unwrap(), s["what"].as_str().unwrap(), s["on"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [(3, "tool", false), (2, "agent", true), (1, "agent", false)]);
    // Who operates is on record beside the journal.
    let lines = std::fs::read_to_string(env.path().join(".stead/operators.jsonl")).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("administer")).count(), 3, "{lines}");

    for (line, why) in [
        ("disable version 12ab", "no version in full"),
        ("disable tenant globex", "must be that of the tenant"),
        ("identity revoke run 7", "no run's id"),
        ("runs cancel --kill", "--all"),
    ] {
        let refused = env.stead(line);
        assert!(refused.code != Some(0) && refused.stderr.contains(why), "{refused}");
    }
}

#[test]
fn a_revoked_run_holds_and_says_so_until_it_is_restored() {
    let env = with_walker("20ms");
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let _server = Serving::start(env.command(["serve"]), "serving");
    env.stead("agents apply walker").succeeds();
    let run = env.json("runs start walker 'Go' --json")["run"].as_str().unwrap().to_owned();
    env.stead(&format!("identity revoke run {run} --reason 'who asked for this?'")).succeeds();
    let why = env.stead(&format!("runs why {run}"));
    assert!(why.stdout.contains(&format!("the run {run} turned off by owner")), "{why}");
    let refused = env.stead(&format!("runs token {run} --audience https://mail.example"));
    assert!(refused.stderr.contains("error[ST0340]"), "{refused}");
    env.stead(&format!("identity restore run {run}")).succeeds();
    env.stead(&format!("runs token {run} --audience https://mail.example")).succeeds();
    env.stead(&format!("runs watch {run}")).succeeds();
}

// --------------------------------------------------------------------------------------------- kill -9

const RUNS: usize = 12;

fn micros() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Starts runs, stops all of them, and kills the server as soon as that is acknowledged; then another one serves.
fn stopped_and_killed(env: &TestEnvironment, serve: impl Fn() -> Serving) {
    let server = serve();
    env.stead("agents apply walker").succeeds();
    for n in 0..RUNS {
        env.stead(&format!("runs start walker 'Go {n}'")).succeeds();
    }
    let stop = env.stead("runs cancel --all --tenant default --reason 'an incident'").succeeds();
    server.kill();
    let acknowledged = micros();
    assert_eq!(stop.stdout, "all runs of default stop: none of them begins anything any more\n");
    let _server = serve();
    let list = || env.json("runs ls --limit 200 --json")["items"].as_array().unwrap().clone();
    let ended = |run: &Value| ["completed", "failed", "cancelled"].contains(&run["status"].as_str().unwrap());
    while !list().iter().all(ended) {}
    let runs = list();
    assert_eq!(runs.len(), RUNS);
    assert!(runs.iter().all(|run| run["status"] == "cancelled"), "{runs:?}");
    for run in &runs {
        let id = run["id"].as_str().unwrap();
        let facts = env.stead(&format!("runs facts {id} --json")).succeeds();
        let facts: Vec<Value> = facts.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let began = ["model_requested", "effect_intended", "child_started"];
        let late = |f: &&Value| {
            began.contains(&f["fact"]["kind"].as_str().unwrap_or_default()) && f["at"].as_i64().unwrap() > acknowledged
        };
        assert!(facts.iter().find(late).is_none(), "{id} began something after the stop was acknowledged: {facts:?}");
    }
    // What begins afterwards is not stopped.
    let later = env.json("runs start walker 'Go on' --json")["run"].as_str().unwrap().to_owned();
    env.stead(&format!("runs watch {later}")).succeeds();
}

#[test]
fn a_server_killed_after_it_acknowledged_a_stop_of_all_runs_does_nothing_of_them_any_more() {
    let env = with_walker("20ms");
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    stopped_and_killed(&env, || Serving::start(env.command(["serve"]), "serving"));
}

#[test]
fn a_stop_of_all_runs_outlives_its_server_on_postgresql() {
    let (env, database) = (with_walker("20ms"), TestPostgres::start());
    let url = database.url();
    env.write("stead.toml", &format!("listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\ndatabase = \"{url}\"\n"));
    stopped_and_killed(&env, || Serving::start(env.command(["serve"]), "serving"));
}
