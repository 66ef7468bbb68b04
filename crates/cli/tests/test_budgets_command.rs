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

/// Its script; each turn takes so long.
fn script(delay: &str) -> String {
    format!(
        "rules:\n  - {{ when: {{ turn: 6 }}, say: There., delay: {delay} }}\n  \
         - {{ say: On., delay: {delay}, call: [{{ tool: map_look, args: {{ id: 1 }} }}] }}\n"
    )
}

fn with_walker(delay: &str) -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("walker/agent.yaml", WALKER);
    env.write("walker/script.yaml", &script(delay));
    env.write(
        "walker/map.sql",
        "CREATE TABLE places (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO places VALUES (1, 'Rome');",
    );
    env
}

#[test]
fn budgets_are_set_listed_and_removed() {
    let env = with_walker("1ms");
    assert_snapshot!(env.stead("budgets ls"), @"
    exit 0
    --- stdout
    AGENT  PER  OF  LIMIT  USED  HELD  LEFT
    ");
    assert_snapshot!(env.stead("budgets set --usd 20 --per day"), @"
    exit 0
    --- stdout
    AGENT     PER  OF   LIMIT  USED  HELD  LEFT
    (tenant)  day  usd  $20    $0    $0    $20
    ");
    assert_snapshot!(env.stead("budgets set walker --tokens 100000 --tool-calls 3 --disk 1Gi"), @"
    exit 0
    --- stdout
    AGENT   PER   OF          LIMIT    USED  HELD  LEFT
    walker  ever  tokens      100,000  0     0     100,000
    walker  ever  tool calls  3        0     0     3
    walker  ever  disk        1.0 GiB  0 B   0 B   1.0 GiB
    ");
    assert_snapshot!(env.stead("run walker 'Go'"), @r#"
    exit 1
    --- stderr
    walker [version] · scripted model, no AI
    [run]

    On.
      model    rehearsal · [took] · 7 tokens · $0.000022
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 28 tokens · $0.000043
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 48 tokens · $0.000063
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 69 tokens · $0.000084
      call     map_look {"id":1}
      stop     a limit is reached
      not done map_look: ST0053: the run was stopped
    failed · 4 turns · 4 effects · 152 tokens · $0.000212 · [took]
    error[ST0001]: the model asked for more tool calls than budget.tool_calls allows (the budget of agent `walker` has 0 left, and the next step may use 1; it is raised with `stead budgets set`)
    hint: stead runs facts [run] shows what happened
    see: stead errors ST0001
    "#);
    assert_snapshot!(env.stead("budgets ls"), @"
    exit 0
    --- stdout
    AGENT     PER   OF          LIMIT    USED       HELD  LEFT
    (tenant)  day   usd         $20      $0.000212  $0    $19.999788
    walker    ever  tokens      100,000  152        0     99,848
    walker    ever  tool calls  3        3          0     0
    walker    ever  disk        1.0 GiB  0 B        0 B   1.0 GiB
    ");
    // All limits of a budget are set; what was used stays.
    assert_snapshot!(env.stead("budgets set walker --tool-calls 8"), @"
    exit 0
    --- stdout
    AGENT   PER   OF          LIMIT  USED  HELD  LEFT
    walker  ever  tool calls  8      3     0     5
    ");
    env.stead("run walker 'Go'").succeeds();
    assert_snapshot!(env.stead("budgets show walker"), @"
    exit 0
    --- stdout
    AGENT   PER   OF          LIMIT  USED  HELD  LEFT
    walker  ever  tool calls  8      8     0     0
    ");
    let listed = env.json("budgets ls --json");
    assert_eq!(listed["items"][1]["used"]["tool_calls"], 8, "{listed}");
    assert_eq!(listed["items"][1]["left"]["tool_calls"], 0);
    assert_eq!(listed["items"][1]["held"]["tool_calls"], 0);
    assert_snapshot!(env.stead("budgets rm walker --per day"), @"
    exit 1
    --- stderr
    error[ST0202]: a budget of `walker` per day does not exist
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("budgets rm walker"), @"
    exit 0
    --- stdout
    AGENT     PER  OF   LIMIT  USED       HELD  LEFT
    (tenant)  day  usd  $20    $0.000641  $0    $19.999359
    ");
    assert_snapshot!(env.stead("budgets show walker"), @"
    exit 1
    --- stderr
    error[ST0202]: agent `walker` has no budget
    see: stead errors ST0202
    ");
    env.stead("budgets show").succeeds();
    assert_snapshot!(env.stead("budgets set walker"), @"
    exit 2
    --- stderr
    error: name a limit, such as --usd 20; `stead budgets rm` removes a budget
    ");
    assert_snapshot!(env.stead("budgets set --usd 1e3"), @"
    exit 2
    --- stderr
    error: invalid value '1e3' for '--usd <DOLLARS>': `1e3` is no amount of dollars: write it as 20 or 0.50, with at most six decimals

    For more information, try '--help'.
    ");
}

#[test]
fn a_run_that_asks_at_a_limit_goes_on_when_a_human_raises_it() {
    let env = with_walker("1ms");
    env.write("walker/agent.yaml", &format!("{WALKER}budget: {{ tool_calls: 3, at_limit: ask }}\n"));
    assert_snapshot!(env.stead("run walker 'Go'"), @r#"
    exit 3
    --- stderr
    walker [version] · scripted model, no AI
    [run]

    On.
      model    rehearsal · [took] · 7 tokens · $0.000022
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 28 tokens · $0.000043
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 48 tokens · $0.000063
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 69 tokens · $0.000084
      call     map_look {"id":1}
      ask      e5 needs a human: the run's own budget has not enough tool calls left: 3 of 3 are used or set aside, and the next step may use 1
    waiting · 4 turns · 5 effects · 152 tokens · $0.000212 · [took]
    approval needed: The run's own budget has not enough tool calls left: 3 of 3 are used or set aside, and the next step may use 1. Approve: the limit is raised by 3, for this run alone. Deny, or no answer in time: the run stops with ST0001.
    hint: stead approvals approve [run].e5
    hint: stead approvals deny [run].e5
    hint: stead run --resume [run]
    "#);
    assert_snapshot!(env.stead("approvals ls"), @"
    exit 0
    --- stdout
    APPROVAL                           AGENT   TOOL    AGE  ARGUMENTS
    [run].e5  walker  budget  [age]  The run's own budget has not enough tool calls left: 3 of 3 …
    ");
    let words = "The run's own budget has not enough tool calls left: 3 of 3 are used or set aside, and the next step may use 1. \
                 Approve: the limit is raised by 3, for this run alone. Deny, or no answer in time: the run stops with ST0001.";
    let shown = env.stead(&format!("approvals show {}", env.approval())).succeeds();
    assert!(shown.stdout.contains(words) && !shown.stdout.contains("tool_calls"), "{shown}");
    let asked = env.json("approvals ls --json");
    let why = env.stead(&format!("runs why {}", asked["items"][0]["run"].as_str().unwrap())).succeeds();
    assert!(why.stdout.contains(words), "{why}");
    assert_eq!(asked["items"][0]["question"], words);
    let arguments: Value = serde_json::from_str(asked["items"][0]["arguments"].as_str().unwrap()).unwrap();
    let own = serde_json::json!({ "limit": "tool_calls", "by": 3, "most": 3, "used": 3, "need": 1 });
    assert_eq!(arguments, own, "the same in numbers, as it is on record");
    env.stead(&format!("approvals approve {}", env.approval())).succeeds();
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(env.stead(&format!("run --resume {run}")), @r#"
    exit 0
    --- stdout
    There.
    --- stderr
    walker [version] · scripted model, no AI
    [run]

    On.
      model    rehearsal · [took] · 7 tokens · $0.000022
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 28 tokens · $0.000043
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 48 tokens · $0.000063
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 69 tokens · $0.000084
      call     map_look {"id":1}
      ask      e5 needs a human: the run's own budget has not enough tool calls left: 3 of 3 are used or set aside, and the next step may use 1
      approved e5 by owner
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
    On.
      model    rehearsal · [took] · 89 tokens · $0.000104
      call     map_look {"id":1}
      result   map_look · [took] · {"columns":["name"],"rows":[{"name":"Rome"}],"truncated":false}
      model    rehearsal · [took] · 107 tokens · $0.000113
    completed · 6 turns · 6 effects · 348 tokens · $0.000429 · [took]
    "#);
}

// --------------------------------------------------------------------------------------------- kill -9

/// So long takes a turn of a run that is to be under way when its server is killed.
const SLOWLY: &str = "100ms";
/// Runs that are started before each kill, and kills.
const RUNS: usize = 10;
const KILLS: usize = 6;
/// The data folder, as commands look for it.
const DATA: &str = ".stead";

/// All runs that there are.
fn runs(env: &TestEnvironment, data: &str) -> Vec<Value> {
    env.json(&format!("runs ls --limit 200 --json --data {data}"))["items"].as_array().unwrap().clone()
}

/// How many of them have ended so.
fn count(env: &TestEnvironment, data: &str, statuses: &[&str]) -> usize {
    runs(env, data).iter().filter(|r| statuses.contains(&r["status"].as_str().unwrap())).count()
}

const ENDS: [&str; 3] = ["completed", "failed", "cancelled"];

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

/// Sets budgets with tool calls for thirty runs.
fn begin(env: &TestEnvironment) {
    env.stead("agents apply walker").succeeds();
    env.stead("budgets set --tool-calls 150 --usd 20").succeeds();
    env.stead("budgets set walker --per month --tokens 10000000 --usd 20").succeeds();
}

fn start(env: &TestEnvironment, runs: usize) {
    for n in 0..runs {
        env.stead(&format!("runs start walker 'Go {n}'")).succeeds();
    }
}

/// All runs have ended: nothing is held, and what was used is what usage says, in each budget once.
fn check(env: &TestEnvironment, data: &str) {
    let usage = env.json(&format!("usage --json --data {data}"));
    let listed = audited(env, data);
    assert_eq!(listed.len(), 2);
    for budget in listed {
        assert!(budget["held"].as_object().unwrap().values().all(|n| *n == 0), "{budget}");
        assert_eq!(budget["used"]["tokens"], usage["total"]["spent"]["tokens"], "{budget}");
        assert_eq!(budget["used"]["usd"], usage["total"]["spent"]["usd"], "{budget}");
    }
}

#[test]
fn a_server_killed_again_and_again_neither_loses_nor_doubles_what_budgets_hold() {
    let env = with_walker(SLOWLY);
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let serve = || Serving::start(env.command(["serve"]), "serving");
    let mut server = serve();
    begin(&env);
    let mut under_way = 0;
    for _ in 0..KILLS {
        start(&env, RUNS);
        audited(&env, DATA);
        server.kill();
        // Nobody serves: the command looks into the folder itself, as the kill has left it.
        audited(&env, DATA);
        under_way += usize::from(count(&env, DATA, &["running"]) > 0);
        server = serve();
    }
    while count(&env, DATA, &ENDS) < RUNS * KILLS {
        audited(&env, DATA);
    }
    check(&env, DATA);
    let completed = count(&env, DATA, &["completed"]);
    assert!((10..=30).contains(&completed), "{completed} completed with tool calls for thirty");
    assert!(under_way >= 2, "{under_way} kills met runs under way");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_server_that_takes_runs_over_on_postgresql_finds_what_they_hold() {
    const OTHER: &str = "other";
    let (env, database) = (with_walker(SLOWLY), TestPostgres::start());
    let serve = |data: &str| {
        let file = format!("{data}.toml");
        let url = database.url();
        env.write(&file, &format!("listen = \"127.0.0.1:0\"\ndata_dir = \"{data}\"\ndatabase = \"{url}\"\n"));
        Serving::start(env.command(["serve", "--config", &file]), "serving")
    };
    let first = serve(DATA);
    begin(&env);
    start(&env, RUNS);
    let held: u64 = audited(&env, DATA).iter().map(|b| b["held"]["usd"].as_u64().unwrap()).sum();
    first.kill();
    assert!(held > 0, "nothing was held when the first server died");
    // Another server of the same database has a folder of its own, and the same key.
    std::fs::create_dir_all(env.path().join("other/keys")).unwrap();
    std::fs::copy(env.path().join(".stead/keys/blob.key"), env.path().join("other/keys/blob.key")).unwrap();
    let second = serve(OTHER);
    while count(&env, OTHER, &ENDS) < RUNS {
        audited(&env, OTHER);
    }
    check(&env, OTHER);
    assert_eq!(count(&env, OTHER, &["completed"]), RUNS, "there was enough for all of them");
    assert_eq!(second.stop(), Some(0));
}
