//! The restore drill. A server works on a thousand runs; a backup is taken while it works; it works on, is killed with
//! `kill -9`, and its data is destroyed. What it did after the backup is in no journal. The backup is restored, all runs
//! are finished, and the world outside has counted: nothing was done twice.
//!
//! The operator of the drill answers what is asked as the world's ledger tells: it happened, leave it; or it did not, do
//! it now.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::{StreamExt as _, stream};
use stead_api::{
    page::PageQuery,
    run::{StartRun, Status, WaitUntil},
};
use stead_client::{ApprovalQuery, Client, RunQuery};
use stead_core::fact::AskReason;

use crate::common::{Serving, TestEnvironment, World};

const RUNS: usize = 1_000;
/// Things done before the backup is begun, while it is taken, and after it, before the kill. A run does four.
const BEFORE: usize = 1_300;
const DURING: usize = 500;
const AFTER: usize = 900;
/// Requests of this test at once.
const AT_ONCE: usize = 32;

const SCRIPT: &str = r#"
rules:
  - when: { user: 'order (?<id>\d+)' }
    call: [{ tool: world_look, args: { order: "{{id}}" } }]
  - when: { tool: world_look }
    call:
      - { tool: world_pay, args: { order: "{{id}}" } }
      - { tool: world_note, args: { order: "{{id}}" } }
  - when: { tool: world_note }
    call: [{ tool: world_mail, args: { order: "{{id}}" } }]
  - when: { tool: world_mail }
    say: "Order {{id}} is done."
"#;

/// `pay` has a business key; the key of `note` is its effect's id.
fn manifest(world: SocketAddr) -> String {
    let operation = |name: &str| {
        format!(
            "        {name}: {{ description: Does it., method: POST, path: \"/{name}/{{{{args.order}}}}\", \
             params: {{ order: {{ type: string }} }} }}\n"
        )
    };
    let operations: String = ["look", "pay", "note", "mail"].map(operation).concat();
    format!(
        "stead: v1\nname: drill\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Do it.\ntools:\n  world:\n    http:\n      \
         base_url: \"http://{world}\"\n      operations:\n{operations}    effects:\n      look: pure\n      \
         pay: {{ class: keyed, key: \"$.order\" }}\n      note: keyed\n      \
         mail: {{ class: irreversible, on_unknown: ask }}\n    timeout: 240s\n"
    )
}

fn serve(env: &TestEnvironment) -> Serving {
    Serving::start(env.command(["serve"]), "serving")
}

/// A client of the server that owns the data folder.
fn client(env: &TestEnvironment) -> Client {
    let presence: serde_json::Value =
        serde_json::from_slice(&fs::read(env.path().join("data/server.json")).unwrap()).unwrap();
    let token = fs::read_to_string(env.path().join("data/token")).unwrap();
    Client::new(presence["url"].as_str().unwrap(), token.trim()).unwrap()
}

#[test]
fn a_restored_backup_is_finished_and_nothing_is_done_twice() {
    tokio::runtime::Runtime::new().unwrap().block_on(drill());
}

async fn drill() {
    let env = Arc::new(TestEnvironment::new());
    let mut world = World::start();
    env.write("drill/agent.yaml", &manifest(world.address));
    env.write("drill/script.yaml", SCRIPT);
    // So few in memory that at any time some have ended, some are at each step, and some have not begun.
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[engine]\nmax_active = 150\n");

    let server = serve(&env);
    env.stead("agents apply drill --data data").succeeds();
    start_all(&client(&env)).await;
    world.allow(BEFORE);
    world.reach(BEFORE).await;
    world.allow(DURING);
    let taken = env.clone();
    let backup = tokio::task::spawn_blocking(move || taken.json("backup drill.backup --data data --json"));
    let told = backup.await.unwrap();
    assert_eq!(told["runs"], RUNS);
    assert!(told["unfinished"].as_u64().unwrap() > 0, "{told}");
    world.reach(BEFORE + DURING).await;
    world.allow(AFTER);
    world.reach(BEFORE + DURING + AFTER).await;
    server.kill();
    world.forget_who_asked();
    fs::remove_dir_all(env.path().join("data")).unwrap();

    let told = env.json("restore drill.backup --data data --json");
    assert_eq!((&told["generation"], &told["runs"]), (&2.into(), &RUNS.into()));
    world.allow(1_000_000);
    let _server = serve(&env);
    let client = client(&env);
    env.stead("runs resume --all --data data").succeeds();
    let asked = operate(&client, &world).await;
    assert!(asked > 0, "a life was lost, so somebody must be asked about it");
    judge(&client, &world).await;
}

async fn start_all(client: &Client) {
    let starts = (0..RUNS).map(|order| async move {
        let input = format!("order {order}");
        client.start_run(&StartRun { agent: "drill".into(), input, ..StartRun::default() }, None).await.unwrap()
    });
    stream::iter(starts).buffer_unordered(AT_ONCE).for_each(async |_| {}).await;
}

/// Answers everything that is asked until no run is under way. Gives how many questions a restore was the reason of.
async fn operate(client: &Client, world: &World) -> usize {
    let asked = AtomicUsize::new(0);
    let page = PageQuery { limit: Some(500), ..PageQuery::default() };
    let query = ApprovalQuery { page, ..ApprovalQuery::default() };
    loop {
        let open = client.approvals(&query).await.unwrap().items;
        let answers = open.iter().map(|approval| async {
            let tool = approval.tool.strip_prefix("world_").unwrap();
            let arguments: serde_json::Value = serde_json::from_str(&approval.arguments).unwrap();
            let happened = world.ledger(|l| l.times(tool, arguments["order"].as_str().unwrap())) > 0;
            asked.fetch_add(usize::from(approval.reason == AskReason::Restored), SeqCst);
            let answered = match happened {
                true => client.deny(approval.id, Some("it happened".into())).await,
                false => client.approve(approval.id, None).await,
            };
            answered.unwrap();
        });
        stream::iter(answers).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
        if open.is_empty() {
            let status = Status::ALL.into_iter().filter(|s| !s.ended()).collect();
            let page = PageQuery { limit: Some(1), ..PageQuery::default() };
            let under_way = client.runs(&RunQuery { status, page, ..RunQuery::default() }).await.unwrap().items;
            match under_way.first() {
                Some(run) => drop(client.wait(run.id, WaitUntil::Waiting).await.unwrap()),
                None => return asked.load(SeqCst),
            }
        }
    }
}

/// What the world has counted.
async fn judge(client: &Client, world: &World) {
    let query = RunQuery { status: vec![Status::Completed], ..RunQuery::default() };
    assert!(!client.runs(&query).await.unwrap().items.is_empty());
    let status = client.status().await.unwrap().runs;
    assert_eq!(status.get("completed"), Some(&(RUNS as u64)), "{status:?}");
    world.ledger(|ledger| {
        for order in (0..RUNS).map(|o| o.to_string()) {
            assert!(ledger.looks.contains_key(&order), "{order} was looked at");
            for tool in ["pay", "note", "mail"] {
                assert_eq!(ledger.times(tool, &order), 1, "{tool} for order {order}");
            }
        }
        let business = ledger.keyed.iter().filter(|((tool, _), _)| tool == "pay");
        business.for_each(|((_, key), order)| assert!(key.contains(order.as_str()), "{key} for order {order}"));
    });
}
