//! `stead budgets`, and what a budget says when the processes that use it are killed with `kill -9`.

use insta::assert_snapshot;
use serde_json::Value;
use stead_testkit::postgres::TestPostgres;

use crate::common::{Serving, TestEnvironment};

/// An agent that looks something up five times. It is charged for, so that money counts.
const WALKER: &str = r#"
stead: v1
name: walker
model: { rehearsal: ./script.yaml, price: { input: 1, output: 4 }, max_output_tokens: 100 }
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

/// Each turn takes a little, so that a kill meets calls under way.
const SCRIPT: &str = r#"
rules:
  - { when: { turn: 6 }, say: "There.", delay: 5ms }
  - { say: "On.", delay: 5ms, call: [{ tool: map_look, args: { id: 1 } }] }
"#;

fn with_walker() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("walker/agent.yaml", WALKER);
    env.write("walker/script.yaml", SCRIPT);
    env.write(
        "walker/map.sql",
        "CREATE TABLE places (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO places VALUES (1, 'Rome');",
    );
    env
}

#[test]
fn budgets_are_set_listed_and_removed() {
    let env = with_walker();
    assert_snapshot!(env.stead("budgets ls"), @"");
    assert_snapshot!(env.stead("budgets set --usd 20 --per day"), @"");
    assert_snapshot!(env.stead("budgets set walker --tokens 100000 --tool-calls 3 --active 90m --disk 1Gi"), @"");
    assert_snapshot!(env.stead("run walker 'Go'"), @"");
    assert_snapshot!(env.stead("budgets ls"), @"");
    // All limits of a budget are set; what was used stays.
    assert_snapshot!(env.stead("budgets set walker --tool-calls 8"), @"");
    env.stead("run walker 'Go'").succeeds();
    assert_snapshot!(env.stead("budgets show walker"), @"");
    let listed = env.json("budgets ls --json");
    assert_eq!(listed["items"][1]["used"]["tool_calls"], 8, "{listed}");
    assert_eq!(listed["items"][1]["left"]["tool_calls"], 0);
    assert_eq!(listed["items"][1]["held"]["tool_calls"], 0);
    assert_snapshot!(env.stead("budgets rm walker --per day"), @"");
    assert_snapshot!(env.stead("budgets rm walker"), @"");
    assert_snapshot!(env.stead("budgets show walker"), @"");
    env.stead("budgets show").succeeds();
    assert_snapshot!(env.stead("budgets set walker"), @"");
    assert_snapshot!(env.stead("budgets set --usd 1e3"), @"");
}

#[test]
fn a_run_that_asks_at_a_limit_goes_on_when_a_human_raises_it() {
    let env = with_walker();
    env.write("walker/agent.yaml", &format!("{WALKER}budget: {{ tool_calls: 3, at_limit: ask }}\n"));
    assert_snapshot!(env.stead("run walker 'Go'"), @"");
    assert_snapshot!(env.stead("approvals ls"), @"");
    env.stead(&format!("approvals approve {}", env.approval())).succeeds();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(env.stead(&format!("run --resume {run}")), @"");
}

// --------------------------------------------------------------------------------------------- kill -9

/// Runs that want to work at the same time.
const RUNS: usize = 60;
/// Times that the server is killed while they do.
const KILLS: usize = 6;

/// The data folder, as commands look for it.
const DATA: &str = ".stead";

/// How many runs have ended.
fn ended(env: &TestEnvironment, data: &str) -> usize {
    let runs = env.json(&format!("runs ls --limit 200 --json --data {data}"));
    let over = |r: &&Value| matches!(r["status"].as_str(), Some("completed" | "failed" | "cancelled"));
    runs["items"].as_array().unwrap().iter().filter(over).count()
}

/// Budgets as the store has them now; panics when what is used and held is more than a limit.
fn audited(env: &TestEnvironment, data: &str) -> Vec<Value> {
    let listed = env.json(&format!("budgets ls --json --data {data}"))["items"].as_array().unwrap().clone();
    for budget in &listed {
        for (kind, limit) in budget["limits"].as_object().unwrap() {
            let (used, held) = (budget["used"][kind].as_u64().unwrap(), budget["held"][kind].as_u64().unwrap());
            assert!(used + held <= limit.as_u64().unwrap(), "{kind}: {used} used and {held} held of {limit}");
        }
    }
    listed
}

/// Sets budgets that are enough for about half of the runs, and starts those.
fn begin(env: &TestEnvironment) {
    env.stead("agents apply walker").succeeds();
    env.stead("budgets set --tool-calls 150 --usd 20").succeeds();
    env.stead("budgets set walker --per month --tokens 10000000 --usd 20").succeeds();
    for n in 0..RUNS {
        env.stead(&format!("runs start walker 'Go {n}'")).succeeds();
    }
}

/// All runs have ended: nothing is held, and what was used is what usage says, in each budget once.
fn check(env: &TestEnvironment, data: &str) {
    let usage = env.json(&format!("usage --json --data {data}"));
    for budget in audited(env, data) {
        assert!(budget["held"].as_object().unwrap().values().all(|n| *n == 0), "{budget}");
        assert_eq!(budget["used"]["tokens"], usage["total"]["spent"]["tokens"], "{budget}");
        assert_eq!(budget["used"]["usd"], usage["total"]["spent"]["usd"], "{budget}");
        assert!(budget["used"]["tool_calls"].as_u64().unwrap() <= 150);
    }
    let runs = env.json(&format!("runs ls --limit 200 --json --data {data}"));
    let completed = runs["items"].as_array().unwrap().iter().filter(|r| r["status"] == "completed").count();
    assert!((5..=30).contains(&completed), "{completed} of {RUNS} with tool calls for thirty");
}

#[test]
fn a_server_killed_again_and_again_neither_loses_nor_doubles_what_budgets_hold() {
    let env = with_walker();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let serve = || Serving::start(env.command(["serve"]), "serving");
    let mut server = serve();
    begin(&env);
    let mut kills = 0;
    while ended(&env, DATA) < RUNS {
        audited(&env, DATA);
        if kills < KILLS {
            server.kill();
            kills += 1;
            // Nobody serves: the command looks into the folder itself, as the kill has left it.
            audited(&env, DATA);
            server = serve();
        }
    }
    assert_eq!(kills, KILLS);
    check(&env, DATA);
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_runs_over_on_postgresql_finds_what_they_hold() {
    let (env, database) = (with_walker(), TestPostgres::start());
    let settings = |data: &str| {
        let listen = "listen = \"127.0.0.1:0\"";
        env.write(
            &format!("{data}.toml"),
            &format!("{listen}\ndata_dir = \"{data}\"\ndatabase = \"{}\"\n", database.url()),
        );
        Serving::start(env.command(["serve", "--config", &format!("{data}.toml")]), "serving")
    };
    let first = settings(DATA);
    begin(&env);
    let held: u64 = audited(&env, DATA).iter().map(|b| b["held"]["tool_calls"].as_u64().unwrap()).sum();
    first.kill();
    // Another server of the same store, with a folder of its own but for the key.
    std::fs::create_dir_all(env.path().join("other/keys")).unwrap();
    std::fs::copy(env.path().join(".stead/keys/blob.key"), env.path().join("other/keys/blob.key")).unwrap();
    let second = settings("other");
    while ended(&env, "other") < RUNS {
        audited(&env, "other");
    }
    check(&env, "other");
    assert!(held > 0, "nothing was held when the first server died");
    assert_eq!(second.stop(), Some(0));
}
