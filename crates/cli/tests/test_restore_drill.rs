//! The restore drill. A server works on a thousand runs (on PostgreSQL on fewer); a backup is taken while it works; it works on, is
//! killed with `kill -9`, and its data is destroyed. What it did after the backup is in no journal. The backup is restored, all runs
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
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{StreamExt as _, stream};
use stead_api::{
    page::PageQuery,
    run::{StartRun, Status, WaitUntil},
};
use stead_client::{ApprovalQuery, Client, RunQuery};
use stead_core::fact::AskReason;
use stead_testkit::postgres::TestPostgres;

use crate::common::{Serving, TestEnvironment, World};

/// How much is done; a run does four things.
#[derive(Clone, Copy)]
struct Size {
    runs: usize,
    /// Runs in memory: so few that at any time some have ended, some are at each step, and some have not begun.
    active: usize,
    /// Things done before the backup is begun, at most while it is taken, and after it, before the kill.
    before: usize,
    during: usize,
    after: usize,
}

/// Things that are let through at once while the backup is taken.
const AT_A_TIME: usize = 5;
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
         mail: {{ class: irreversible, on_unknown: ask }}\n    timeout: 240s\n    trust: {{ $: trusted }}\n"
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
    let size = Size { runs: 1_000, active: 150, before: 1_300, during: 1_500, after: 700 };
    tokio::runtime::Runtime::new().unwrap().block_on(drill(size, false));
}

#[test]
fn a_backup_of_postgresql_is_restored_into_another_and_nothing_is_done_twice() {
    let size = Size { runs: 160, active: 30, before: 200, during: 240, after: 110 };
    tokio::runtime::Runtime::new().unwrap().block_on(drill(size, true));
}

async fn drill(size: Size, postgres: bool) {
    let env = Arc::new(TestEnvironment::new());
    let mut world = World::start();
    env.write("drill/agent.yaml", &manifest(world.address));
    env.write("drill/script.yaml", SCRIPT);
    let database = postgres.then(TestPostgres::start);
    configure(&env, size, database.as_ref());

    let server = serve(&env);
    env.stead("agents apply drill --data data").succeeds();
    start_all(&client(&env), size.runs).await;
    world.allow(size.before);
    world.reach(size.before).await;
    let taken = env.clone();
    let backup = tokio::task::spawn_blocking(move || taken.json("backup drill.backup --data data --json"));
    let mut done = size.before;
    while !backup.is_finished() && done < size.before + size.during {
        world.allow(AT_A_TIME);
        done += AT_A_TIME;
        world.reach(done).await;
    }
    let told = backup.await.unwrap();
    assert_eq!(told["runs"], size.runs);
    assert!(told["unfinished"].as_u64().unwrap() > 0, "{told}");
    // The server said when it began, and the file when it was whole.
    let began = UNIX_EPOCH + Duration::from_micros(told["taken"].as_u64().unwrap());
    let whole = fs::metadata(env.path().join("drill.backup")).unwrap().modified().unwrap();
    let inside = world.ledger(|l| l.moments.iter().filter(|at| (began..whole).contains(*at)).count());
    assert!(inside > 0, "nothing was done while the backup was taken ({:?})", whole.duration_since(began));
    world.allow(size.after);
    world.reach(done + size.after).await;
    server.kill();
    world.forget_who_asked();
    fs::remove_dir_all(env.path().join("data")).unwrap();
    drop(database);

    let database = postgres.then(TestPostgres::start);
    configure(&env, size, database.as_ref());
    let into = database.as_ref().map_or_else(String::new, |d| format!(" --store {}", d.url()));
    let told = env.json(&format!("restore drill.backup --data data --json{into}"));
    assert_eq!((&told["generation"], &told["runs"]), (&2.into(), &size.runs.into()));
    world.allow(1_000_000);
    let _server = serve(&env);
    let client = client(&env);
    env.stead("runs resume --all --data data").succeeds();
    let asked = operate(&client, &world).await;
    assert!(asked > 0, "a life was lost, so somebody must be asked about it");
    judge(&client, &world, size.runs).await;
}

fn configure(env: &TestEnvironment, size: Size, database: Option<&TestPostgres>) {
    let database = database.map_or_else(String::new, |d| format!("database = \"{}\"\n", d.url()));
    let text =
        format!("listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n{database}[engine]\nmax_active = {}\n", size.active);
    env.write("stead.toml", &text);
}

async fn start_all(client: &Client, runs: usize) {
    let starts = (0..runs).map(|order| async move {
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
async fn judge(client: &Client, world: &World, runs: usize) {
    let query = RunQuery { status: vec![Status::Completed], ..RunQuery::default() };
    assert!(!client.runs(&query).await.unwrap().items.is_empty());
    let status = client.status().await.unwrap().runs;
    assert_eq!(status.get("completed"), Some(&(runs as u64)), "{status:?}");
    world.ledger(|ledger| {
        for order in (0..runs).map(|o| o.to_string()) {
            assert!(ledger.looks.contains_key(&order), "{order} was looked at");
            for tool in ["pay", "note", "mail"] {
                assert_eq!(ledger.times(tool, &order), 1, "{tool} for order {order}");
            }
        }
        let business = ledger.keyed.iter().filter(|((tool, _), _)| tool == "pay");
        business.for_each(|((_, key), order)| assert!(key.contains(order.as_str()), "{key} for order {order}"));
    });
}
